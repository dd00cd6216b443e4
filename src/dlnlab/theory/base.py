"""What a prediction is: theory's word on one measured quantity, with its assumptions and source."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlnlab.errors import InputError


@dataclass(frozen=True)
class Assumption:
    """A condition under which a formula was derived, as a measured departure from it.

    `departure` takes arguments of the prediction (those that it names) and returns how far they
    are from the condition, 0 where it is met; beyond `tolerance` the assumption is broken.
    `nowhere`: beyond it the formula has no value at all, even stretched.
    """

    name: str
    sentence: str
    departure: Callable[..., float]
    tolerance: float = 0.0
    nowhere: bool = False

    def measure(self, arguments: Mapping[str, Any]) -> float:
        wanted = inspect.signature(self.departure).parameters
        return float(self.departure(**{name: arguments[name] for name in wanted}))


class BrokenAssumption(InputError):
    """A prediction was asked outside its assumptions; the message names the broken one."""


@dataclass(frozen=True)
class Prediction:
    """What theory says about a named Observable or Statistic (`of`).

    Called with plain mathematical arguments it returns the value, or raises `BrokenAssumption`.
    `stretch=True` returns the formula's value all the same, for whoever draws it as stretched;
    where there is none it raises `InputError`.
    """

    function: Callable[..., Any]
    name: str
    of: str
    dims: tuple[str, ...]
    symbol: str
    assumes: tuple[Assumption, ...]
    source: str

    def arguments(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        bound = inspect.signature(self.function).bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def departures(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """How far the arguments are from each assumption, by name."""
        arguments = self.arguments(*args, **kwargs)
        return {assumption.name: assumption.measure(arguments) for assumption in self.assumes}

    def broken(self, *args: Any, **kwargs: Any) -> tuple[Assumption, ...]:
        """The assumptions that these arguments break."""
        departures = self.departures(*args, **kwargs)
        return tuple(a for a in self.assumes if not departures[a.name] <= a.tolerance)

    def __call__(self, *args: Any, stretch: bool = False, **kwargs: Any) -> Any:
        if not stretch:
            broken = self.broken(*args, **kwargs)
            # Where one broken assumption leaves no value, that of another is no help.
            mend = "change the arguments" + _or_stretch(broken)
            for assumption in broken:
                departure = assumption.measure(self.arguments(*args, **kwargs))
                raise BrokenAssumption(
                    f"{self.name} assumes that {assumption.sentence}, and the departure is "
                    f"{departure:.3g} where at most {assumption.tolerance:.3g} is allowed; "
                    f"{mend}."
                )
        return np.asarray(self.function(*args, **kwargs))


def _or_stretch(broken: tuple[Assumption, ...]) -> str:
    if any(assumption.nowhere for assumption in broken):
        return ", since beyond them the formula has no value"
    return ", or pass stretch=True to have the formula's value anyway"


def _stretchable(function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(function)
    stretch = inspect.Parameter(
        "stretch", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=bool
    )
    return signature.replace(parameters=[*signature.parameters.values(), stretch])


def prediction(
    of: Any,
    *,
    dims: tuple[str, ...] = (),
    symbol: str = "",
    assumes: tuple[Assumption, ...] = (),
    source: str,
) -> Callable[[Callable[..., Any]], Prediction]:
    """Make a module-level function a `Prediction` of the observable (or name) `of`."""

    def decorate(function: Callable[..., Any]) -> Prediction:
        name = of if isinstance(of, str) else of.name
        made = Prediction(function, function.__name__, name, dims, symbol, assumes, source)
        # What help() and editors show: the formula's own arguments, and `stretch`.
        object.__setattr__(made, "__doc__", function.__doc__)
        object.__setattr__(made, "__signature__", _stretchable(function))
        return made

    return decorate
