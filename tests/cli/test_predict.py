import json

import pytest

from dlnlab import theory
from dlnlab.theory.orbits import orbit
from dlnlab.theory.stability import stability


def test_without_a_topic_the_topics_are_listed(dln):
    said = dln("predict")
    assert said.status == 0
    assert all(topic.__name__ in said.out for topic in theory.TOPICS)
    listed = json.loads(dln("predict", "--json").out)
    assert [row["topic"] for row in listed] == [topic.__name__ for topic in theory.TOPICS]


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


def test_the_table_says_what_the_fields_mean(dln):
    said = dln("predict", "stability", "--depths=3,5", "--target=1")
    for words in ("depths 3,5 · target 1", "flattest_edge", "0.77304", "2/λ_min, beyond which"):
        assert words in said.out
    assert dln("predict", "stability", "--depths", "1", "--target", "1").out.count("–") >= 1


def test_help_shows_the_arguments(dln):
    said = dln("predict", "stability", "--help")
    assert "--depths" in said.out
    assert "--target" in said.out
