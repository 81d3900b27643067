"""What the laws of chains take, looked at before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows import BadInput
from flows.door import as_floats
from sde import Law


def require_interval(box: Sequence[float] | None) -> tuple[float, float]:
    """The ends (a, b) of an interval, as floats.

    Raises:
        BadInput: no interval, or ends that are not finite or not increasing.
    """
    if box is None:
        raise BadInput("name the interval of the kernel: box=(a, b).")
    ends = as_floats("box", box)
    if ends.shape != (2,) or not np.all(np.isfinite(ends)) or ends[0] >= ends[1]:
        raise BadInput(f"the box is an interval (a, b) with a < b; got {box!r}.")
    return float(ends[0]), float(ends[1])


def require_function(name: str, f: Any) -> None:
    """Refuse what cannot be called.

    Raises:
        BadInput: with the name and the value.
    """
    if not callable(f):
        raise BadInput(f"{name} is a function; got {f!r:.60}.")


def require_line(dynamics: Any) -> None:
    """Refuse an objective of several variables.

    Raises:
        BadInput: with their number.
    """
    size = getattr(getattr(dynamics, "objective", None), "size", 1)
    if size != 1:
        raise BadInput(f"the state is one number, of shape [1]; the loss takes {size}.")


@contextmanager
def on_a_line(dynamics: Any) -> Iterator[None]:
    """Evaluate a model at a state of shape [1]; what it then lacks is said as such.

    Raises:
        BadInput: the state is structured (position and velocity), or longer.
    """
    require_line(dynamics)
    try:
        yield
    except BadInput:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise BadInput(
            f"the state is one number, of shape [1]; {type(dynamics).__name__} takes "
            f"none such: {error}"
        ) from error


def require_states(law: Law) -> None:
    """Refuse a law of states of another shape than [1].

    Raises:
        BadInput: with the shapes.
    """
    seen: list[Any] = []

    def probe(state):
        seen.append(state)
        return jnp.zeros(())

    eqx.filter_eval_shape(lambda law: law.expect(probe), law)
    for state in seen:
        dtype = getattr(state, "dtype", None)
        floating = dtype is not None and jnp.issubdtype(dtype, jnp.floating)
        if not floating or np.shape(state) != (1,):
            shapes = jax.tree.map(np.shape, state)
            raise BadInput(
                "a start that is a law is one of states of shape [1], as "
                f"sde.Gaussian(jnp.zeros(1), jnp.eye(1)); got states of shape {shapes}."
            )
