"""How far the nearest saddle and the nearest global minimum are: bounds from both sides."""

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
    partial_products,
    retract,
    within,
)
from dlnlab.critical.frames import balanced_layers
from dlnlab.critical.maps import MapCost, critical_maps, determined, map_cost, minimum
from dlnlab.errors import InputError
from dlnlab.networks import Pathways
from dlnlab.problem import Problem
from dlnlab.typing import Params

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
    with threadpool_limits(1, user_api="blas"):
        cuts = [(at, cut(layers, at, way)) for at in places for way in ways(len(layers))]
    goals = [(within(minima._replace(made=at.made), where), where) for at, where in cuts]
    best = _search(layers, goals, max(2, -(-starts // len(goals))), seed)
    return _nearest(problem, best, layers, saddle_bound(layers), max(starts, 2 * len(goals)))


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
    best = _search(layers, [(goal, no_cut(layers))], starts, seed)
    return _nearest(problem, best, layers, minimum_bound(layers, cost, goal), starts)


def linearised_distance(problem: Problem, params: Params, tolerance: float = 0.5) -> float:
    """The length of the least step that fits the task to first order, `√(Rᵀ K⁻¹ R)`.

    R is the misfit and K the neural tangent kernel of the map. It is the distance of the nearest
    global minimum in the lazy regime (γ < 1) alone: the step is taken, and what is left of the
    misfit must be at most `tolerance` of it.

    **Raises:** `InputError` where more is left, and where `nearest_minimum` raises.

    Source: jacot2021.1.

    >>> from dlnlab.networks import chain
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(chain((1, 1, 1)), Whitened(np.array([[101.0]])))
    >>> layers = ((np.array([[8.0]]), np.array([[12.0]])),)
    >>> round(linearised_distance(problem, layers), 4), round(5 / 208**0.5, 4)
    (0.3467, 0.3467)
    """
    layers = _layers(problem, params)
    goal, where = _minima(map_cost(problem)), no_cut(layers)
    step = linear_step(layers, goal, where)
    moved = tuple(w + d for w, d in zip(layers, step, strict=True))

    def misfit(at: Layers) -> float:
        made = partial_products(at)[0][0] @ at[0] - goal.made
        return float(np.linalg.norm(goal.equations.T @ made.ravel()))

    left = misfit(moved) / max(misfit(layers), 1e-300)
    if not left <= tolerance:
        raise InputError(
            f"the least linear step leaves {left:.3g} of the misfit, and at most {tolerance:g} is "
            "allowed for a linearised distance; take γ below 1 and larger widths, or "
            "nearest_minimum."
        )
    return distance(moved, layers)


def _search(layers: Layers, goals: list[tuple[Goal, Cut]], starts: int, seed: int) -> Layers | None:
    """The nearest point that reaches one of the goals, of some starts for each; None if none does.

    A goal whose cut alone is longer than the best distance so far is passed over. The systems are
    small, and threads would spend their time waiting for each other.
    """
    with threadpool_limits(1, user_api="blas"):
        return _nearest_of(layers, goals, starts, seed)


def _nearest_of(
    layers: Layers, goals: list[tuple[Goal, Cut]], starts: int, seed: int
) -> Layers | None:
    generator = np.random.default_rng(seed)
    cuts = [distance(applied(layers, where), layers) for _, where in goals]
    found: list[tuple[float, int, Layers]] = []
    for n in np.argsort(cuts):
        goal, where = goals[n]
        if found and cuts[n] >= min(found)[0]:
            break
        for k in range(starts):
            at = retract(_start(layers, goal, where, generator, k), goal, where)
            if at is not None:
                found.append((distance(at, layers), len(found) + 1000 * int(n), at))
    best = sorted(found)[:REFINED]
    reached = [fit(at, layers, *goals[order // 1000]) for _, order, at in best]
    return min(reached, key=lambda at: distance(at, layers), default=None)


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
