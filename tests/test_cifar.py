"""CIFAR-10 from a tiny folder in its binary format."""

import numpy as np
import pytest

from dlnlab.data import cifar10
from dlnlab.errors import InputError
from dlnlab.papers.ghosh2025 import perceptrons


def images(count, seed):
    """Random pixels and classes, as the binary files hold them: [image, 1 + 3072]."""
    rng = np.random.default_rng(seed)
    made = rng.integers(0, 256, (count, 3073), dtype=np.uint8)
    made[:, 0] = rng.integers(0, 10, count)
    return made


@pytest.fixture
def folder(tmp_path):
    for name, count, seed in (("data_batch_1", 8, 0), ("data_batch_2", 8, 1), ("test_batch", 5, 2)):
        images(count, seed).tofile(tmp_path / f"{name}.bin")
    return tmp_path


@pytest.mark.parametrize("count", [6, 12])
def test_images_come_in_order_white_and_with_their_classes(folder, count):
    task = cifar10(folder, count, 3)
    rows = np.concatenate([images(8, 0), images(8, 1)])[:count]
    assert task.inputs.shape == (count, 3)
    np.testing.assert_allclose(task.inputs.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(task.inputs.T @ task.inputs / count, np.eye(3), atol=1e-9)
    np.testing.assert_array_equal(task.outputs.argmax(axis=1), rows[:, 0])
    np.testing.assert_allclose(task.outputs.mean(axis=0), 0, atol=1e-15)
    # The leading components, by a decomposition of the pixels themselves.
    pixels = rows[:, 1:] / 255.0
    centred = pixels - pixels.mean(axis=0)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    overlap = left[:, :3].T @ np.asarray(task.inputs) / np.sqrt(count)
    np.testing.assert_allclose(np.abs(overlap), np.eye(3), atol=1e-8)
    # Tests are seen through the same axes.
    held = images(5, 2)[:count]
    through = (held[:, 1:] / 255.0 - pixels.mean(axis=0)) @ right[:3].T / values[:3]
    found = np.asarray(task.held_out[0]) / np.sqrt(count)
    np.testing.assert_allclose(np.abs(found), np.abs(through), atol=1e-8)


def cut(folder):
    (folder / "data_batch_2.bin").write_bytes(b"\x00" * 5000)


def recoded(folder):
    (folder / "data_batch_1.bin").write_bytes(b"\xff" * 3073 * 8)


@pytest.mark.parametrize(
    ("spoil", "count", "components", "told"),
    [
        (lambda folder: None, 20, 3, "there is no file data_batch_3.bin .* binary version"),
        (lambda folder: (folder / "test_batch.bin").unlink(), 6, 3, "no file test_batch.bin"),
        (cut, 12, 3, "data_batch_2.bin is damaged"),
        (recoded, 6, 3, "data_batch_1.bin is damaged"),
        (lambda folder: None, 1, 1, "2 or more are needed"),
        (lambda folder: None, 0, 1, "2 or more are needed"),
        (lambda folder: None, 6, 6, "6 images do not have 6 independent components"),
        (lambda folder: None, 6, 0, "do not have 0 independent components"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(folder, spoil, count, components, told):
    spoil(folder)
    with pytest.raises(InputError, match=told):
        cifar10(folder, count, components)


def test_an_experiment_reads_the_folder_that_it_is_told(folder):
    coords = {"cifar10": str(folder), "samples": 6, "components": 3}
    task = perceptrons.build(**coords).problem.task
    np.testing.assert_array_equal(task.inputs, cifar10(folder, 6, 3).inputs)
    with pytest.raises(InputError, match=r"no file data_batch_1.bin .* binary version"):
        perceptrons.EXPERIMENT.measure(cifar10="nowhere", steps=1)
    measured = perceptrons.EXPERIMENT.measure(steps=2, **coords)
    assert np.isfinite(measured.loss.values).all()
    assert measured.cifar10.item() == str(folder)
