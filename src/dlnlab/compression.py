"""From a chain of square ε-orthogonal layers to the equivalent chain of width 2r, and back.

Let every layer be `W_l = ε_l Q_l` with Q_l orthogonal, O = Q_L ⋯ Q_1, and the target M of rank r
with singular vectors U_r, V_r. The kept space `K_0 = span(V_r, OᵀU_r)` has at most 2r dimensions;
the rest `T_0 = K_0^⊥` lies where both M and MᵀO vanish. Carried along, `K_l = Q_lK_{l−1}` and
`T_l = Q_lT_{l−1}`, they split the network for ever (Kwon et al. 2024, Yaras et al. 2024):

* `W_l = K_l(ε_l I)K_{l−1}ᵀ + T_l(ε_l I)T_{l−1}ᵀ` and `M = K_L M' K_0ᵀ`, because MT_0 = 0 and
  `MᵀT_L = MᵀOT_0 = 0`;
* so the gradient `W_{>l}ᵀ(W − M)W_{<l}ᵀ` splits as the layers do: on K it is that of a chain of
  width 2r with target M' = K_LᵀMK_0, on T a multiple of `T_lT_{l−1}ᵀ`, the same in all d − 2r
  directions: that of one mode of target 0, `w_l⁺ = w_l − ηΠ_m w_m Π_{m≠l} w_m`. With all ε equal
  it is `ρ⁺ = ρ(1 − ηρ^{2(L−1)})`.

Exact for gradient descent and flow, with that scalar chain kept. (SGD leaves the set: its noise
knows no K.) Everything here is NumPy in float64 on the host, once before a run.
"""

import functools
import itertools
from dataclasses import dataclass

import jax
import numpy as np

from dlnlab.errors import InputError
from dlnlab.networks import Modes, Pathways, chain
from dlnlab.problem import Problem
from dlnlab.reduction import NotReducible, whitened
from dlnlab.tasks import Whitened
from dlnlab.typing import Any, Params

Matrix = np.ndarray[Any, Any]
Matrices = tuple[Matrix, ...]


@dataclass(frozen=True)
class Certificate:
    """How far a chain is from the conditions of the compression.

    `target`: ‖M − M_r‖ / ‖M‖, what rank r leaves out. `layers`: the largest
    `‖W_l − ε_l Q_l‖ / ‖W_l‖` over all layers, Q_l the nearest orthogonal matrix.
    """

    target: float
    layers: float


@dataclass(frozen=True)
class Compression:
    """The equivalent chain of width 2r, the scalar chain of all else, and the way back.

    `problem` and `params` are the chain of width 2r; `rest` and `rest_params` a network of one
    mode with target 0, which stands for the d − 2r directions outside. Run both with the same
    dynamics (gradient descent or flow) for the same number of steps; the loss of the whole is
    `problem.loss + (d − 2r) rest.loss`, d − 2r being `multiplicity`.
    """

    problem: Problem
    params: Params
    rest: Problem
    rest_params: Params
    certificate: Certificate
    full: Matrices
    kept: Matrices
    left_out: Matrices

    @property
    def multiplicity(self) -> int:
        """How many directions share the scalar chain, d − 2r."""
        return int(self.left_out[0].shape[1])

    def lift(self, params: Params, rest_params: Params) -> Params:
        """The layers of full width whose kept part is `params`, and all else `rest_params`.

        `W_l + K_l(W'_l − W'_l(0))K_{l−1}ᵀ + (w_l − w_l(0))T_lT_{l−1}ᵀ`, [d, d] for each layer. At
        the start these are the layers that were given, to the last bit.
        """
        moved = jax.tree.map(_difference, params, self.params)[0]
        decayed = jax.tree.map(_difference, rest_params, self.rest_params)[0]
        ends = (self.kept, self.kept[1:], self.left_out, self.left_out[1:])
        columns = zip(self.full, moved, decayed, *ends, strict=False)
        return (tuple(w + k @ m @ j.T + r * t @ s.T for w, m, r, j, k, s, t in columns),)


def compress(
    problem: Problem, params: Params, rank: int | None = None, tolerance: float = 1e-10
) -> Compression:
    """The chain of width 2r that is equivalent to these layers, or which condition is broken.

    **Arguments:** `rank` is r; left out, the number of the target's singular values above
    `tolerance` times the largest (at least 1). `tolerance` bounds the certificate.

    **Raises:** `NotReducible`, naming the condition and the departure; `InputError` for what is no
    single chain of square layers, and a rank below 1.

    Source: Kwon et al. 2024; Yaras et al. 2024.

    >>> from dlnlab.networks import square
    >>> problem = Problem(square(4, (3,)), Whitened(np.diag([2.0, 0.0, 0.0, 0.0])))
    >>> made = compress(problem, ((0.1 * np.eye(4),) * 3,))
    >>> made.problem.network.widths, made.rest.network.depths, made.multiplicity
    (((2, 2, 2, 2),), (3,), 2)
    """
    size = _square_chain(problem)
    (full,) = jax.tree.map(lambda w: np.asarray(w, np.float64), problem.network.check(params))
    target = np.asarray(problem.task.target, np.float64)
    if not all(np.isfinite(matrix).all() for matrix in (*full, target)):
        raise InputError(
            "the target or a layer has NaN or infinite entries, and finite ones are needed; "
            "compress at the start of a run, before anything diverges."
        )
    left, strengths, right = np.linalg.svd(target)
    if rank is None:
        rank = max(1, int(np.sum(strengths > tolerance * strengths[0])))
    elif rank < 1:
        raise InputError(
            f"rank is {rank}, and at least 1 is needed; leave it out to have it found."
        )
    turns = tuple(_nearest_orthogonal(layer) for layer in full)
    layers = max(
        _relative(w - np.sum(w * q) / size * q, w) for w, q in zip(full, turns, strict=True)
    )
    certificate = Certificate(_relative(strengths[rank:], strengths), layers)
    broken = _broken(certificate, rank, size, tolerance)
    if broken is not None:
        raise NotReducible(f"{broken}; or simulate the matrices themselves.")
    frames = _frames(turns, right[:rank].T, left[:, :rank])
    kept = tuple(frame[:, : 2 * rank] for frame in frames)
    left_out = tuple(frame[:, 2 * rank :] for frame in frames)
    task = Whitened(kept[-1].T @ target @ kept[0], whitened(problem).label_noise)
    depth = len(full)
    return Compression(
        Problem(chain((2 * rank,) * (depth + 1)), task),
        (_carried(full, kept),),
        Problem(Modes((depth,), 1), Whitened(np.zeros(1), whitened(problem).label_noise)),
        (tuple(np.diag(w).mean(keepdims=True) for w in _carried(full, left_out)),),
        certificate,
        full,
        kept,
        left_out,
    )


def _square_chain(problem: Problem) -> int:
    """The width of a single chain of square layers; anything else is refused."""
    network = problem.network
    widths = set(network.widths[0]) if isinstance(network, Pathways) else set()
    if not isinstance(network, Pathways) or len(network.widths) != 1 or len(widths) != 1:
        given = network.widths if isinstance(network, Pathways) else type(network).__name__
        raise InputError(
            f"only a single chain of square layers is compressed, and {given} was given; pass a "
            "Problem of dlnlab.networks.square(dimension, (depth,))."
        )
    return widths.pop()


def _broken(certificate: Certificate, rank: int, size: int, tolerance: float) -> str | None:
    if not certificate.target <= tolerance:
        return (
            f"rank {rank} leaves out a relative {certificate.target:.3g} of the target, where at "
            f"most {tolerance:.3g} is allowed; raise the rank"
        )
    if 2 * rank >= size:
        return (
            f"a target of rank {rank} needs a width of {2 * rank} and the layers have {size}, so "
            "that there is nothing to compress; compress wider layers"
        )
    if not certificate.layers <= tolerance:
        return (
            f"a layer is no multiple of an orthogonal matrix by a relative "
            f"{certificate.layers:.3g}, where at most {tolerance:.3g} is allowed; start from "
            "ε-orthogonal layers"
        )
    return None


def _nearest_orthogonal(layer: Matrix) -> Matrix:
    left, _, right = np.linalg.svd(layer)
    return left @ right


def _relative(error: Matrix, whole: Matrix) -> float:
    size = np.linalg.norm(whole)
    return float(np.linalg.norm(error) / size) if size > 0 else 0.0


def _frames(turns: Matrices, right: Matrix, left: Matrix) -> Matrices:
    """Orthonormal frames [K_l, T_l] of all widths, `Q_l ⋯ Q_1 [K_0, T_0]`, from the input on.

    K_0 is the span of V_r and OᵀU_r, filled up to 2r where they coincide: an SVD leaves the last
    d − 2r vectors orthogonal to both, to rounding, however nearly parallel they are.
    """
    back = functools.reduce(lambda vectors, turn: turn.T @ vectors, reversed(turns), left)
    start = np.linalg.svd(np.hstack([right, back]))[0]
    return tuple(itertools.accumulate(turns, lambda frame, turn: turn @ frame, initial=start))


def _carried(full: Matrices, bases: Matrices) -> tuple[Any, ...]:
    """Each layer between the bases before and after it."""
    return tuple(
        after.T @ layer @ before
        for layer, before, after in zip(full, bases, bases[1:], strict=False)
    )


def _difference(new: Any, old: Any) -> Matrix:
    return np.asarray(new, np.float64) - np.asarray(old, np.float64)
