"""Figures carried out in tests: at their own coordinates, or at others."""


def measure(module, **coords):
    """What a figure's file measures and predicts; `coords` replace the figure's own."""
    experiment = module.EXPERIMENT
    coords = {**experiment.coords, **coords}
    measured = experiment.measure(**coords)
    return measured, experiment.predict(measured, **coords)
