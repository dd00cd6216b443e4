"""Data sets, and how a table of numbers becomes white inputs. Plain NumPy, on the host."""

import functools

import numpy as np

from dlnlab.errors import InputError
from dlnlab.tasks import Samples
from dlnlab.typing import Any

Table = np.ndarray[Any, Any]


def standardise(table: Table) -> Table:
    """Columns of mean 0 and variance 1.

    **Raises:** `InputError` where a number is not finite, or a column is constant.

    >>> standardise(np.array([[1.0], [3.0]])).tolist()
    [[-1.0], [1.0]]
    """
    table = _numbers(table)
    centred, spread = _centred(table)
    constant = np.flatnonzero(spread <= 1e-12 * np.abs(table).max(axis=0))
    if len(table) < 2:
        raise InputError("one sample has no variance; pass two rows or more.")
    if constant.size:
        raise InputError(
            f"column {constant[0]} is constant ({constant.size} of {table.shape[1]} are), and "
            "nothing scales it to variance 1; leave such columns out."
        )
    return np.asarray(centred / spread)


def whiten(table: Table, components: int) -> Table:
    """The leading principal components, each of mean 0 and variance 1, uncorrelated.

    Constant columns do no harm here: they lie in no component.

    **Raises:** `InputError` where a number is not finite, or where the table has fewer
    independent columns than `components`.

    >>> whiten(np.array([[1.0, 0.0], [-1.0, 0.0], [0.5, 2.0], [-0.5, -2.0]]), 1).std().round(9)
    np.float64(1.0)
    """
    table = _numbers(table)
    centred, _ = _centred(table)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    rank = int(np.sum(values > 1e-10 * values[0])) if values.size else 0
    if not 1 <= components <= rank:
        raise InputError(
            f"the table has {rank} independent columns and {components} components were asked "
            f"for; {f'ask for 1 to {rank}' if rank else 'pass rows that differ'}."
        )
    # The sign of a singular vector is the library's whim; the largest entry is made positive.
    largest = np.abs(right).argmax(axis=1)
    signs = np.sign(right[np.arange(len(right)), largest])
    return np.asarray((left * signs)[:, :components] * np.sqrt(len(table)))


def _numbers(table: Any) -> Table:
    """The table as real numbers."""
    try:
        return np.asarray(table, dtype=float)
    except (TypeError, ValueError):
        raise InputError(
            "data are a table of numbers, and some entries are none; convert words to numbers, or "
            "leave their columns out."
        ) from None


def _centred(table: Table) -> tuple[Table, Table]:
    """The columns without their means, and their standard deviations."""
    if table.ndim != 2 or not len(table):
        raise InputError(
            "data are a table with a row for each sample, at least one, and the shape "
            f"{table.shape} was given; pass [sample, column]."
        )
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise InputError(
            f"the table holds {table[row, column]} in row {row}, column {column}; leave that row "
            "out, or fill it in."
        )
    centred = table - table.mean(axis=0)
    return centred, centred.std(axis=0)


@functools.lru_cache(maxsize=16)
def digits(count: int = 500, components: int = 10) -> Samples:
    """Handwritten digits: `count` images to train on, and all others held out.

    Inputs are the leading principal components of the 8×8 pixels, white over all 1797 images;
    outputs are the ten classes as 0 and 1, each less its mean. The order of the images is shuffled
    once and for all (they come sorted by writer). The modes are those of all images.

    **Raises:** `InputError` for a count outside 1 … 1796 or components outside 1 … 61.

    >>> digits(500, 10).inputs.shape, digits(500, 10).held_out[0].shape
    ((500, 10), (1297, 10))
    """
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    if not 1 <= count < len(pixels):
        raise InputError(
            f"there are {len(pixels)} digits, some of which are held out, and {count} were asked "
            f"for; ask for 1 to {len(pixels) - 1}."
        )
    inputs = whiten(pixels[order], components)
    labels = np.eye(10)[classes[order]]
    outputs = labels - labels.mean(axis=0)
    left, _, right = np.linalg.svd(outputs.T @ inputs / len(inputs), full_matrices=False)
    return Samples(
        inputs[:count],
        outputs[:count],
        held_out=(inputs[count:], outputs[count:]),
        basis=(left, right.T),
    )
