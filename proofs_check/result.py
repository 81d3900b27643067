"""The outcome of a claim: its checks, its controls, and the verdict they add up to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.display import Table, interval, number, resolving_digits
from proofs_check.claim import Claim, Expected
from proofs_check.evidence import (
    Equal,
    Evidence,
    Exact,
    Grade,
    Identity,
    Law,
    LowerBound,
    Order,
    Range,
    Relation,
    Threshold,
    UpperBound,
    Verdict,
)

SYMBOLS = {
    Verdict.HOLDS: "✓",
    Verdict.REFUTED: "✗",
    Verdict.UNDECIDED: "?",
    Verdict.BLIND: "◌",
    Verdict.ERROR: "!",
    Verdict.SKIPPED: "–",
}


def claimed_value(relation: Relation) -> Any:
    """What a relation claims, as a number, a pair of numbers or a name."""
    if isinstance(relation, Equal):
        return relation.claimed
    if isinstance(relation, UpperBound):
        return relation.bound
    if isinstance(relation, Range):
        return [relation.low, relation.high]
    if isinstance(relation, Order):
        return relation.p
    if isinstance(relation, Law | Identity):
        return relation.name
    return 0.0 if isinstance(relation, Exact) else str(relation)


def claimed_text(relation: Relation) -> str:
    """A claimed value with its relation, short enough for a column."""
    if isinstance(relation, Threshold):
        return f"threshold {number(relation.claimed)}"
    if isinstance(relation, LowerBound):
        return f"≥ {number(relation.bound)}"
    if isinstance(relation, UpperBound):
        return f"≤ {number(relation.bound)}"
    if isinstance(relation, Range):
        return f"in {interval((relation.low, relation.high), 4)}"
    if isinstance(relation, Order):
        return f"order {number(relation.p)}"
    if isinstance(relation, Equal):
        return number(relation.claimed)
    return "identity" if isinstance(relation, Identity) else str(relation)


def measured_text(evidence: Evidence | None) -> str:
    """A measured value to the figures that its interval resolves."""
    if evidence is None:
        return ""
    return number(evidence.measured, resolving_digits(evidence.interval))


def detectable_text(evidence: Evidence) -> str:
    """What the check would have noticed, as a sentence (without the full stop)."""
    size, relation = evidence.detectable, evidence.relation
    if isinstance(relation, Identity):
        return "would have caught any difference"
    if not math.isfinite(size):
        return "would have caught nothing"
    if isinstance(relation, UpperBound) and size > 0.9:
        return "would not have noticed a bound 10 times sharper"
    if isinstance(relation, UpperBound):
        return f"would have caught a bound sharper by {100 * max(size, 0):.2g} %"
    if isinstance(relation, Order):
        return f"would have caught an order off by {size:.2g}"
    if isinstance(relation, Law):
        return f"would have caught a distribution function off by {size:.2g}"
    return f"would have caught {100 * size:.2g} %"


@dataclass(frozen=True)
class Check:
    """One main check of a claim.

    Attributes:
        name: route, and quantity where the route measures several.
        evidence: what it brought home; None after a crash.
        error: why there is no evidence, or it may not be used (last lines of the
            traceback); empty otherwise.
        seconds: wall-clock seconds; first calls include compilation.
    """

    name: str
    evidence: Evidence | None = None
    error: str = ""
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """The evidence's verdict; `error` after a crash."""
        if self.error or self.evidence is None:
            return Verdict.ERROR
        return self.evidence.verdict


@dataclass(frozen=True)
class ControlOutcome:
    """One negative control of a claim.

    Attributes:
        name: the hypothesis that was broken.
        expected: the wrong value it had to find, None or "diverged".
        caught: whether the check refuted it, with the expected value.
        evidence: what it brought home; None after a crash or a resumed run.
        measured: the wrong value that it found.
        judged: the evidence with its verdict as a control (`verdicts.Control`).
        error: last lines of the traceback of a crash.
        seconds: wall-clock seconds.
    """

    name: str
    expected: Expected
    caught: bool
    evidence: Evidence | None = None
    measured: Any = None
    judged: Any = None
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Skipped:
    """A route or control that did not run, for want of an optional extra.

    Attributes:
        kind: "route" or "control".
        name: its name within the claim.
        reason: the packages that are missing and the line that installs them.
    """

    kind: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.reason}"


@dataclass(frozen=True)
class ClaimResult:
    """The outcome of one claim; its scalars are those of the first main check.

    Attributes:
        claim: the claim that ran.
        verdict: worst first: error, refuted, blind, undecided, holds; or skipped,
            where the first route needs an optional extra that is missing.
        checks: main checks, in the order of the routes.
        controls: negative controls.
        effort: "quick" or "full".
        seed: the run's seed.
        parameters: the claim's parameters in this run.
        seconds: wall-clock seconds in all.
        source_hash: SHA-256 of the claim's module and the package's version.
        reason: why the verdict is not `holds`; empty where it is.
        skipped: routes and controls that need an optional extra that is missing.
    """

    claim: Claim
    verdict: Verdict
    checks: tuple[Check, ...]
    controls: tuple[ControlOutcome, ...]
    effort: str = "quick"
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    source_hash: str = ""
    reason: str = ""
    skipped: tuple[Skipped, ...] = ()

    @property
    def evidence(self) -> Evidence | None:
        """Evidence of the first main check, None where it crashed."""
        return self.checks[0].evidence if self.checks else None

    @property
    def id(self) -> str:
        """The claim's id."""
        return self.claim.id

    @property
    def claimed(self) -> Any:
        """The claimed value, bound, pair of bounds or name; None after a crash."""
        return None if self.evidence is None else claimed_value(self.evidence.relation)

    @property
    def measured(self) -> Any:
        """The measured value, in `unit`; None after a crash."""
        return None if self.evidence is None else self.evidence.measured

    @property
    def interval(self) -> tuple[float, float] | None:
        """Interval around the measured value, in `unit`."""
        return None if self.evidence is None else self.evidence.interval

    @property
    def detectable(self) -> float | None:
        """Relative error that would have been refuted with probability 0.99."""
        return None if self.evidence is None else self.evidence.detectable

    @property
    def delta(self) -> float | None:
        """Relative error that had to be detectable."""
        return None if self.evidence is None else self.evidence.delta

    @property
    def grade(self) -> Grade | None:
        """The weakest grade among the checks; the declared one after a crash.

        None where the claim was skipped: nothing was found.
        """
        if self.verdict is Verdict.SKIPPED:
            return None
        found = [c.evidence.grade for c in self.checks if c.evidence is not None]
        return max(found, key=list(Grade).index) if found else self.claim.grade

    @property
    def unit(self) -> str:
        """Unit of the measured value."""
        evidence = self.evidence
        return self.claim.unit if evidence is None else evidence.unit or self.claim.unit

    @property
    def relation(self) -> str:
        """Kind of the relation between measured and claimed; empty after a crash."""
        return "" if self.evidence is None else self.evidence.relation.kind

    @property
    def failed_hypotheses(self) -> tuple[str, ...]:
        """Hypotheses that the run's parameters break."""
        failed = [h for h in self.claim.hypotheses if h.fails(self.parameters)]
        return tuple(h.statement for h in failed)

    @property
    def errors(self) -> tuple[str, ...]:
        """Texts of all crashes, of checks and of controls."""
        named = [(c.name, c.error) for c in [*self.checks, *self.controls] if c.error]
        return tuple(f"{name}: {text}" for name, text in named)

    def table(self) -> Table:
        """Every check and control, one row each."""
        rows = [(c.name, *_cells(c.evidence), _word(c.verdict)) for c in self.checks]
        for control in self.controls:
            expected = number(control.expected, 7) or "a refutation"
            cells: tuple[Any, ...] = ("≠ " + expected, number(control.measured), *_GAPS)
            if control.evidence is not None:
                cells = _cells(control.evidence)
            fate = "✓ caught" if control.caught else "✗ not caught"
            rows.append(("control: " + control.name, *cells, fate))
        columns = ("check", "claimed", "measured", "interval", "detects", "grade")
        return Table((*columns, "verdict"), rows)

    def plot(self) -> Any:
        """The evidence drawn, as a matplotlib `Figure` (None where it has none)."""
        from proofs_check.report.pictures import figures

        drawn = figures(self)
        return drawn[0] if drawn else None

    def __str__(self) -> str:
        head = f"{_word(self.verdict)}: {self.id}, {self.claim.title}"
        lines = [head, f"  {self.claim.source}"]
        lines += [f"  {self.claim.statement}"] if self.claim.statement else []
        lines += ["  " + line for line in self.table().lines()]
        if self.evidence is not None:
            lines.append(f"  {detectable_text(self.evidence)}")
        lines += [f"  hypothesis not met: {text}" for text in self.failed_hypotheses]
        lines += [f"  {self.reason}"] if self.reason else []
        lines += [f"  skipped: {part}" for part in self.skipped]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from proofs_check.report.html import result_card

        return result_card(self)


def _word(verdict: Verdict) -> str:
    return f"{SYMBOLS[verdict]} {verdict.value}"


_GAPS = (None, None, None)


def _cells(evidence: Evidence | None) -> tuple[Any, ...]:
    if evidence is None:
        return (None, None, None, None, None)
    return (
        claimed_text(evidence.relation),
        measured_text(evidence),
        interval(evidence.interval),
        number(evidence.detectable, 2),
        evidence.grade.value,
    )


class Variation(tuple[ClaimResult, ...]):
    """Results of one claim at several values of its parameters, shown as a table.

    Attributes:
        names: the parameters that were varied.
    """

    names: tuple[str, ...]

    def table(self) -> Table:
        """One row a value: measured, interval, verdict, the hypothesis that failed."""
        rows = []
        for result in self:
            found = result.evidence
            error = result.checks[0].error if result.checks else ""
            measured = measured_text(found) if found else _outcome(error)
            rows.append(
                (
                    *(number(result.parameters[name], 8) for name in self.names),
                    claimed_text(found.relation) if found else None,
                    measured,
                    interval(result.interval),
                    _word(result.verdict),
                    "; ".join(result.failed_hypotheses),
                )
            )
        columns = ("claimed", "measured", "interval", "verdict", "hypothesis not met")
        return Table((*self.names, *columns), rows)

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _outcome(error: str) -> str:
    """`diverged` for a typed instability, else the exception's own words."""
    last = error.strip().splitlines()[-1] if error.strip() else ""
    unstable = last.startswith(("UnstableStep", "NonFiniteState"))
    return f"diverged ({last})" if unstable else last
