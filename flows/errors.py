"""Errors of the package: each says what was wrong and what is accepted."""

from __future__ import annotations

X64_LINES = 'import jax\njax.config.update("jax_enable_x64", True)  # first cell'


class FlowtheoryError(Exception):
    """Base of every error that this distribution raises on purpose."""


class BadInput(FlowtheoryError, ValueError):
    """An argument that cannot be used; the message names what is accepted."""


class PrecisionError(BadInput):
    """float32 where the answer needs float64; the message holds the lines to paste."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} needs float64, and this process computes in float32. Paste these "
            f"two lines before the first jax array is made, then restart:\n{X64_LINES}"
        )


class UnstableStep(BadInput):
    """A step size beyond a known stability limit.

    Attributes:
        step: the step size asked for (units of the learning rate).
        limit: the largest stable step size (same units).
    """

    def __init__(self, message: str, *, step: float, limit: float) -> None:
        super().__init__(message)
        self.step = step
        self.limit = limit


class NoSymbolicFace(FlowtheoryError, NotImplementedError):
    """A primitive that the symbolic tracer does not know.

    Attributes:
        primitive: name of the jax primitive.
        source: the user's line that called it, when known.
    """

    def __init__(self, message: str, *, primitive: str, source: str = "") -> None:
        super().__init__(message)
        self.primitive = primitive
        self.source = source


class NonFiniteState(FlowtheoryError, FloatingPointError):
    """A state that stopped being finite.

    Attributes:
        model: name of the dynamics.
        time: the time at which the first non-finite state stands.
        step: its index (None for an adaptive solve).
    """

    def __init__(
        self, message: str, *, model: str, time: float, step: int | None = None
    ) -> None:
        super().__init__(message)
        self.model = model
        self.time = time
        self.step = step


class SolveFailed(FlowtheoryError, RuntimeError):
    """A solve that ended before its final time, with the solver's reason."""


class WrongDistribution(FlowtheoryError, ImportError):
    """A package of our name that another distribution installed."""


def require_float64(what: str) -> None:
    """Refuse to go on in float32.

    Args:
        what: what needs the precision, as the subject of a sentence.

    Raises:
        PrecisionError: `jax_enable_x64` is off.
    """
    import jax.numpy as jnp

    if jnp.asarray(0.0).dtype != jnp.float64:
        raise PrecisionError(what)
