"""Figures carried out in tests: at their own coordinates, or at others."""


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
