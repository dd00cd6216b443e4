"""What an observable is: a pure function of a problem and its parameters, with its labels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Observable:
    """A quantity that one state determines: `function(problem, params, **bound)`.

    Hashed by value (a module-level function and plain arguments), so that two equal observables
    share one compiled program. The function returns an array, or a NamedTuple of arrays: the field
    `value` then bears the observable's own name, any other field `<name>_<field>`.

    **Arguments:** `dims` names the axes of the value (of each field, for a NamedTuple);
    `symbol` is its symbol in the papers, `formula` its definition, `unit` its unit.
    """

    function: Callable[..., Any]
    name: str
    dims: tuple[str, ...] = ()
    symbol: str = ""
    formula: str = ""
    bound: tuple[tuple[str, Any], ...] = ()

    def __call__(self, problem: Any, params: Any) -> Any:
        return self.function(problem, params, **dict(self.bound))

    def bind(self, *, name: str | None = None, **arguments: Any) -> "Observable":
        """The same observable with arguments fixed, say `top_eigenvalues.bind(k=3)`."""
        bound = tuple(sorted({**dict(self.bound), **arguments}.items()))
        return replace(self, bound=bound, name=name or self.name)


def observable(
    dims: tuple[str, ...] = (), symbol: str = "", formula: str = ""
) -> Callable[[Callable[..., Any]], Observable]:
    """Make a module-level function `(problem, params) -> array` an `Observable` of its own name.

    >>> import jax.numpy as jnp
    >>> @observable(symbol="‖θ‖", formula="root of the sum of squares of all parameters")
    ... def parameter_norm(problem, params):
    ...     return jnp.sqrt(sum(jnp.sum(w**2) for pathway in params for w in pathway))
    >>> parameter_norm.name
    'parameter_norm'
    """

    def decorate(function: Callable[..., Any]) -> Observable:
        made = Observable(function, function.__name__, dims, symbol, formula)
        object.__setattr__(made, "__doc__", function.__doc__)
        return made

    return decorate
