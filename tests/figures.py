"""Figures carried out in tests: at their own coordinates, or at others."""

import pytest


def measure(module, **coords):
    """What a figure's file measures and predicts; `coords` replace the figure's own."""
    experiment = module.EXPERIMENT
    coords = {**experiment.coords, **coords}
    measured = experiment.measure(**coords)
    return measured, experiment.predict(measured, **coords)


def measured_once(smaller=None):
    """`measure` of a figure's file, carried out at most once; `smaller` holds other coordinates."""
    made = {}

    def of(module):
        if module not in made:
            coords = (smaller or {}).get(module, {})
            made[module] = measure(module, **{k: tuple(v) for k, v in coords.items()})
        return made[module]

    return of


def claims_of(modules, quick):
    """Each claim with its figure's file; where the figure takes long, a science test."""
    return [pytest.param(m, c, id=c.id, marks=_marks(m, quick)) for m in modules for c in m.CLAIMS]


def figures_of(modules, quick):
    """Each figure's file by itself, marked alike."""
    return [pytest.param(m, id=m.__name__, marks=_marks(m, quick)) for m in modules]


def _marks(module, quick):
    return () if module in quick else pytest.mark.science
