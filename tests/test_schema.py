"""The schema: what a signature means, what texts and values it takes, and the grid they span."""

import dataclasses
import inspect
import itertools
import subprocess
import sys
import tracemalloc
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dlnlab.errors import InputError, InputTypeError
from dlnlab.schema import (
    MOST_POINTS,
    RESERVED,
    Coordinate,
    Grid,
    Parameter,
    check,
    check_all,
    grid,
    parse,
    schema,
)


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.12,
    depth: Annotated[int, Coordinate(least=1)] = 20,
    alphas: Annotated[tuple[float, ...], Coordinate(above=0)] = (0.02, 0.01),
    widths: tuple[int, ...] = (3, 5),
    target: tuple[tuple[float, ...], ...] = ((0.7, 0.3), (0.3, 0.2)),
    representation: Literal["modes", "full"] = "modes",
    order: Literal[1, 2] = 1,
    folder: str = "",
    rotated: bool = False,
    seed: int = 0,
) -> None: ...


PARAMETERS = schema(build)

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "learning_rate": positive,
    "depth": st.integers(1, 2**63 - 1),
    "alphas": st.lists(positive, max_size=4).map(tuple),
    "widths": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4).map(tuple),
    "target": st.integers(1, 3).flatmap(
        lambda n: st.lists(st.tuples(*[finite] * n), max_size=3).map(tuple)
    ),
    "representation": st.sampled_from(["modes", "full"]),
    "order": st.sampled_from([1, 2]),
    "folder": st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8),
    "rotated": st.booleans(),
    "seed": st.integers(0, 2**32 - 1),
}
names = st.sampled_from(list(PARAMETERS))
named_values = names.flatmap(lambda name: st.tuples(st.just(name), VALUES[name]))


# The signature


def test_the_signature_is_read() -> None:
    kinds = {name: parameter.kind for name, parameter in PARAMETERS.items()}
    assert kinds == {
        "learning_rate": "float",
        "depth": "int",
        "alphas": "floats",
        "widths": "ints",
        "target": "table",
        "representation": "literal",
        "order": "literal",
        "folder": "text",
        "rotated": "bool",
        "seed": "int",
    }
    rate = PARAMETERS["learning_rate"]
    assert (rate.default, rate.flag, rate.coordinate.symbol) == (0.12, "--learning-rate", "η")
    assert not rate.required
    assert PARAMETERS["order"].choices == (1, 2)
    traced = [name for name, parameter in PARAMETERS.items() if parameter.traced]
    assert traced == ["learning_rate", "alphas", "target", "seed"]
    assert PARAMETERS["target"].static_key(((1.0, 2.0, 3.0),)) == (1, 3)


def test_a_parameter_without_default_is_required() -> None:
    def bare(rate: float): ...

    parameters = schema(bare)
    assert parameters["rate"].required
    with pytest.raises(InputError, match=r"rate has no default.*--rate"):
        grid(parameters, {})
    assert grid(parameters, {"rate": 1}).fixed == {"rate": 1.0}


def unannotated(rate=0.1): ...
def text(rate: bytes = b"a"): ...
def optional(rate: float | None = None): ...
def listed(rate: list[float]): ...
def fixed_length(rate: tuple[float, float]): ...
def star(*rates: float): ...
def stars(**rates: float): ...
def positional(rate: float, /): ...
def float_seed(seed: float = 0.0): ...
def comma(rate: Literal["a,b"] = "a,b"): ...
def mixed(rate: Literal[1, "1"] = 1): ...
def truth(rate: Literal[True] = True): ...
def unknown(rate: "Nowhere" = 0): ...  # type: ignore[name-defined]
def wrong_default(rate: int = 0.5): ...  # type: ignore[assignment]
def low_seed(seed: int = -1): ...
def low_default(rate: Annotated[float, Coordinate(above=0)] = 0.0): ...
def empty_row(rate: tuple[tuple[float, ...], ...] = ((),)): ...


REFUSED = [unannotated, text, optional, listed, fixed_length, star, stars, positional, float_seed]
REFUSED += [comma, mixed, truth, unknown, wrong_default, empty_row]


@pytest.mark.parametrize("function", REFUSED)
def test_what_cannot_be_a_coordinate_is_refused(function: Any) -> None:
    with pytest.raises(InputTypeError) as caught:
        schema(function)
    one_sentence(caught.value)


@pytest.mark.parametrize("function", [low_seed, low_default])
def test_a_default_out_of_range_is_refused(function: Any) -> None:
    with pytest.raises(InputError, match="the default is not allowed"):
        schema(function)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_flags_of_the_command_line_are_reserved(name: str) -> None:
    def taken(): ...

    entry = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=int)
    taken.__signature__ = inspect.Signature([entry])  # type: ignore[attr-defined]
    with pytest.raises(InputTypeError, match=name):
        schema(taken)


def test_jax_is_not_imported() -> None:
    code = "import sys, dlnlab.schema; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Values


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("learning_rate", 1, 1.0),
        ("learning_rate", np.int32(2), 2.0),
        ("learning_rate", np.asarray(0.5), 0.5),
        ("depth", np.int64(3), 3),
        ("alphas", [1, 2.5], (1.0, 2.5)),
        ("alphas", np.array([1, 2]), (1.0, 2.0)),
        ("widths", [np.int64(3)], (3,)),
        ("target", np.eye(2), ((1.0, 0.0), (0.0, 1.0))),
        ("representation", np.str_("full"), "full"),
        ("folder", " a, b/c:d ", "a, b/c:d"),
        ("rotated", np.True_, True),
        ("seed", 2**32 - 1, 2**32 - 1),
    ],
)
def test_values_become_plain_python(name: str, given: Any, expected: Any) -> None:
    value = check(PARAMETERS[name], given)
    assert value == expected
    assert type(value) is type(expected)
    if isinstance(value, tuple):
        assert [*map(type, value)] == [*map(type, expected)]


WRONG: list[tuple[str, Any, type[InputError]]] = [
    ("learning_rate", True, InputTypeError),
    ("learning_rate", np.True_, InputTypeError),
    ("learning_rate", "0.1", InputTypeError),
    ("learning_rate", None, InputTypeError),
    ("learning_rate", 1j, InputTypeError),
    ("learning_rate", np.ones((2, 2)), InputTypeError),
    ("learning_rate", 0.0, InputError),
    ("learning_rate", float("nan"), InputError),
    ("learning_rate", float("inf"), InputError),
    ("learning_rate", 10**400, InputError),
    ("depth", 20.0, InputTypeError),
    ("depth", True, InputTypeError),
    ("depth", 0, InputError),
    ("depth", 2**63, InputError),
    ("depth", 10**400, InputError),
    ("folder", 3, InputTypeError),
    ("folder", "a\nb", InputTypeError),
    ("alphas", 0.1, InputTypeError),
    ("alphas", "0.1", InputTypeError),
    ("alphas", (0.1, 0.0), InputError),
    ("alphas", (0.1, False), InputTypeError),
    ("widths", (3.0,), InputTypeError),
    ("target", ((1.0,), (1.0, 2.0)), InputTypeError),
    ("target", (1.0, 2.0), InputTypeError),
    ("representation", "mode", InputError),
    ("order", "1", InputError),
    ("order", True, InputError),
    ("rotated", 1, InputTypeError),
    ("rotated", "true", InputTypeError),
    ("seed", -1, InputError),
    ("seed", 2**32, InputError),
]


@pytest.mark.parametrize(("name", "given", "kind"), WRONG)
def test_wrong_values_are_refused_in_one_sentence(
    name: str, given: Any, kind: type[InputError]
) -> None:
    with pytest.raises(InputError) as caught:
        check(PARAMETERS[name], given)
    assert type(caught.value) is kind
    assert name in str(caught.value)
    one_sentence(caught.value)


def one_sentence(error: InputError) -> None:
    message = str(error)
    assert message[-1] in ".?"
    assert "\n" not in message


def test_the_sentence_says_what_was_given_and_needed() -> None:
    with pytest.raises(InputError) as caught:
        check(PARAMETERS["learning_rate"], -1.0)
    assert str(caught.value) == (
        "learning_rate must be above 0, and -1.0 was given; the default is 0.12."
    )
    with pytest.raises(InputError, match="did you mean modes?"):
        check(PARAMETERS["representation"], "mode")


@given(
    st.sampled_from(["learning_rate", "depth", "seed", "rotated"]),
    st.lists(st.one_of(st.integers(), st.floats(), st.booleans(), st.none()), max_size=5),
)
def test_many_values_are_checked_as_one_by_one(name: str, values: list[Any]) -> None:
    assert outcome(check_all, name, values) == outcome(one_by_one, name, values)


@given(
    st.sampled_from(["learning_rate", "depth", "seed", "rotated"]),
    st.sampled_from(["bool", "int8", "int64", "uint8", "uint64", "float16", "float32", "float64"]),
    st.lists(st.integers(0, 100), max_size=5),
)
def test_arrays_are_checked_as_one_by_one(name: str, dtype: str, values: list[int]) -> None:
    array = np.asarray(values).astype(dtype)
    assert outcome(check_all, name, array) == outcome(one_by_one, name, array)


def one_by_one(parameter: Parameter, values: Any) -> tuple[Any, ...]:
    return tuple(check(parameter, value) for value in values)


def outcome(checking: Any, name: str, values: Any) -> Any:
    try:
        checked = checking(PARAMETERS[name], values)
    except InputError as error:
        return type(error)
    return [(type(value), value) for value in checked]


# Texts


@given(named_values)
@example(("alphas", ()))
@example(("target", ()))
def test_parse_reads_what_text_writes(named: tuple[str, Any]) -> None:
    name, value = named
    parameter = PARAMETERS[name]
    read = parse(parameter, [parameter.text(value)])
    assert read == value
    assert repr(read) == repr(check(parameter, value))


@given(names.flatmap(lambda n: st.tuples(st.just(n), st.lists(VALUES[n], min_size=2, max_size=4))))
def test_repeated_flags_sweep(named: tuple[str, list[Any]]) -> None:
    name, values = named
    parameter = PARAMETERS[name]
    assert parse(parameter, [parameter.text(value) for value in values]) == values


@given(
    st.sampled_from(
        ["learning_rate", "depth", "representation", "order", "rotated", "seed"]
    ).flatmap(lambda n: st.tuples(st.just(n), st.lists(VALUES[n], min_size=2, max_size=4)))
)
def test_commas_sweep_a_scalar(named: tuple[str, list[Any]]) -> None:
    name, values = named
    parameter = PARAMETERS[name]
    assert parse(parameter, [" , ".join(map(parameter.text, values))]) == values


pieces = st.sampled_from(
    [
        "0",
        "1",
        "-1",
        "2.5",
        "1e400",
        "1e308",
        "-1e308",
        "5e-324",
        "nan",
        "inf",
        "true",
        "No",
        "full",
        *(":", ":", ":", ",", "/", "log", " ", "e", ".", "-", "_", "9" * 30, "10", "\ud800", "\0"),
    ]
)
texts = st.one_of(st.text(max_size=12), st.lists(pieces, max_size=9).map("".join))


@given(names, st.lists(texts, max_size=3))
@example("learning_rate", ["1:2:10000001"])
@example("depth", ["1:10000001:10000001"])
@example("learning_rate", ["5e-324:1.7976931348623157e308:7:log"])
@example("depth", ["9" * 5000])
def test_every_text_is_read_or_refused(name: str, given_texts: list[str]) -> None:
    parameter = PARAMETERS[name]
    try:
        value = parse(parameter, given_texts)
    except InputError as error:
        one_sentence(error)
        return
    for one in value if isinstance(value, list) else [value]:
        assert repr(check(parameter, one)) == repr(one)


@given(positive, positive, st.integers(2, 50), st.booleans())
def test_float_ranges_have_exact_ends(start: float, stop: float, count: int, log: bool) -> None:
    ends = f"{start!r}:{stop!r}:{count}" + ":log" * log
    if start == stop:
        with pytest.raises(InputError, match="one point just when"):
            parse(PARAMETERS["learning_rate"], [ends])
        return
    values = parse(PARAMETERS["learning_rate"], [ends])
    assert (values[0], values[-1], len(values)) == (start, stop, count)
    assert values == sorted(values, reverse=start > stop)


@given(st.integers(1, 100), st.integers(-9, 9).filter(bool), st.integers(2, 60))
def test_whole_ranges_land_on_whole_numbers(start: int, step: int, count: int) -> None:
    parameter = Parameter("depth", "int")
    stop = start + step * (count - 1)
    values = parse(parameter, [f"{start}:{stop}:{count}"])
    assert values == [start + step * k for k in range(count)]
    if count > 2:
        with pytest.raises(InputError, match="do not all fall on one"):
            parse(parameter, [f"{start}:{stop + 1}:{count}"])


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(2, 20))
def test_whole_log_ranges_are_exact(scale: int, above: int, below: int, count: int) -> None:
    values = [scale * above**k * below ** (count - 1 - k) for k in range(count)]
    if above == below or max(values) >= 2**63:
        return
    ends = f"{values[0]}:{values[-1]}:{count}:log"
    assert parse(PARAMETERS["depth"], [ends]) == values


@pytest.mark.parametrize(
    ("name", "given_texts", "expected"),
    [
        ("learning_rate", ["0.1"], 0.1),
        ("learning_rate", ["0.1,0.2", "0.3"], [0.1, 0.2, 0.3]),
        ("learning_rate", ["0.5:0.5:1"], [0.5]),
        ("learning_rate", ["3, 1:2:3"], [3.0, 1.0, 1.5, 2.0]),
        ("depth", ["10:2:3"], [10, 6, 2]),
        ("depth", ["2:64:6:log"], [2, 4, 8, 16, 32, 64]),
        ("depth", ["27:8:4:log"], [27, 18, 12, 8]),
        ("depth", [f"1:{2**62}:63:log"], [2**k for k in range(63)]),
        ("alphas", ["3,5"], (3.0, 5.0)),
        ("target", ["0.7,0.3/0.3,0.2"], ((0.7, 0.3), (0.3, 0.2))),
        ("target", ["1", "2"], [((1.0,),), ((2.0,),)]),
        ("rotated", [], True),
        ("rotated", [""], True),
        ("rotated", ["NO"], False),
        ("rotated", ["true,false"], [True, False]),
        ("representation", ["full,modes"], ["full", "modes"]),
        ("order", ["2"], 2),
    ],
)
def test_texts(name: str, given_texts: list[str], expected: Any) -> None:
    assert parse(PARAMETERS[name], given_texts) == expected


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("learning_rate", "0.1,", "needs a number"),
        ("learning_rate", "1:2", "a range is start:stop:count"),
        ("learning_rate", "1:2:3:lin", "a range is start:stop:count"),
        ("learning_rate", "1:2:0", "at least 1"),
        ("learning_rate", "1:2:1", "one point just when"),
        ("learning_rate", "1:2:1e3", "count must be a whole number"),
        ("learning_rate", "0:2:3", "above 0"),
        ("learning_rate", f"1:2:{MOST_POINTS + 1}", "10000001 points"),
        ("learning_rate", f"1:2:{10**4000}", "an integer of .* bits points"),
        ("depth", f"7,1:{MOST_POINTS}:{MOST_POINTS}", "10000001 points"),
        ("depth", "20.0", "needs a whole number"),
        ("depth", "1:100:70:log", "do not all fall on one"),
        ("depth", "1:10:3", "do not all fall on one"),
        ("rotated", "maybe", "needs true or false"),
        ("rotated", "true,", "needs true or false"),
        ("widths", "1:3:3", "needs a tuple of whole numbers"),
        ("target", "1,2/3", "as many in each"),
        ("representation", "mode", "did you mean modes?"),
    ],
)
def test_wrong_texts(name: str, text: str, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        parse(PARAMETERS[name], [text])
    one_sentence(caught.value)


def test_log_ranges_need_positive_ends() -> None:
    with pytest.raises(InputError, match="both ends must be above 0"):
        parse(Parameter("x", "float"), ["-1:1:3:log"])
    with pytest.raises(InputError, match="must be a finite number"):
        parse(Parameter("x", "float"), ["-1e308:1e308:3"])


# Grids


def test_a_grid_without_sweeps_is_one_point() -> None:
    single = grid(PARAMETERS, {"depth": 4})
    assert (single.shape, single.size, single.axes) == ((), 1, {})
    assert single.point(0) == {n: p.default for n, p in PARAMETERS.items()} | {"depth": 4}
    (group,) = single.groups()
    assert group.indices.tolist() == [0]
    assert group.static == {
        "depth": 4,
        "alphas": (2,),
        "widths": (3, 5),
        "target": (2, 2),
        "representation": "modes",
        "order": 1,
        "folder": "",
        "rotated": False,
    }
    columns = single.columns(group)
    assert list(columns) == ["learning_rate", "alphas", "target", "seed"]
    assert columns["target"].shape == (1, 2, 2)


def test_axes_stand_in_the_order_of_the_signature() -> None:
    sweep = grid(PARAMETERS, {"seed": range(2), "depth": [1, 2, 3], "learning_rate": (0.1,)})
    assert list(sweep.axes) == ["learning_rate", "depth", "seed"]
    assert sweep.shape == (1, 3, 2)
    assert list(sweep.point(5)) == list(PARAMETERS)
    assert sweep.point(5)["depth"] == 3


@pytest.mark.parametrize(
    ("name", "given", "axis"),
    [
        ("alphas", (0.1, 0.2), None),
        ("alphas", [0.1, 0.2], None),
        ("alphas", [[0.1, 0.2]], ((0.1, 0.2),)),
        ("alphas", [(), (0.1,)], ((), (0.1,))),
        ("alphas", np.array([0.1, 0.2]), None),
        ("alphas", np.array([[0.1, 0.2]]), ((0.1, 0.2),)),
        ("target", [(0.1, 0.2)], None),
        ("target", [()], ((),)),
        ("target", [(), ((0.1,),)], ((), ((0.1,),))),
        ("target", [((0.1, 0.2),)], (((0.1, 0.2),),)),
        ("learning_rate", (0.1, 0.2), (0.1, 0.2)),
        ("learning_rate", np.asarray(0.1), None),
        ("rotated", [False, True], (False, True)),
        ("order", [2], (2,)),
    ],
)
def test_what_is_a_value_and_what_a_sweep(name: str, given: Any, axis: Any) -> None:
    assert grid(PARAMETERS, {name: given}).axes.get(name) == axis


@pytest.mark.parametrize(
    ("coords", "match"),
    [
        ({"learning_rat": 0.1}, "did you mean learning_rate?"),
        ({"learning_rate": []}, "empty sweep"),
        ({"alphas": []}, "empty sweep"),
        ({"learning_rate": [0.1, 0.2, 0.1]}, "0.1 more than once"),
        ({"alphas": [(0.1,), (0.1,)]}, "more than once"),
        ({"depth": [1, 0]}, "at least 1, and 0 was given"),
        ({"learning_rate": np.array([0.1, np.nan])}, "finite, and nan was given"),
        ({"learning_rate": np.ones((2, 2))}, "needs a number"),
        ({"alphas": ((0.1,), (0.2,))}, "needs a tuple of numbers|was given"),
        ({"seed": np.array([2**63], dtype=np.uint64)}, "64 bits"),
    ],
)
def test_wrong_coordinates(coords: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        grid(PARAMETERS, coords)
    one_sentence(caught.value)


def test_points_beyond_the_grid_are_refused() -> None:
    sweep = grid(PARAMETERS, {"depth": [1, 2]})
    assert [point["depth"] for point in sweep.points([1, 0])] == [2, 1]
    for index in (-1, 2):
        with pytest.raises(InputError, match=f"point {index} was asked"):
            sweep.point(index)


SMALL: dict[str, st.SearchStrategy[Any]] = VALUES | {"depth": st.integers(1, 5)}
coordinates = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(
            values, st.lists(values, min_size=1, max_size=3, unique_by=lambda v: v).map(list)
        )
        for name, values in SMALL.items()
    },
).filter(lambda coords: sum(isinstance(v, list) for v in coords.values()) <= 5)


def naive_points(sweep: Grid) -> list[dict[str, Any]]:
    """The slow, obvious reference: all combinations, the last axis fastest."""
    return [
        sweep.fixed | dict(zip(sweep.axes, values, strict=True))
        for values in itertools.product(*sweep.axes.values())
    ]


def naive_groups(sweep: Grid) -> dict[tuple[Any, ...], list[int]]:
    found: dict[tuple[Any, ...], list[int]] = {}
    for index, point in enumerate(naive_points(sweep)):
        keys = tuple(p.static_key(point[name]) for name, p in sweep.parameters.items())
        found.setdefault(keys, []).append(index)
    return found


@given(coordinates)
def test_groups_and_columns_agree_with_a_loop(coords: dict[str, Any]) -> None:
    sweep = grid(PARAMETERS, coords)
    naive = naive_points(sweep)
    assert sweep.size == len(naive)
    assert sweep.points(range(sweep.size)) == naive
    groups = sweep.groups()
    assert [group.indices.tolist() for group in groups] == list(naive_groups(sweep).values())
    for group, keys in zip(groups, naive_groups(sweep), strict=True):
        known = dict(zip(PARAMETERS, keys, strict=True))
        assert group.static == {name: key for name, key in known.items() if key is not None}
        columns = sweep.columns(group)
        for name in ("learning_rate", "alphas", "target", "seed"):
            expected = [naive[index][name] for index in group.indices]
            assert columns[name].dtype == (np.uint32 if name == "seed" else np.float64)
            shape = group.static.get(name, ())
            assert columns[name].shape == (len(expected), *shape)
            np.testing.assert_array_equal(
                columns[name], np.reshape(expected, (len(expected), *shape))
            )


def test_a_tile_is_a_part_of_a_group() -> None:
    sweep = grid(PARAMETERS, {"learning_rate": [0.1, 0.2, 0.3], "depth": [1, 2]})
    group = sweep.groups()[1]
    tile = dataclasses.replace(group, indices=group.indices[1:])
    assert sweep.columns(tile)["learning_rate"].tolist() == [0.2, 0.3]


def test_fixed_values_are_not_copied_for_each_lane() -> None:
    sweep = grid(PARAMETERS, {"seed": range(1000)})
    columns = sweep.columns(sweep.groups()[0])
    assert columns["alphas"].shape == (1000, 2)
    assert columns["alphas"].strides[0] == 0


@pytest.mark.parametrize("form", [np.asarray, list], ids=["array", "list"])
def test_a_million_points_take_no_python_for_each(form: Any) -> None:
    rates = form(np.linspace(0.1, 1, 500_000))
    events = 0

    def count(*_: Any) -> None:
        nonlocal events
        events += 1

    sys.setprofile(count)  # every call of a Python or C function
    try:
        sweep = grid(PARAMETERS, {"learning_rate": rates, "depth": [3, 4]})
        groups = sweep.groups()
        columns = sweep.columns(groups[1])
    finally:
        sys.setprofile(None)
    assert events < 5000
    assert sweep.size == 1_000_000
    assert [group.static["depth"] for group in groups] == [3, 4]
    assert groups[1].indices[:3].tolist() == [1, 3, 5]
    assert columns["learning_rate"].shape == (500_000,)


def test_a_million_points_take_a_few_words_each() -> None:
    rates = np.linspace(0.1, 1, 1000)
    sweep = grid(PARAMETERS, {"learning_rate": rates, "seed": range(1000)})
    tracemalloc.start()
    try:
        (group,) = sweep.groups()
        columns = sweep.columns(group)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(map(len, columns.values())) == 4 * sweep.size
    # Indices, rates and two temporaries of 8 bytes each, and seeds of 4; with a tenth to spare.
    assert peak < 1.1 * (4 * 8 + 4) * sweep.size


def test_the_size_is_known_without_building() -> None:
    names = [f"x{k}" for k in range(20)]
    parameters = {name: Parameter(name, "float") for name in names}
    assert grid(parameters, {name: range(1000) for name in names}).size == 1000**20
