"""From a network of matrices to the equivalent network of modes, with a certificate, and back.

On the SVS set every layer is `W_{h,l} = Q_{h,l+1} diag(w_{h,l}) Q_{h,l}ᵀ` plus a part that neither
reads nor writes those bases, `Q_{h,1} = V` and `Q_{h,L+1} = U` are the target's singular vectors,
and gradient descent and flow move the numbers w alone. There the matrices are exactly a network of
`Modes`, thousands of times faster. (SGD leaves the set.)

Everything here is NumPy in float64 on the host: a reduction happens once, before a run.
"""

import functools
import itertools
from dataclasses import dataclass

import jax
import numpy as np

from dlnlab.errors import InputError
from dlnlab.networks import Modes, Pathways
from dlnlab.problem import Problem
from dlnlab.tasks import Whitened
from dlnlab.typing import Any, Params

Matrix = np.ndarray[Any, Any]
Matrices = tuple[tuple[Matrix, ...], ...]


class NotReducible(InputError):
    """The parameters are not on the SVS set; the message says which condition is broken."""


@dataclass(frozen=True)
class Certificate:
    """How far the parameters are from the two conditions of the reduction.

    `target`: ‖M − U diag(s) Vᵀ‖ / ‖M‖. `layers`: the largest of `‖WQ_l − Q_{l+1} diag(w)‖ / ‖W‖`
    and `‖WᵀQ_{l+1} − Q_l diag(w)‖ / ‖W‖` over all layers.
    """

    target: float
    layers: float


@dataclass(frozen=True)
class Reduction:
    """The equivalent network of modes: problem, parameters, certificate, and the way back."""

    problem: Problem
    params: Params
    certificate: Certificate
    full: Matrices
    bases: Matrices

    def lift(self, params: Params) -> Params:
        """The matrices whose modes are these: `W + Σ_i (w_i − w_i(0)) q_{l+1,i} q_{l,i}ᵀ`.

        What lies outside the reduced bases stays as it was at the reduction, as it does under
        descent and flow.
        """
        return tuple(
            tuple(
                whole + (after * (np.asarray(new) - np.asarray(old))) @ before.T
                for whole, new, old, before, after in zip(*columns, q, q[1:], strict=False)
            )
            for *columns, q in zip(self.full, params, self.params, self.bases, strict=True)
        )


def reduce(problem: Problem, params: Params, tolerance: float = 1e-10) -> Reduction:
    """The network of modes that is equivalent to these matrices, or which condition is broken.

    **Arguments:** `tolerance` bounds the certificate. The target's basis is searched for (where
    singular values coincide the target does not determine it, the weights do).

    **Raises:** `NotReducible`, naming the condition and the departure; `InputError` for a network
    that is not one of matrices with a matrix target.

    >>> from dlnlab.networks import square
    >>> problem = Problem(square(2, (2,)), Whitened(np.diag([3.0, 1.0])))
    >>> made = reduce(problem, ((np.diag([0.1, 0.2]), np.diag([0.3, 0.4])),))
    >>> [w.tolist() for w in made.params[0]]
    [[0.1, 0.2], [0.3, 0.4]]
    """
    network = problem.network
    if not isinstance(network, Pathways):
        raise InputError(
            f"only networks of matrices are reduced to modes, and a {type(network).__name__} was "
            "given; pass a Problem of Pathways."
        )
    task = whitened(problem)
    full = jax.tree.map(lambda w: np.asarray(w, np.float64), network.check(params))
    given = _reduce(problem, full, np.asarray(task.left), np.asarray(task.right))
    if _broken(given.certificate, tolerance) is None:
        return given
    found = _reduce(problem, full, *_common_bases(np.asarray(task.target, np.float64), full))
    if _broken(found.certificate, tolerance) is not None:
        raise NotReducible(
            f"{_broken(given.certificate, tolerance)}, where at most {tolerance:.3g} is allowed; "
            "start on the SVS set (dlnlab.initialization.scaled_identity), or simulate the "
            "matrices themselves."
        )
    return found


def whitened(problem: Problem) -> Whitened:
    """The problem's task, if its inputs are white: only there do modes separate.

    **Raises:** `InputError` where it is one of samples or of another cost.
    """
    if isinstance(problem.task, Whitened):
        return problem.task
    raise InputError(
        f"modes are separate under white inputs only, and a {type(problem.task).__name__} task was "
        "given; pass a Whitened task."
    )


def _broken(certificate: Certificate, tolerance: float) -> str | None:
    if not certificate.target <= tolerance:
        return f"the weights' bases miss the target by a relative {certificate.target:.3g}"
    if not certificate.layers <= tolerance:
        return f"a layer mixes singular vectors by a relative {certificate.layers:.3g}"
    return None


def _reduce(problem: Problem, full: Matrices, left: Matrix, right: Matrix) -> Reduction:
    """The reduction in given end bases, whatever its certificate says."""
    target = np.asarray(problem.task.target, np.float64)
    strengths = np.einsum("oi,od,di->i", left, target, right)
    bases = tuple(_hidden_bases(pathway, left, right) for pathway in full)
    values = tuple(
        tuple(
            np.einsum("oi,od,di->i", after, w, before)
            for w, before, after in zip(pathway, q, q[1:], strict=False)
        )
        for pathway, q in zip(full, bases, strict=True)
    )
    departures = [
        _layer_departure(*parts)
        for pathway, q, w in zip(full, bases, values, strict=True)
        for parts in zip(pathway, q, q[1:], w, strict=False)
    ]
    missed = _relative(target - (left * strengths) @ right.T, target)
    task = Whitened(strengths, whitened(problem).label_noise)
    modes = Problem(Modes(problem.network.depths, len(strengths)), task)
    return Reduction(modes, values, Certificate(missed, max(departures)), full, bases)


def _layer_departure(layer: Matrix, before: Matrix, after: Matrix, values: Matrix) -> float:
    """How far a layer is from carrying `before` to `after`, and back, by `values`."""
    forth = _relative(layer @ before - after * values, layer)
    return max(forth, _relative(layer.T @ after - before * values, layer))


def _relative(error: Matrix, whole: Matrix) -> float:
    size = np.linalg.norm(whole)
    return float(np.linalg.norm(error) / size) if size > 0 else float(np.linalg.norm(error))


def _common_bases(target: Matrix, full: Matrices) -> tuple[Matrix, Matrix]:
    """U and V that diagonalise the target and all partial products, if any do.

    A generic positive combination of commuting symmetric matrices separates whatever any of them
    separates; the irrational coefficients leave no accident to chance.
    """
    products: list[Matrix] = [functools.reduce(lambda p, w: w @ p, pathway) for pathway in full]
    wholes = [target, *products]
    partials = [p for pathway in full for p in itertools.accumulate(pathway, lambda p, w: w @ p)]
    grams = [p.T @ p for p in (target, *partials)]
    grams += [(target.T @ w + w.T @ target) / 2 for w in wholes[1:]]
    sizes = [max(np.linalg.norm(g), np.finfo(float).tiny) for g in grams]
    mixed = sum(np.sqrt(k + 2) * g / n for k, (g, n) in enumerate(zip(grams, sizes, strict=True)))
    modes = min(target.shape)
    right = np.linalg.eigh(mixed)[1][:, ::-1][:, :modes]
    # Each left vector is where that map sends the right one which, for its size, sends it farthest.
    images = np.stack([w @ right / max(np.linalg.norm(w), np.finfo(float).tiny) for w in wholes])
    best = np.argmax(np.linalg.norm(images, axis=1), axis=0)
    return _orthonormal(images[best, :, np.arange(modes)].T), right


def _hidden_bases(pathway: tuple[Matrix, ...], left: Matrix, right: Matrix) -> tuple[Matrix, ...]:
    """All bases of one pathway: carried forwards from V, or, where a layer extinguishes a mode,
    backwards from U."""
    behind = [left]
    for layer in reversed(pathway[1:]):
        behind.append(layer.T @ behind[-1])
    bases = [right]
    for layer, back in zip(pathway[:-1], behind[:0:-1], strict=True):
        carried = layer @ bases[-1]
        weak = np.linalg.norm(carried, axis=0) <= 1e-14 * np.linalg.norm(layer)
        bases.append(_orthonormal(np.where(weak, back, carried)))
    return (*bases, left)


def _orthonormal(columns: Matrix) -> Matrix:
    """The columns made orthonormal, the longest first, each as near to its own direction as it can
    be; zero columns take any free direction, and stay zero where none is left."""
    made = np.zeros_like(columns)
    longest_first = np.argsort(-np.linalg.norm(columns, axis=0), kind="stable")
    for done, index in enumerate(longest_first[: len(columns)]):
        made[:, index] = _free_direction(columns[:, index], made[:, longest_first[:done]])
    return made


def _free_direction(wanted: Matrix, taken: Matrix) -> Matrix:
    """A unit vector orthogonal to the orthonormal `taken`: along `wanted` where that has room."""
    for candidate in (wanted, *np.eye(len(wanted))):
        size = np.linalg.norm(candidate)
        rest = candidate / size if size > 0 else candidate
        for _ in range(2):  # once more, because the first projection leaves rounding
            rest = rest - taken @ (taken.T @ rest)
        # One of the axes keeps at least the mean share of a free direction.
        if np.linalg.norm(rest) >= 0.5 / np.sqrt(len(wanted)):
            return rest / np.linalg.norm(rest)
    raise AssertionError("fewer directions are taken than there are")
