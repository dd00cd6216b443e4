"""Data sets, and how a table of numbers becomes white inputs. Plain NumPy, on the host."""

import functools
from pathlib import Path

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


CIFAR_PIXELS = 3 * 32 * 32
CIFAR_BATCHES = tuple(f"data_batch_{k}.bin" for k in range(1, 6))


@functools.lru_cache(maxsize=4)
def cifar10(folder: str | Path, count: int = 500, components: int = 10) -> Samples:
    """CIFAR-10 from a folder of your own: the first `count` training images, some tests held out.

    The folder is `cifar-10-batches-bin`, the data set's binary version: in each file a byte for the
    class and 3072 for the colours of each image. (The Python version is a pickle, which may run
    any program as it is opened; it is not read.) Inputs are the leading principal components of
    the training images, white over them; outputs are the ten classes as 0 and 1, less their means
    over the training images. As many test images as there are training images are held out, if
    there are so many, and treated likewise.

    **Raises:** `InputError` where files are missing or damaged, and for a count or components that
    the images do not have.
    """
    place = Path(folder)
    table, classes = _cifar(place, CIFAR_BATCHES, count)
    if count < 2 or len(table) < count:
        raise InputError(
            f"{place} holds {len(table)} of the {count} training images asked for, and 2 or more "
            "are needed; change the count, or unpack all five training files."
        )
    others, other_classes = _cifar(place, ("test_batch.bin",), count)
    centre, axes = _principal(table, components)
    labels, other_labels = (np.eye(10)[found] for found in (classes, other_classes))
    mean = labels.mean(axis=0)
    held_out = ((others - centre) @ axes, other_labels - mean)
    return Samples((table - centre) @ axes, labels - mean, held_out=held_out)


def _cifar(folder: Path, names: tuple[str, ...], count: int) -> tuple[Table, Table]:
    """Pixels from 0 to 1 and classes of the first images in these files."""
    size, found = 1 + CIFAR_PIXELS, [np.empty((0, 1 + CIFAR_PIXELS), np.uint8)]
    for name in names:
        left = count - sum(map(len, found))
        if left <= 0:
            break
        try:
            taken = np.fromfile(folder / name, np.uint8, left * size)
        except OSError:
            raise InputError(
                f"there is no file {name} in {folder}; name the unpacked folder "
                "cifar-10-batches-bin, the binary version of CIFAR-10 (not that for Python)."
            ) from None
        if taken.size % size or (taken[::size] > 9).any():
            raise InputError(
                f"{folder / name} is damaged: images are {size} bytes, of which the first is a "
                "class from 0 to 9; unpack it again."
            )
        found.append(taken.reshape(-1, size))
    rows = np.concatenate(found)
    return rows[:, 1:] / 255, rows[:, 0].astype(int)


def _principal(table: Table, components: int) -> tuple[Table, Table]:
    """The mean, and the leading principal axes scaled so that the table's own are white."""
    import scipy.linalg

    centre = table.mean(axis=0)
    centred = table - centre
    wide = len(centred) < centred.shape[1]
    gram = centred @ centred.T if wide else centred.T @ centred
    most = len(gram)
    if 1 <= components <= most:
        values, vectors = scipy.linalg.eigh(gram, subset_by_index=(most - components, most - 1))
        values, vectors = values[::-1], vectors[:, ::-1]
        if values[-1] > 1e-10 * values[0]:
            axes = centred.T @ vectors / np.sqrt(values) if wide else vectors
            largest = np.abs(axes).argmax(axis=0)
            signs = np.sign(axes[largest, np.arange(components)])
            return centre, axes * signs * np.sqrt(len(table) / values)
    raise InputError(
        f"{len(table)} images do not have {components} independent components; ask for 1 to "
        f"{most - 1} at most, and for fewer where images repeat each other."
    )
