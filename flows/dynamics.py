"""What a model is: its generator. `Dynamics`, `Flow`, and the parts of a splitting."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.errors import BadInput
from flows.scheme import Draw
from flows.types import is_traced

State = Any
TestFunction = Callable[[Any, State], Any]


def parameter(value: Any) -> Any:
    """A model's parameter as an array: a leaf of one type, never a constant.

    A Python float would be compiled in, and a weakly typed scalar compiled for apart.

    Raises:
        BadInput: not a real number or an array of them.
    """
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"a parameter is a real number or array: {error}") from None
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise BadInput(f"a parameter is real; got {value!r}.")
    floating = jnp.issubdtype(array.dtype, jnp.floating)
    return jnp.asarray(array, array.dtype if floating else float)


def maybe_parameter(value: Any) -> Any:
    """A parameter, or None."""
    return None if value is None else parameter(value)


def require_range(name: str, value: Any, below: float = np.inf) -> None:
    """Refuse a concrete parameter that is not finite, below 0, or not below `below`.

    Raises:
        BadInput: with the name and the range.
    """
    if is_traced(value) or np.asarray(value).dtype == object:
        return
    number = np.asarray(value)
    if not (np.all(np.isfinite(number)) and np.all((number >= 0) & (number < below))):
        wanted = ">= 0 and finite" if below == np.inf else f"in [0, {below:g})"
        raise BadInput(f"{name} is {wanted}; got {value}.")


def directional(
    phi: TestFunction, t: Any, y: State, v: State, time_rate: float = 1.0
) -> Any:
    """The derivative of φ along (time_rate, v): time_rate ∂ₜφ + v·∇φ at (t, y).

    Integer leaves of y are labels: they do not move, and v holds None for them.
    """
    moving, labels = eqx.partition(y, eqx.is_inexact_array)

    def along(t, moving):
        return phi(t, eqx.combine(moving, labels))

    t = jnp.asarray(t, dtype=_dtype(moving))
    return jax.jvp(along, (t, moving), (jnp.full_like(t, time_rate), v))[1]


def _dtype(tree: Any) -> Any:
    leaves = jax.tree.leaves(tree)
    return leaves[0].dtype if leaves else jnp.asarray(0.0).dtype


class Dynamics(eqx.Module):
    """Base of all models, known by what they do to a test function φ(t, y).

    Solving, plotting, energies and LaTeX are functions of a model, not methods of it.
    """

    equation: ClassVar[str] = ""
    """The model's equation in LaTeX, in the symbols of its source."""

    @abstractmethod
    def generator(self, phi: TestFunction) -> TestFunction:
        """L φ as a function of (t, y), the time derivative included; L(L(φ)) works.

        Args:
            phi: scalar test function of (t, y); any jax code.

        Returns:
            The function (t, y) -> (L φ)(t, y), a scalar.
        """

    def position(self, y: State) -> Float[Array, " n"]:
        """The parameters x (shape [n]) within a state y."""
        return getattr(y, "position", y)

    def _repr_latex_(self) -> str:
        from flows.symbolic import latex

        return f"$\\displaystyle {latex(self)}$"


class Flow(Dynamics):
    """A deterministic model dy = v(t, y) dt, with L φ = ∂ₜφ + v·∇φ."""

    advances_time: ClassVar[bool] = True

    def stiff(self, t0: Any, t1: Any) -> bool:
        """Whether explicit solvers are hopeless between two times, as far as is known.

        `flows.solve` then takes an implicit solver, where it is given none and the
        state is small. What decides must be concrete: False where it is traced.
        """
        del t0, t1
        return False

    def require_over(self, t0: Any, t1: Any) -> None:
        """Refuse times between which the model has no meaning, as far as is known.

        `flows.solve` asks before it starts; what decides must be concrete.

        Raises:
            BadInput: with what is out of its range, and where.
        """
        del t0, t1

    @abstractmethod
    def vector_field(self, t: Any, y: State) -> State:
        """dy/dt at (t, y), of y's structure; None in place of integer leaves."""

    def parts(self) -> Mapping[str, Part]:
        """Named split fields whose sum is the field (empty where none is known)."""
        return {}

    def joint_parts(self) -> Mapping[str, Part]:
        """Sums of parts with an exact map of their own; `joins` says of which ones."""
        return {}

    def generator(self, phi: TestFunction) -> TestFunction:
        """L φ = ∂ₜφ + v·∇φ (for a part that freezes time: v·∇φ)."""
        rate = 1.0 if self.advances_time else 0.0

        def l_phi(t, y):
            return directional(phi, t, y, self.vector_field(t, y), rate)

        return l_phi


class DerivedFlow(Flow):
    """A flow made of another one, on the same states: same position, same objective."""

    flow: eqx.AbstractVar[Flow]

    def position(self, y: State) -> Float[Array, " n"]:
        """The parameters x within a state of the flow."""
        return self.flow.position(y)

    @property
    def objective(self) -> Any:
        """The flow's objective (None where it has none)."""
        return getattr(self.flow, "objective", None)


class Part(Flow):
    """One term of a split model, usually with a time-h map that is known exactly.

    The time t is one more coordinate, moved by the one part with `advances_time`;
    so a word of parts is a splitting in the strict sense even where the field
    depends on t (Adam's bias correction).
    """

    advances_time: ClassVar[bool] = False

    has_exact: ClassVar[bool] = True
    joins: ClassVar[tuple[str, ...]] = ()
    """Names of the parts that a joint part stands for."""

    def exact(self, t: Any, y: State, h: Any, noise: Any = None) -> State:
        """The state after time h under this part alone, started at (t, y).

        Parts without such a map say `has_exact = False`; a splitting then steps them
        by the inner scheme that it was given.
        """
        del t, y, h, noise
        raise BadInput(f"{type(self).__name__} has no exact map.")

    def noise_like(self, y: State) -> Draw | None:
        """What `exact` draws: None, or standard normals of some shape."""
        del y
        return None
