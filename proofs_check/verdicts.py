"""The verdict of a claim from its main checks and its negative controls.

| verdict (worst first) | when |
|---|---|
| error | a check or control is an error, a control is too weak, two routes disagree |
| refuted | some main check is refuted |
| blind | some control holds, or is refuted with a value that is not the expected one |
| undecided | some main check or control is undecided, or no control is present |
| holds | all main checks hold and every control is caught |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from flows.errors import BadInput
from proofs_check.decide.critical import CATALOGUE_LEVEL, LEVEL
from proofs_check.encoding import encode
from proofs_check.evidence import Evidence
from proofs_check.relations import (
    Equal,
    Grade,
    Identity,
    Order,
    Real,
    Relation,
    Verdict,
)

WORST_FIRST = (
    Verdict.ERROR,
    Verdict.REFUTED,
    Verdict.BLIND,
    Verdict.UNDECIDED,
    Verdict.HOLDS,
)
_GRADES = tuple(Grade)


@dataclass(frozen=True, eq=False)
class Control:
    """A negative control: the same check with one hypothesis broken.

    Attributes:
        evidence: what the control brought home, against the claim of the main check.
        broken: the hypothesis that was broken, as text.
        expected: the wrong value c_w where it is known, else None.
    """

    evidence: Evidence
    broken: str
    expected: Real | None = None

    @property
    def verdict(self) -> Verdict:
        """What this control says of the claim, `holds` meaning caught."""
        return self._judged()[0]

    @property
    def reason(self) -> str:
        """Why, in words."""
        return f"control {self.broken!r}: {self._judged()[1]}"

    def _judged(self) -> tuple[Verdict, str]:
        found, wrong = self.evidence, self.expected
        if wrong is not None and not is_separated(found.relation, wrong, found.delta):
            return Verdict.ERROR, f"{wrong:g} is too close to the claim to be a control"
        if found.verdict is Verdict.ERROR:
            return Verdict.ERROR, found.reason
        if found.verdict is Verdict.HOLDS:
            return Verdict.BLIND, "the broken claim holds"
        if found.verdict is Verdict.UNDECIDED:
            return Verdict.UNDECIDED, found.reason or "not seen to fail"
        if wrong is None:
            return Verdict.HOLDS, "caught"
        lo, hi = found.interval or (math.nan, math.nan)
        if not lo <= wrong <= hi:
            return Verdict.BLIND, f"refuted, but not with the value {wrong:g}"
        if found.detectable > found.delta * (1 + 1e-12):
            return Verdict.UNDECIDED, f"refuted, {wrong:g} not measured to delta"
        return Verdict.HOLDS, f"caught at {wrong:g}"


@dataclass(frozen=True)
class ClaimVerdict:
    """The verdict of a claim.

    Attributes:
        verdict: the worst that was found.
        reasons: what led to it, one line each; empty for `holds`.
        grade: the weakest grade among the main checks (None without one).
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    grade: Grade | None

    def __str__(self) -> str:
        grade = f" ({self.grade})" if self.grade else ""
        return "; ".join([f"{self.verdict}{grade}", *self.reasons])

    def to_json(self) -> dict[str, Any]:
        """Verdict, reasons and grade as JSON values."""
        return {
            "verdict": self.verdict.value,
            "reasons": list(self.reasons),
            "grade": encode(self.grade),
        }


def claim_verdict(
    checks: Sequence[Evidence], controls: Sequence[Control]
) -> ClaimVerdict:
    """The verdict of a claim, by the worst thing found.

    Args:
        checks: evidences of the main checks, at least one for anything but
            `undecided`.
        controls: the negative controls.

    Returns:
        The verdict with its reasons.
    """
    found: list[tuple[Verdict, str]] = [
        (check.verdict, _main_reason(check)) for check in checks
    ]
    found += [(c.verdict, c.reason) for c in controls]
    found += [(Verdict.ERROR, text) for text in disagreements(checks)]
    if not controls:
        found.append((Verdict.UNDECIDED, "no negative control"))
    if not checks:
        found.append((Verdict.UNDECIDED, "no main check"))
    worst = min((v for v, _ in found), key=WORST_FIRST.index)
    reasons: tuple[str, ...] = ()
    if worst is not Verdict.HOLDS:
        reasons = tuple(text for v, text in found if v is worst)
    grade = max((c.grade for c in checks), key=_GRADES.index, default=None)
    return ClaimVerdict(worst, reasons, grade)


def failed(error: BaseException) -> ClaimVerdict:
    """The verdict of a claim whose check or control raised an exception.

    Args:
        error: the exception.

    Returns:
        `error`; an exception never counts as a control caught.
    """
    return ClaimVerdict(Verdict.ERROR, (f"{type(error).__name__}: {error}",), None)


def disagreements(checks: Sequence[Evidence]) -> list[str]:
    """Pairs of routes to one quantity that exclude each other.

    Args:
        checks: evidences; two are compared when relation, quantity and unit are the
            same and their named routes differ.

    Returns:
        One line for each pair of disjoint intervals, or of identities proved by one
        route and refuted by the other.
    """
    lines = []
    for a, b in combinations(checks, 2):
        same = (a.relation, a.quantity, a.unit) == (b.relation, b.quantity, b.unit)
        if not same or not a.route or not b.route or a.route == b.route:
            continue
        if a.reason or b.reason:
            continue
        if isinstance(a.relation, Identity):
            apart = {a.verdict, b.verdict} == {Verdict.HOLDS, Verdict.REFUTED}
        elif not isinstance(a.relation, (Equal, Order)):
            continue  # bounds, ranges, laws: routes may measure different instances
        else:
            apart = _disjoint(a, b)
        if apart:
            lines.append(f"routes {a.route!r} and {b.route!r} exclude each other")
    return lines


def is_separated(relation: Relation, wrong: Real, delta: Real) -> bool:
    """Whether a control's wrong value is far enough from the claim.

    |c_w - c| >= 1.5 D S with D = delta (1.5 cells for an order), so that a miss is
    rarer than the level. Relations without such a distance accept every control.

    Args:
        relation: the claim.
        wrong: c_w, the value that the control is expected to measure.
        delta: detectable error asked of the control.

    Returns:
        The answer.
    """
    return relation.separated(wrong, delta) is not False


def require_separated(relation: Relation, wrong: Real, delta: Real) -> None:
    """Reject a weak control before it runs.

    Args:
        relation: the claim.
        wrong: c_w, the value that the control is expected to measure.
        delta: detectable error asked of the control.

    Raises:
        BadInput: |c_w - c| < 1.5 D S.
    """
    if not is_separated(relation, wrong, delta):
        raise BadInput(
            f"the control's value {wrong:g} is closer than 1.5 detectable errors "
            f"(delta = {delta:g}) to the claim {relation}: break the hypothesis "
            "further, or ask for a smaller delta."
        )


def require_level(checks: int) -> None:
    """Refuse a catalogue whose checks would use up its false-alarm level.

    Args:
        checks: number of checks, main and control.

    Raises:
        BadInput: checks x 1e-9 exceeds 1e-6.
    """
    if checks * LEVEL > CATALOGUE_LEVEL * (1 + 1e-9):
        raise BadInput(
            f"{checks} checks at level {LEVEL:g} exceed {CATALOGUE_LEVEL:g}: at most "
            f"{round(CATALOGUE_LEVEL / LEVEL)} fit."
        )


def _main_reason(check: Evidence) -> str:
    route = f" by {check.route}" if check.route else ""
    return f"main check{route} {check}"


def _disjoint(a: Evidence, b: Evidence) -> bool:
    if a.interval is None or b.interval is None:
        return False
    return a.interval[1] < b.interval[0] or b.interval[1] < a.interval[0]
