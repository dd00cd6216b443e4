"""The examples in the docstrings of observables, which are objects: pytest looks at functions."""

import doctest

import jax
import pytest

from dlnlab import observables

WITH_EXAMPLES = [one for one in observables.EXAMPLES if ">>>" in (one.function.__doc__ or "")]


@pytest.mark.parametrize("one", WITH_EXAMPLES, ids=lambda one: one.name)
def test_examples_of_observables_do_what_they_say(one):
    names = {**one.function.__globals__, one.name: one}
    example = doctest.DocTestParser().get_doctest(one.function.__doc__, names, one.name, None, 0)
    with jax.enable_x64(True):
        found = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert found.attempted > 1
    assert found.failed == 0
