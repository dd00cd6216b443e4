"""Any command line ends with 0 or with one sentence and 2; never with a traceback."""

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# Few distinct shapes, each of which is compiled once.
COORDINATES = {
    "--learning-rate": ["0.1", "0.05,0.2", "0.01:1:3:log", "1e300", "-1", "nan", "fast", "1:2"],
    "--learning_rate=": ["0.3", "1e999", ""],
    "--depth": ["1", "2", "0", "1.5", "9" * 30],
    "--strengths": ["1,0.5", "1,2", "1,", "-1", "x"],
    "--shift": ["-0.5", "0:1:2", "-1,2", "∞"],
    "--kind": ["plain", "fancy", "fanci"],
    "--seed": ["1", "0:2:3", "-1", "4294967296"],
    "--lerning-rate": ["0.1"],
}
OPTIONS = {
    "--steps": ["5", "20", "-1", "many"],
    "--time": ["1", "0"],
    "--seeds": ["2", "0"],
    "--threads": ["1", "0"],
    "--out": ["a.nc", "b.zarr", "c.txt", "nowhere/a.nc"],
}
SWITCHES = ["--json", "--force", "--doubled", "--no-doubled", "--help", "--bogus"]
REFERENCES = ["kim2026/nothing", "kim2026", "nowhere.py", ""]
ODD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def _flags(table: dict[str, list[str]]) -> st.SearchStrategy[list[str]]:
    """A flag with one of its values; the first ones, which are good, more often."""

    def written(name: str) -> st.SearchStrategy[list[str]]:
        good = st.sampled_from(table[name][:2])
        values = good | good | good | st.sampled_from(table[name])
        return values.map(lambda v: [name + v] if name.endswith("=") else [name, v])

    return st.sampled_from(list(table)).flatmap(written)


def _joined(parts: list[list[str]]) -> list[str]:
    return [token for part in parts for token in part]


def _several(*parts: st.SearchStrategy[list[str]], most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.one_of(*parts), max_size=most).map(_joined)


def _lines(tiny: str) -> st.SearchStrategy[list[str]]:
    switches = st.sampled_from([[s] for s in SWITCHES])
    run = _several(_flags(COORDINATES), _flags(OPTIONS), switches, most=3)
    named = st.sampled_from([*[tiny] * 9, *REFERENCES])
    theory = _several(st.sampled_from([["--json"], ["--help"], ["--depth"]]), most=1)
    commands = st.sampled_from(["list", "show", "cite", "new", "claims", "predict", "reproduce"])
    rest = st.sampled_from([["--help"], [tiny]]) | ODD.map(lambda text: [text])
    return st.one_of(
        st.builds(lambda ref, flags: ["run", *flags, ref], named, run),
        st.builds(lambda ref, flags: ["run", ref, *flags], named, run),
        st.builds(
            lambda depths, target, flags: ["predict", "stability", depths, target, *flags],
            st.sampled_from(["--depths=3,5", "--depths=1", "--depths=0", "--depths=2,"]),
            st.sampled_from(["--target=1", "--target=2.5", "--target=-1", "--target="]),
            theory,
        ),
        st.builds(lambda command, rest: [command, *rest], commands, rest),
        st.sampled_from([["list"], ["cite"], ["predict"], ["--version"], ["new", "mine.py"]]),
        st.lists(ODD, max_size=3),
    )


def test_no_command_line_ends_with_a_traceback(dln, tiny):
    statuses = []

    @settings(max_examples=150, suppress_health_check=list(HealthCheck))
    @given(_lines(tiny))
    def attempt(argv: list[str]) -> None:
        if argv[:1] == ["claims"] and argv[1:2] != ["--help"]:
            argv = [*argv, "--from", "nowhere"]  # else all claims might be computed
        said = dln(*argv)
        statuses.append(said.status)
        assert said.status in (0, 2)
        if said.status == 2:
            assert re.fullmatch(r"dln: [^\n]+[.?]\n", said.err)
            assert said.out == ""
        else:
            assert said.err == ""

    attempt()
    assert statuses.count(0) >= 0.3 * len(statuses)
    assert statuses.count(2) >= 0.2 * len(statuses)
