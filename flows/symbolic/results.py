"""What the symbolic face returns: a trace, and the outcome of an identity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Trace:
    """A function's outputs as sympy expressions.

    Attributes:
        value: the output's pytree; a leaf of shape () is an expression, any other
            a numpy array of expressions; integers and booleans that depend on no
            symbol stay numpy arrays of their dtype.
        exact: False where a float was met that stands for no simple rational, or
            where something was evaluated in floating point.
        notes: what made the trace inexact, in words.
    """

    value: Any
    exact: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class IdentityResult:
    """Whether a = b, entry by entry, under the assumptions of the symbols.

    Attributes:
        status: "proved" (a - b reduces to the zero polynomial), "refuted" (at
            `witness` interval arithmetic bounds |a - b| away from 0), "undecided".
        witness: values of the symbols at which a ≠ b (refuted only).
        gap: an interval (two floats) around a - b at the witness (refuted only).
        remainder: what is left of the first entry not proved, else None.
        points: number of points at which intervals were evaluated.
    """

    status: Literal["proved", "refuted", "undecided"]
    witness: dict[Any, Any] | None = None
    gap: tuple[float, float] | None = None
    remainder: Any = field(default=None, repr=False)
    points: int = 0

    @property
    def proved(self) -> bool:
        """Whether the identity was proved."""
        return self.status == "proved"
