"""The examples in the docstrings of observables and predictions, which are objects: pytest collects
those of functions alone."""

import doctest

import jax
import pytest

from dlnlab import observables
from dlnlab.theory.catalogue import PREDICTIONS

OBJECTS = (*observables.EXAMPLES, *PREDICTIONS)
WITH_EXAMPLES = [one for one in OBJECTS if ">>>" in (one.function.__doc__ or "")]


@pytest.mark.parametrize("one", WITH_EXAMPLES, ids=lambda one: one.name)
def test_examples_do_what_they_say(one):
    names = {**one.function.__globals__, one.name: one}
    example = doctest.DocTestParser().get_doctest(one.function.__doc__, names, one.name, None, 0)
    with jax.enable_x64(True):
        found = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert found.attempted > 0
    assert found.failed == 0


def test_every_prediction_has_an_example():
    assert [p.name for p in PREDICTIONS if ">>>" not in (p.function.__doc__ or "")] == []
