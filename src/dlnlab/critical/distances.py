"""How far the nearest saddle and the nearest global minimum are: bounds from both sides."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from dlnlab.critical.bounds import minimum_bound, saddle_bound
from dlnlab.critical.cuts import Cut, Layers, applied, cut, no_cut, ways
from dlnlab.critical.fitting import (
    Goal,
    distance,
    fit,
    linear_step,
    retract,
    within,
)
from dlnlab.critical.frames import balanced_layers
from dlnlab.critical.maps import MapCost, critical_maps, determined, map_cost, minimum
from dlnlab.errors import InputError
from dlnlab.networks import Pathways
from dlnlab.problem import Problem
from dlnlab.reduction.narrowing import embedded, projected, reachable
from dlnlab.typing import Params

ORDER = 20
"""Of the subspaces in which wide hidden layers are searched: 40 d wide for L = 3 and maps of d by d
at most, where distances agree with those of the whole layers to 1e-7; from L = 4 on hardly narrower
than the layers, since cuts need no less."""

REFINED = 4
"""From so many of the nearest starts the distance is descended; all are brought on the surface."""


class Nearest(NamedTuple):
    """The nearest point found and its distance, the distance below which there is none, `‖∇ℓ‖` at
    the point (of the order of rounding), and from how many starts it was sought."""

    upper: float
    lower: float
    params: Params
    gradient_norm: float
    starts: int


def nearest_saddle(problem: Problem, params: Params, starts: int = 20, seed: int = 0) -> Nearest:
    """The nearest critical point of a chain that is no global minimum, bounded from both sides.

    A start is a critical map (see `critical_maps`) and a way to cut off the gradient there (see
    `dlnlab.critical.cuts`); first and last layer zero is the first of them. The layers are cut at
    the least cost and brought to the map, once from where they are and once from balanced layers
    turned to them; from the nearest of these points the distance is descended. Starts whose cut
    alone is longer than the best distance so far are passed over, since their point is farther
    still. Where maps and ways are fewer than `starts`, random hidden frames make up for it.
    The lower bound is that of `dlnlab.critical.bounds`, and neither is claimed to be sharp.

    **Raises:** `InputError` for what is no chain of two layers or more, hidden layers narrower
    than the map, layers that are not finite, or a task whose origin is a minimum.

    Source: jacot2021.1.

    >>> from dlnlab.networks import chain
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(chain((1, 1, 1)), Whitened(np.array([[2.0]])))
    >>> near = nearest_saddle(problem, ((np.array([[3.0]]), np.array([[4.0]])),))
    >>> near.upper, round(near.lower, 6)
    (5.0, 5.0)
    """
    layers, cost = _layers(problem, params), map_cost(problem)
    if len(layers) < 2:
        raise InputError(
            "a single layer has no saddle, and a chain of two layers or more is needed; deepen it."
        )
    places = critical_maps(problem, cost)
    if not places:
        raise InputError(
            "the gradient of the cost vanishes at the origin, which is a minimum; pass a target "
            "that is not zero."
        )
    minima = _minima(cost)

    def goals(near: Layers) -> list[tuple[Goal, Cut]]:
        cuts = [(at, cut(near, at, way)) for at in places for way in ways(len(near))]
        return [(within(minima._replace(made=at.made), where), where) for at, where in cuts]

    count = len(places) * len(ways(len(layers)))
    best = _search(layers, goals, max(2, -(-starts // count)), seed)
    return _nearest(problem, best, layers, saddle_bound(layers), max(starts, 2 * count))


def nearest_minimum(problem: Problem, params: Params, starts: int = 20, seed: int = 0) -> Nearest:
    """The nearest global minimum of a chain, bounded from both sides.

    The distance is descended along the surface of the minima, from where the layers are, from
    balanced layers turned to them as far as possible, and from balanced layers in random frames.
    The lower bound is that of `dlnlab.critical.bounds`. In the lazy regime (γ < 1) both tend to
    the linearised distance.

    **Raises:** `InputError` for what is no chain, hidden layers narrower than the map, layers that
    are not finite, or a cost without a minimum.

    Source: jacot2021.1.

    >>> from dlnlab.networks import chain
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(chain((1, 1, 1)), Whitened(np.array([[1.0]])))
    >>> near = nearest_minimum(problem, ((np.array([[3.0]]), np.array([[3.0]])),))
    >>> round(near.upper / 2**0.5, 6)
    2.0
    """
    layers, cost = _layers(problem, params), map_cost(problem)
    goal = _minima(cost)
    best = _search(layers, lambda near: [(goal, no_cut(near))], starts, seed)
    return _nearest(problem, best, layers, minimum_bound(layers, cost, goal), starts)


def linearised_distance(problem: Problem, params: Params, share: float = 0.5) -> float:
    """The length of the least step that fits the task to first order, `√(Rᵀ K⁻¹ R)`.

    R is the misfit and K the neural tangent kernel of the map. It is the distance of the nearest
    global minimum in the lazy regime (γ < 1) alone, and refused elsewhere: no minimum may lie
    within `share` of it, by the lower bound of `dlnlab.critical.bounds`. (That the step fits the
    task shows nothing: from γ = 1 on wide networks it may, and yet be longer than the way there
    by half or more.)

    **Raises:** `InputError` where a minimum may be nearer, and where `nearest_minimum` raises.

    Source: jacot2021.1.

    >>> from dlnlab.networks import chain
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(chain((1, 1, 1)), Whitened(np.array([[101.0]])))
    >>> layers = ((np.array([[8.0]]), np.array([[12.0]])),)
    >>> round(linearised_distance(problem, layers), 4), round(5 / 208**0.5, 4)
    (0.3467, 0.3467)
    """
    layers, cost = _layers(problem, params), map_cost(problem)
    goal = _minima(cost)
    step = linear_step(layers, goal, no_cut(layers))
    length = float(np.sqrt(sum(np.sum(move**2) for move in step)))
    lower = minimum_bound(layers, cost, goal)
    if not lower >= share * length:
        raise InputError(
            f"the least linear step is {length:.3g} long and minima are proven to be no nearer "
            f"than {lower:.3g}, and {share:g} of it is needed for a linearised distance; take γ "
            "below 1 and larger widths, or nearest_minimum."
        )
    return length


Goals = Callable[[Layers], list[tuple[Goal, Cut]]]
"""What the given layers may be brought to."""


def _search(layers: Layers, goals: Goals, starts: int, seed: int) -> Layers | None:
    """The nearest point that reaches one of the goals, of some starts for each; None if none does.

    Wide hidden layers are projected first (`dlnlab.reduction.narrowing`): the moves of Newton's
    method and of descent lie in the subspaces, and the frames of cuts nearly do. What was found is
    then brought to its goal in the layers themselves, so that it is an upper bound all the same.
    Where that fails, the search is made anew there. The systems are small, and threads would spend
    their time waiting for each other.
    """
    with threadpool_limits(1, user_api="blas"):
        for bases in (reachable(layers, ORDER), (None,) * (len(layers) + 1)):
            near = projected(layers, bases)
            found = _nearest_of(near, goals(near), starts, seed)
            if found is None:
                continue
            at, goal, where = found
            moves = embedded(tuple(a - b for a, b in zip(at, near, strict=True)), bases)
            at = tuple(w + d for w, d in zip(layers, moves, strict=True))
            where = where.embedded(bases[-2], bases[1])
            reached = retract(applied(at, where), goal, where)
            if reached is not None:
                return reached
    return None


class _Found(NamedTuple):
    """A point, how far it is, and which goal of those it reaches."""

    length: float
    order: int
    goal: int
    at: Layers


def _nearest_of(
    layers: Layers, goals: list[tuple[Goal, Cut]], starts: int, seed: int
) -> tuple[Layers, Goal, Cut] | None:
    """The nearest point found, with its goal and cut.

    A goal whose cut alone is longer than the best distance so far is passed over.
    """
    generator = np.random.default_rng(seed)
    cuts = [distance(applied(layers, where), layers) for _, where in goals]
    found: list[_Found] = []
    for n in np.argsort(cuts):
        goal, where = goals[n]
        if found and cuts[n] >= min(found).length:
            break
        for k in range(starts):
            at = retract(_start(layers, goal, where, generator, k), goal, where)
            if at is not None:
                found.append(_Found(distance(at, layers), len(found), int(n), at))
    reached = [
        (fit(one.at, layers, *goals[one.goal]), *goals[one.goal]) for one in sorted(found)[:REFINED]
    ]
    return min(reached, key=lambda one: distance(one[0], layers), default=None)


def _start(
    layers: Layers, goal: Goal, where: Cut, generator: np.random.Generator, k: int
) -> Layers:
    """Start k: the layers cut; then balanced ones, turned to the layers or in random frames."""
    turned = None
    if k:
        turned = balanced_layers(layers, goal.made, where, generator, sweeps=10 * (k % 2))
    return applied(layers if turned is None else turned, where)


def _minima(cost: MapCost) -> Goal:
    made = minimum(cost)
    return Goal(made, determined(cost, made), float(np.linalg.norm(made)))


def _layers(problem: Problem, params: Params) -> Layers:
    network = problem.network
    if not isinstance(network, Pathways) or len(network.widths) != 1:
        raise InputError(
            f"distances are found for one chain of matrices, and {network} was given; pass a "
            "Problem of dlnlab.networks.chain."
        )
    (widths,) = network.widths
    if min(widths) < min(widths[0], widths[-1]):
        raise InputError(
            f"a hidden layer of width {min(widths)} is narrower than the map of {widths[-1]} by "
            f"{widths[0]}, where minima need not fit the task; widen it."
        )
    layers = tuple(np.asarray(w, np.float64) for w in network.check(params)[0])
    if not all(np.isfinite(w).all() for w in layers):
        raise InputError("a layer has NaN or infinite entries, and finite ones are needed.")
    return layers


def _nearest(
    problem: Problem, best: Layers | None, layers: Layers, lower: float, starts: int
) -> Nearest:
    if best is None:
        raise InputError(
            f"no point was reached from {starts} starts; raise starts, or widen the layers."
        )
    with jax.enable_x64(True):
        reached: Params = jax.tree.map(np.asarray, (best,))
        squares = [np.sum(np.asarray(g) ** 2) for g in jax.tree.leaves(problem.gradient(reached))]
    return Nearest(distance(best, layers), lower, reached, float(np.sqrt(sum(squares))), starts)
