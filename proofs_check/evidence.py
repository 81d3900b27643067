"""Evidence: what one check brings home, and the verdict that follows from it.

The verdict is a property of the fields. With a measurement m, its standard error se,
its bias allowance b, a claimed value c and a scale S,

    I = [m - z se - b, m + z se + b],   D = (z se + 2.33 se + 2 b) / S,

c outside I is refuted, c inside I with D <= delta holds, the rest is undecided: an
error of D S would have been refuted with probability at least 0.99. The functions of
`proofs_check.decide` fill the fields for each relation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flows.errors import BadInput
from proofs_check.encoding import decode, encode
from proofs_check.relations import (
    Equal,
    Exact,
    Grade,
    Identity,
    Interval,
    Law,
    LowerBound,
    Order,
    Range,
    Real,
    Relation,
    Threshold,
    UpperBound,
    Verdict,
    relation_from_json,
)

__all__ = [
    "Equal",
    "Evidence",
    "Exact",
    "Grade",
    "Identity",
    "Interval",
    "Law",
    "LowerBound",
    "Order",
    "Range",
    "Real",
    "Relation",
    "Threshold",
    "UpperBound",
    "Verdict",
    "decode",
    "encode",
    "relation_from_json",
]


@dataclass(frozen=True, eq=False)
class Evidence:
    """The outcome of one check, main or control.

    Attributes:
        relation: what is claimed of the measured quantity.
        measured: m: a number, a summary of an array, or a text (symbolic status).
        interval: I, in `unit`; None where the relation has no interval.
        detectable: D, the relative error (units of the relation's scale) that would
            have been refuted with probability at least 0.99; 0 for identities.
        delta: the relative error that the check had to be able to detect.
        grade: how the evidence was found.
        unit: unit of the measured quantity (of time above all), as text.
        route: name of the way it was computed; two routes to one quantity must agree.
        note: one remark for the reader.
        data: what a picture needs; `data["kind"]` is one of "order", "constant",
            "curves", "law", "threshold", "identity".
        obstacle: why no answer may be given (ladder not converging, sample too
            small); non-empty means `undecided`.
        fault: why the numbers cannot be trusted at all; non-empty means `error`.
        quantity: name of what was measured; routes are compared within a quantity.
    """

    relation: Relation
    measured: Any
    interval: Interval | None
    detectable: Real
    delta: Real
    grade: Grade
    unit: str = ""
    route: str = ""
    note: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    obstacle: str = ""
    fault: str = ""
    quantity: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detectable", float(self.detectable))
        object.__setattr__(self, "delta", float(self.delta))
        if self.interval is not None:
            lo, hi = self.interval
            object.__setattr__(self, "interval", (float(lo), float(hi)))
        if not self.delta >= 0:
            raise BadInput(f"delta must be a number >= 0, not {self.delta}.")

    @property
    def reason(self) -> str:
        """Why the verdict is `error` or `undecided` before any comparison, or ""."""
        if self.fault:
            return self.fault
        numbers = [self.detectable, *(self.interval or ())]
        if isinstance(self.measured, (float, complex)):
            numbers.append(abs(self.measured))
        if any(math.isnan(x) for x in numbers):
            return "NaN without a declared meaning"
        return self.obstacle

    @property
    def verdict(self) -> Verdict:
        """`holds`, `refuted`, `undecided` or `error`, from the fields alone."""
        if self.reason:
            return Verdict.UNDECIDED if self.reason == self.obstacle else Verdict.ERROR
        return self.relation.judge(
            self.measured, self.interval, self.detectable, self.delta
        )

    def with_relation(self, relation: Relation) -> Evidence:
        """The same measurement against another claim (a planted error, a rival).

        Args:
            relation: the new claim, of the same scale.

        Returns:
            A new evidence; its verdict is derived anew.
        """
        return replace(self, relation=relation)

    def to_json(self) -> dict[str, Any]:
        """All fields and the verdict as JSON values (infinities as "inf")."""
        record = {name: encode(getattr(self, name)) for name in self.__annotations__}
        return {**record, "verdict": self.verdict.value}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Evidence:
        """The evidence that `to_json` wrote; arrays come back as lists.

        Args:
            record: a dictionary written by `to_json`.

        Returns:
            The evidence, whose verdict is derived anew.

        Raises:
            BadInput: the stored verdict is not the one that the fields give.
        """
        fields = {k: v for k, v in record.items() if k not in ("verdict", "relation")}
        fields = decode(fields)
        fields["grade"] = Grade(fields["grade"])
        if fields["interval"] is not None:
            fields["interval"] = tuple(fields["interval"])
        evidence = cls(relation=relation_from_json(record["relation"]), **fields)
        if "verdict" in record and record["verdict"] != evidence.verdict.value:
            raise BadInput(
                f"the record says {record['verdict']!r}, its fields say "
                f"{evidence.verdict.value!r}: it was edited, or written by other rules."
            )
        return evidence

    def __str__(self) -> str:
        m = self.measured
        shown = f"{m:.6g}" if isinstance(m, (int, float)) else str(m)
        text = f"{self.verdict}: measured {shown}"
        if self.interval is not None:
            text += f" in [{self.interval[0]:.6g}, {self.interval[1]:.6g}]"
        text += f" {self.unit}".rstrip() + f", claimed {self.relation}"
        text += f"; detects {self.detectable:.2g} (asked {self.delta:.2g})"
        return text + (f"; {self.reason}" if self.reason else "")
