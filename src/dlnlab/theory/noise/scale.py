"""The sizes that noise depends on, checked: η/B, the label noise, the kurtosis of the inputs."""

from dlnlab.errors import InputError, InputTypeError
from dlnlab.theory.arguments import finite, positive_number, shown, whole


def noise_scale(learning_rate: float, batch_size: int) -> float:
    """η/B: with the law of a sample, all that the noise of a step depends on.

    >>> noise_scale(0.1, 2)
    0.05
    """
    return positive_number("learning_rate", learning_rate) / whole("batch_size", batch_size)


def single(name: str, given: float) -> float:
    """One finite number at or above zero.

    >>> single("label_noise", 0)
    0.0
    """
    number = finite(name, given)
    if number.ndim:
        raise InputTypeError(
            f"{name} is {shown(given)}, and a single number is needed; call once for each value."
        )
    if number < 0:
        raise InputError(
            f"{name} is {number:g}, and a number at or above 0 is needed; check its sign."
        )
    return float(number)


def checked_kurtosis(kurtosis: float) -> float:
    """Kurtosis of the inputs: 1 is the least that any law has, 3 that of a Gaussian."""
    number = single("kurtosis", kurtosis)
    if number < 1:
        raise InputError(
            f"kurtosis is {number:g}, and no law has less than 1; a Gaussian has 3 (its excess "
            "kurtosis is 0: add 3 to an excess)."
        )
    return number
