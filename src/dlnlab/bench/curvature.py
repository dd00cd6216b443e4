"""W4: the largest eigenvalue of a Hessian, with errors, residuals and products.

Each tool answers for the same network; what it says is held against the dense spectrum, its
eigenvector against a product of ours, and its products are counted.
"""

from collections.abc import Callable, Iterator

import jax

from dlnlab.bench import eigenvalues
from dlnlab.bench.hessians import STATES, TRACKED_STEPS, Answer, Bench, Found, descended, sharpening
from dlnlab.bench.measure import Case, Contender

RATE = 0.01
"""The step size of the run that is tracked."""

CONTENDERS: dict[str, Callable[[Bench], Callable[[], Answer]]] = {
    "dlnlab, cold": eigenvalues.ours,
    "SciPy eigsh(LA) on our products": eigenvalues.scipy_largest,
    "hessian-eigenthings, converged": eigenvalues.eigenthings,
    "PyHessian": eigenvalues.pyhessian,
    "curvlinops with eigsh(LA)": eigenvalues.curvlinops,
}


def w4() -> Iterator[Case]:
    """Along a run, where ours goes on from the step before; and from a cold start at four states.

    Others start anew at every step: theirs is the rate of one answer.
    """
    for dimension, depth in ((8, 3), (20, 5)):
        bench, name = sharpening(dimension, depth), f"d={dimension}, L={depth}"
        tracked = Contender("dlnlab, tracked", _tracked(bench), TRACKED_STEPS)
        yield Case("W4", f"along a run, {name}", "answers/s", (tracked, *_cold(bench)))
        for state, made in STATES.items():
            if state == "sharpening" or dimension == 8:
                contenders = tuple(_cold(made(dimension, depth)))
                yield Case("W4", f"cold, at {state}, {name}", "answers/s", contenders)


def _tracked(bench: Bench) -> Callable[[], Callable[[], Found]]:
    with jax.enable_x64(True):
        end = jax.jit(lambda f: descended(bench, f, RATE, TRACKED_STEPS))(bench.flat)
    return _judged(lambda start: eigenvalues.tracked(start, RATE), bench, bench._replace(flat=end))


def _cold(bench: Bench) -> Iterator[Contender]:
    for name, tool in CONTENDERS.items():
        yield Contender(name, _judged(tool, bench, bench), 1)


def _judged(
    tool: Callable[[Bench], Callable[[], Answer]], bench: Bench, end: Bench
) -> Callable[[], Callable[[], Found]]:
    """The first call, which is not timed, is judged: a dense spectrum is no part of an answer."""

    def prepare() -> Callable[[], Found]:
        run = tool(bench)
        judged = end.judged(*run())

        def call() -> Found:
            run()
            return judged

        return call

    return prepare
