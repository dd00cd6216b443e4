import json
import math
import re
import typing

import pytest

from dlnlab.theory.catalogue import TOPICS
from dlnlab.theory.curvature import spectrum
from dlnlab.theory.noise import noise
from dlnlab.theory.orbits import orbit
from dlnlab.theory.stability import stability


def test_without_a_topic_the_topics_are_listed(dln):
    said = dln("predict")
    assert said.status == 0
    assert all(topic.__name__ in said.out for topic in TOPICS)
    listed = json.loads(dln("predict", "--json").out)
    assert [row["topic"] for row in listed] == [topic.__name__ for topic in TOPICS]


@pytest.mark.parametrize("depths", [(3, 5), (1, 4), (2, 2), (7,)])
def test_json_holds_the_fields_to_the_last_digit(dln, depths):
    text = ",".join(map(str, depths))
    said = dln("predict", "stability", "--depths", text, "--target", "1.7", "--json")
    answer = stability(depths, 1.7)._asdict()
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in answer.items()}
    assert json.loads(said.out) == plain


@pytest.mark.parametrize(("rate", "period"), [(0.0345, 2), (0.0345, 1), (0.045, 2), (0.0459, 3)])
def test_json_of_an_orbit_stable_or_not(dln, rate, period):
    line = f"predict orbit --depth 3 --target 10 --learning-rate {rate} --period {period} --json"
    found = json.loads(dln(*line.split()).out)
    answer = orbit(3, 10.0, rate, period)
    assert found == {**answer._asdict(), "values": list(answer.values)}
    assert len(found["values"]) == found["period"] == period
    assert found["stable"] is (period != 1 and rate < found["doubling_edge"])


def test_a_period_of_two_is_asked_for_unless_said_otherwise(dln):
    said = dln("predict", "orbit", "--depth=3", "--target=10", "--learning-rate=0.0345", "--json")
    found = json.loads(said.out)
    assert found["values"] == pytest.approx([7.11288, 12.03346], abs=5e-6)
    assert found["stable"] is True


def test_the_spectrum_of_two_pathways(dln):
    told = [
        "predict",
        "spectrum",
        "--depths",
        "3,3",
        "--targets",
        "1,0.5",
        "--sigma",
        "0.7,0.3/0.3,0.2",
    ]
    found = json.loads(dln(*told, "--json").out)
    sigma = ((0.7, 0.3), (0.3, 0.2))
    plain = {
        k: list(v) if isinstance(v, tuple) else v
        for k, v in spectrum((3, 3), (1.0, 0.5), sigma)._asdict().items()
    }
    assert found == plain
    assert sum(found["multiplicities"]) == found["parameters"] == 2 * 3 * 2 * 2
    sharpness = max(sum(3 * share ** (4 / 3) for share in shares) for shares in sigma)
    assert found["eigenvalues"][0] == pytest.approx(sharpness, rel=1e-12)
    wider = json.loads(dln(*told, "--outputs", "4", "--inputs=3", "--json").out)
    assert (wider["outputs"], wider["inputs"], wider["hidden"]) == (4, 3, 3)
    assert sum(wider["multiplicities"]) == 2 * (3 * 3 + 3 * 3 + 3 * 4)
    assert "how often each occurs" in dln(*told).out


def test_transverse_stability(dln):
    told = ["predict", "transverse", "--depth", "3", "--targets", "10,9.5"]
    found = json.loads(dln(*told, "--json").out)
    assert list(found) == ["first_mode_edge", "mixing_edge", "onset", "second_mode_edge"]
    assert sorted(found.values()) == list(found.values())
    assert found["second_mode_edge"] == pytest.approx(2 / (3 * 9.5 ** (4 / 3)), rel=1e-12)
    assert "0.0320079" in dln(*told).out
    never = json.loads(dln("predict", "transverse", "--depth=3", "--targets=10,0", "--json").out)
    assert (never["onset"], never["second_mode_edge"]) == (None, None)


def test_the_escape_from_the_origin(dln):
    three = "predict escape --depth 3 --targets 1,3,0,2 --scale 1e-3 --json"
    found = json.loads(dln(*three.split()).out)
    assert list(found) == ["speed", "time", "until", "plateau_losses", "order"]
    assert found["until"] == "the blow-up on the ray"
    assert found["speed"] == pytest.approx(3 / 3**0.5, rel=1e-12)
    assert found["time"] == pytest.approx(1e3 / found["speed"], rel=1e-12)
    assert found["plateau_losses"] == [7.0, 2.5, 0.5, 0.0]
    assert found["order"] == [1, 3, 0]
    two = "predict escape --depth 2 --targets 3 --scale 1e-3 --json"
    assert json.loads(dln(*two.split()).out)["time"] == pytest.approx(math.log(1e3) / 3, rel=1e-12)


@pytest.mark.parametrize(
    ("strength", "until"),
    [
        (3.0, "the norm 1"),
        (0.01, "none: the norm ends at 0.141, short of 1"),
        (0.7, "none: the norm ends at 1.18, too near 1"),
    ],
)
def test_a_norm_that_is_not_reached_has_no_time(dln, strength, until):
    said = dln("predict", "escape", "--depth=2", f"--targets={strength}", "--scale=1e-3", "--json")
    found = json.loads(said.out)
    assert found["until"] == until
    assert (found["time"] is None) == (until != "the norm 1")


def test_equal_modes_have_no_plateau_between_them(dln):
    asked = "predict escape --depth 3 --targets 3,1,3 --scale 1e-3 --json"
    said = dln(*asked.split())
    assert json.loads(said.out)["plateau_losses"] == [9.5, 0.5, 0.0]


@pytest.mark.parametrize(
    ("gamma", "answer"),
    [
        (-1, ("lazy", 1.0, 0.5)),
        (0, ("lazy", 0.5, 0.0)),
        (0.5, ("lazy", 0.25, -0.25)),
        (0.75, ("lazy", 0.125, -0.375)),
        (0.8, ("lazy", 0.1, -0.3)),
        (1, ("critical", 0.0, 0.0)),
        (1.5, ("saddle_to_saddle", -0.25, 0.0)),
    ],
)
def test_the_regime_of_a_start(dln, gamma, answer):
    said = dln("predict", "regime", "--depth=4", f"--gamma={gamma}", "--json").out
    assert "-0.0}" not in said
    assert "-0.0," not in said
    found = json.loads(said)
    assert list(found) == ["regime", "saddle_distance_exponent", "minimum_distance_exponent"]
    assert found["regime"] == answer[0]
    assert tuple(found.values())[1:] == pytest.approx(answer[1:], abs=1e-12)


NOISE = "predict noise --depth {} --target {} --learning-rate {} --label-noise {} --batch-size {}"


@pytest.mark.parametrize(
    "asked", [(4, 1.0, 1e-3, 0.2, 1), (2, 2.0, 0.05, 1.5, 3), (3, 0.5, 0.01, 0.0, 1)]
)
def test_json_of_noise(dln, asked):
    found = json.loads(dln(*NOISE.format(*asked).split(), "--json").out)
    assert found == noise(*asked)._asdict()
    assert found["reason"] is None
    assert found["stationary_mean"] > 0


def test_noise_without_a_peak_or_a_law(dln):
    flat = json.loads(dln(*NOISE.format(2, 1.0, 0.01, 0.6, 1).split(), "--json").out)
    assert (flat["peak"], flat["peak_is_global"]) == (None, False)
    assert (flat["label_noise_peak_limit"], flat["reason"]) == (0.5, None)
    gone = json.loads(dln(*NOISE.format(2, 1.0, 1.5, 0.2, 1).split(), "--json").out)
    assert (gone["stationary_mean"], gone["stationary_variance"]) == (None, None)
    assert gone["reason"].endswith("lower learning_rate below 0.980392.")
    assert gone["gaussian_variance"] == pytest.approx(1.5 * 0.04, rel=1e-12)
    local = json.loads(dln(*NOISE.format(2, 1.0, 0.01, 0.45, 1).split(), "--json").out)
    assert (local["peak"] is not None, local["peak_is_global"]) == (True, False)
    said = dln(*NOISE.format(2, 1.0, 1.5, 0.0, 1).split()).out
    assert "ends at 0 or at its target" in said


def test_batches_of_one_and_no_label_noise_unless_said_otherwise(dln):
    said = dln("predict", "noise", "--depth=3", "--target=1", "--learning-rate=0.01", "--json")
    assert json.loads(said.out) == noise(3, 1.0, 0.01, 0.0, 1)._asdict()


def test_the_table_says_what_the_fields_mean(dln):
    said = dln("predict", "stability", "--depths=3,5", "--target=1")
    for words in ("depths 3,5 · target 1", "flattest_edge", "0.77304", "2/λ_min, beyond which"):
        assert words in said.out
    assert dln("predict", "stability", "--depths", "1", "--target", "1").out.count("–") >= 1


def test_help_shows_the_arguments(dln):
    said = dln("predict", "stability", "--help")
    assert "--depths" in said.out
    assert "--target" in said.out


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.__name__)
def test_help_says_what_the_topic_answers(dln, topic):
    said = dln("predict", topic.__name__, "--help")
    assert said.status == 0
    words = " ".join(said.out.split())
    first, *_ = topic.__doc__.split("\n\n")
    assert " ".join(first.split()) in words
    answer = typing.get_type_hints(topic)["return"]
    for field in answer._fields:
        assert f" {field}: " in words, field
    assert "dln run ID --help" not in said.out
    assert "It answers with" not in dln("predict", "--help").out


def test_the_hint_about_experiments_stands_with_the_commands_alone(dln):
    assert "dln run ID --help" in dln("--help").out
    assert not dln("cite", "--help").out.rstrip().endswith("coordinates of an experiment.")


def test_what_was_left_to_its_default_is_not_shown_as_0(dln):
    said = dln("predict", "spectrum", "--depths=2", "--targets=1", "--sigma=1", "--outputs=3")
    assert said.out.splitlines()[1] == "depths 2 · targets 1 · sigma 1"
    assert re.search(r"^hidden +1 ", said.out, re.M)
    assert re.search(r"^outputs +3 ", said.out, re.M)
