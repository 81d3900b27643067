"""What a check can claim of a measured quantity, each with its rule for a verdict.

A relation is immutable, compares by value, prints as a short statement, and judges
plain fields alone: the measured value, its interval I, the detectable error D and
the error delta that the check must be able to see. No rule simulates anything.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from flows.errors import BadInput
from proofs_check.encoding import decode, encode

Real = float | int
Values = ArrayLike | float | int
Interval = tuple[Real, Real]
_ROUNDING = 1 + 1e-12  # "D <= delta" is met when D was computed to be delta


class Verdict(StrEnum):
    """Outcome of a check or of a claim (`blind` and `skipped` are for claims only)."""

    HOLDS = "holds"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    BLIND = "blind"
    ERROR = "error"
    SKIPPED = "skipped"


class Grade(StrEnum):
    """How an evidence was found, strongest first."""

    PROVED = "proved"
    CERTIFIED = "certified"
    MEASURED = "measured"
    ESTIMATED = "estimated"


def natural_scale(claimed: Real, scale: Real | None) -> float:
    """The scale S of relative errors: the one declared, else |claimed|.

    Args:
        claimed: the claimed value (its own unit).
        scale: a declared natural unit, positive, or None.

    Returns:
        S > 0, in the unit of `claimed`.

    Raises:
        BadInput: no scale and nothing to derive it from, or a scale that is not
            positive and finite.
    """
    if scale is None:
        scale = abs(claimed)
        if scale == 0:
            raise BadInput("a claim of 0 needs a natural unit: give scale > 0.")
    if not (math.isfinite(scale) and scale > 0):
        raise BadInput(f"scale must be positive and finite, not {scale}.")
    return scale


@dataclass(frozen=True)
class Relation:
    """Base of all relations; the concrete ones are below."""

    kind: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None or isinstance(value, str):
                continue
            value = float(value)
            if math.isnan(value):
                raise BadInput(f"{field.name} of the relation {self.kind!r} is NaN.")
            object.__setattr__(self, field.name, value)

    def judge(
        self, measured: Any, interval: Interval | None, detectable: Real, delta: Real
    ) -> Verdict:
        """Verdict of the interval I = `interval` with detectable error D.

        Args:
            measured: the measured value (used by `Identity` and `Exact` alone).
            interval: I, in the unit of the measured value.
            detectable: D, relative to the scale of the relation.
            delta: the error that must be detectable, same unit as D.

        Returns:
            `holds`, `refuted` or `undecided`.
        """
        raise NotImplementedError

    def separated(self, wrong: Real, delta: Real) -> bool | None:
        """Whether a control of value `wrong` is 1.5 detectable errors off the claim.

        Args:
            wrong: the value c_w that the control is expected to measure.
            delta: the detectable error asked of the control.

        Returns:
            The answer, or None where the relation has no such distance.
        """
        return None

    def to_json(self) -> dict[str, Any]:
        """Fields and kind, with infinities as strings."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {"kind": self.kind, **{k: encode(v) for k, v in fields.items()}}


def _two_sided(
    claimed: Real, interval: Interval | None, detectable: Real, delta: Real
) -> Verdict:
    if interval is None:
        return Verdict.UNDECIDED
    if not interval[0] <= claimed <= interval[1]:
        return Verdict.REFUTED
    sharp = detectable <= delta * _ROUNDING
    return Verdict.HOLDS if sharp else Verdict.UNDECIDED


@dataclass(frozen=True)
class Equal(Relation):
    """m = claimed; errors are relative to S = scale, or |claimed| without one."""

    claimed: Real
    scale: Real | None = None
    kind: ClassVar[str] = "equal"

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.unit_of_error

    @property
    def unit_of_error(self) -> float:
        """S, in the unit of the claimed value."""
        return natural_scale(self.claimed, self.scale)

    def judge(self, measured, interval, detectable, delta) -> Verdict:
        """Refuted: claimed outside I. Holds: inside, and D <= delta."""
        return _two_sided(self.claimed, interval, detectable, delta)

    def separated(self, wrong: Real, delta: Real) -> bool:
        """|wrong - claimed| >= 1.5 delta S."""
        return abs(wrong - self.claimed) >= 1.5 * delta * self.unit_of_error / _ROUNDING

    def __str__(self) -> str:
        return f"= {self.claimed:.6g}"


@dataclass(frozen=True)
class Threshold(Equal):
    """A growth rate changes sign at the parameter `claimed`; I is the bracket."""

    kind: ClassVar[str] = "threshold"

    def __str__(self) -> str:
        return f"sign change at {self.claimed:.6g}"


@dataclass(frozen=True)
class UpperBound(Relation):
    """m <= bound, up to delta S with S = scale or |bound|."""

    bound: Real
    scale: Real | None = None
    kind: ClassVar[str] = "upper_bound"

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.unit_of_error

    @property
    def unit_of_error(self) -> float:
        """S, in the unit of the bound."""
        return natural_scale(self.bound, self.scale)

    def judge(self, measured, interval, detectable, delta) -> Verdict:
        """Refuted: lo > bound. Holds: hi <= bound + delta S."""
        if interval is None:
            return Verdict.UNDECIDED
        lo, hi = interval
        if lo > self.bound:
            return Verdict.REFUTED
        slackened = self.bound + delta * self.unit_of_error
        return Verdict.HOLDS if hi <= slackened else Verdict.UNDECIDED

    def __str__(self) -> str:
        return f"<= {self.bound:.6g}"


@dataclass(frozen=True)
class LowerBound(UpperBound):
    """m >= bound, up to delta S with S = scale or |bound|."""

    kind: ClassVar[str] = "lower_bound"

    def judge(self, measured, interval, detectable, delta) -> Verdict:
        """Refuted: hi < bound. Holds: lo >= bound - delta S."""
        if interval is None:
            return Verdict.UNDECIDED
        lo, hi = interval
        if hi < self.bound:
            return Verdict.REFUTED
        slackened = self.bound - delta * self.unit_of_error
        return Verdict.HOLDS if lo >= slackened else Verdict.UNDECIDED

    def __str__(self) -> str:
        return f">= {self.bound:.6g}"


@dataclass(frozen=True)
class Range(Relation):
    """low <= m <= high; errors are relative to S = scale or max(|low|, |high|)."""

    low: Real
    high: Real
    scale: Real | None = None
    kind: ClassVar[str] = "range"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise BadInput(f"an empty range: low {self.low} > high {self.high}.")
        _ = self.unit_of_error

    @property
    def unit_of_error(self) -> float:
        """S, in the unit of the ends."""
        return natural_scale(max(abs(self.low), abs(self.high)), self.scale)

    def judge(self, measured, interval, detectable, delta) -> Verdict:
        """Refuted: I disjoint from [low, high]. Holds: they meet, and D <= delta."""
        if interval is None:
            return Verdict.UNDECIDED
        lo, hi = interval
        if hi < self.low or lo > self.high:
            return Verdict.REFUTED
        sharp = detectable <= delta * _ROUNDING
        return Verdict.HOLDS if sharp else Verdict.UNDECIDED

    def separated(self, wrong: Real, delta: Real) -> bool:
        """The distance of `wrong` to the range is at least 1.5 delta S."""
        distance = max(self.low - wrong, wrong - self.high)
        return distance >= 1.5 * delta * self.unit_of_error / _ROUNDING

    def __str__(self) -> str:
        return f"in [{self.low:.6g}, {self.high:.6g}]"


@dataclass(frozen=True)
class Order(Relation):
    """An error is O(h^p): the exponent lies in (p - cell, p + cell).

    `cell` is half the distance to the nearest rival order (1/4 where rivals are 1/2
    apart). D and delta are in units of order.
    """

    p: Real
    cell: Real = 0.25
    kind: ClassVar[str] = "order"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.cell < math.inf:
            raise BadInput(f"the cell of an order must be positive, not {self.cell}.")

    @property
    def unit_of_error(self) -> float:
        """1: orders are compared absolutely."""
        return 1.0

    def judge(self, measured, interval, detectable, delta) -> Verdict:
        """Holds: I inside the open cell. Refuted: I outside it altogether."""
        if interval is None:
            return Verdict.UNDECIDED
        lo, hi = interval
        left, right = self.p - self.cell, self.p + self.cell
        if left < lo and hi < right:
            return Verdict.HOLDS
        outside = hi <= left or lo >= right
        return Verdict.REFUTED if outside else Verdict.UNDECIDED

    def separated(self, wrong: Real, delta: Real) -> bool:
        """|wrong - p| >= 1.5 cells: the nearest rival, two cells off, qualifies."""
        return abs(wrong - self.p) >= 1.5 * self.cell / _ROUNDING

    def __str__(self) -> str:
        return f"order {self.p:g} (+-{self.cell:g})"


@dataclass(frozen=True)
class Law(Relation):
    """The samples follow the named law; I encloses sup |F - F_claimed|."""

    name: str
    kind: ClassVar[str] = "law"

    def judge(self, measured, interval, detectable, delta) -> Verdict:
        """Refuted: I excludes the distance 0. Holds: it does not, and D <= delta."""
        return _two_sided(0.0, interval, detectable, delta)

    def separated(self, wrong: Real, delta: Real) -> bool:
        """The control's law is 1.5 delta away in sup distance."""
        return abs(wrong) >= 1.5 * delta / _ROUNDING

    def __str__(self) -> str:
        return f"law {self.name}"


@dataclass(frozen=True)
class Identity(Relation):
    """An algebraic identity or inequality, decided exactly.

    The measured value is the status, "proved", "refuted" or "undecided".
    """

    name: str = "0"
    kind: ClassVar[str] = "identity"

    def judge(self, measured, interval, detectable, delta) -> Verdict:
        """Holds: proved. Refuted: a witness. Undecided: neither."""
        table = {"proved": Verdict.HOLDS, "refuted": Verdict.REFUTED}
        return table.get(str(measured), Verdict.UNDECIDED)

    def __str__(self) -> str:
        return "identity" if self.name == "0" else f"identity {self.name}"


@dataclass(frozen=True)
class Exact(Relation):
    """Two trajectories agree up to rounding R; I = [D_max - R, D_max + R]."""

    kind: ClassVar[str] = "exact"

    def judge(self, measured, interval, detectable, delta) -> Verdict:
        """Refuted: distance above R. Holds: below, and the moved run was seen."""
        return _two_sided(0.0, interval, detectable, delta)

    def __str__(self) -> str:
        return "equal up to rounding"


RELATIONS: dict[str, type[Relation]] = {
    relation.kind: relation
    for relation in (
        Equal, Threshold, UpperBound, LowerBound, Range, Order, Law, Identity, Exact
    )
}  # fmt: skip


def relation_from_json(record: dict[str, Any]) -> Relation:
    """The relation that `Relation.to_json` wrote.

    Args:
        record: a dictionary with "kind" and the fields.

    Returns:
        The relation, equal to the one written.

    Raises:
        BadInput: the kind is unknown.
    """
    fields = decode(dict(record))
    kind = fields.pop("kind", None)
    if kind not in RELATIONS:
        raise BadInput(f"unknown relation {kind!r}; accepted: {sorted(RELATIONS)}.")
    return RELATIONS[kind](**fields)
