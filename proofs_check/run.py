"""Running a claim: its routes and controls at one effort, seed and delta."""

from __future__ import annotations

import itertools
import math
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flows.errors import BadInput, require_float64
from proofs_check import verdicts
from proofs_check.claim import DIVERGED, Claim, Control, Route, weaker
from proofs_check.context import Context, require_effort, require_word
from proofs_check.evidence import Evidence, Grade, Real, Verdict
from proofs_check.extras import advice
from proofs_check.record import source_hash
from proofs_check.result import (
    Check,
    ClaimResult,
    ControlOutcome,
    Skipped,
    Variation,
)

_TRACE_LINES = 6


def check(
    claim: Claim | str,
    *,
    effort: str = "quick",
    seed: int = 0,
    delta: Real | None = None,
    vary: Mapping[str, Iterable[Any]] | None = None,
    controls: Mapping[str, Mapping[str, Any]] | None = None,
) -> ClaimResult | Variation:
    """Run one claim in this process.

    Effort quick runs the first route and all controls, full runs every route. What
    needs an optional extra that is missing is skipped, by name; where that is the
    first route, the verdict of the claim is `skipped`.

    Args:
        claim: a claim, or the id of one in `claims()`.
        effort: "quick" or "full".
        seed: folded into every random stream; below 2**32.
        delta: relative error that must be detectable (default: the claim's own).
        vary: values for declared parameters; the claim runs at each combination, and
            the controls run once, at the declared values.
        controls: further controls for this run: a name and changed parameters each.

    Returns:
        The result; with `vary`, a table of results.

    Raises:
        PrecisionError: jax computes in float32.
        UnknownClaim: no claim of that id, with the nearest names.
        BadInput: an unknown effort or parameter, a seed or delta out of range, a claim
            for full runs alone at effort quick.
    """
    if isinstance(claim, str):
        from proofs_check.registry import claims

        claim = claims()[claim]
    if not isinstance(claim, Claim):
        raise BadInput(
            "check takes a claim (a function under @claim), or the id of one in "
            f"claims(); got {claim!r:.60}."
        )
    run = _Run(claim, effort, seed, delta)
    extra = [_from_parameters(claim, n, p) for n, p in (controls or {}).items()]
    if vary is None:
        start = time.perf_counter()
        outcomes = run.controls([*claim.controls, *extra])
        result = run.result(claim.parameters, outcomes)
        return replace(result, seconds=time.perf_counter() - start)
    grid = _grid(claim, vary)
    outcomes = run.controls([*claim.controls, *extra])
    table = Variation(run.result({**claim.parameters, **v}, outcomes) for v in grid)
    table.names = tuple(vary)
    return table


def _from_parameters(claim: Claim, name: str, parameters: Mapping[str, Any]) -> Control:
    claim.require_parameters(parameters)
    return Control(name, claim.__wrapped__, parameters=parameters)


def _grid(claim: Claim, vary: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    claim.require_parameters(vary)
    values = {name: _values(name, given) for name, given in vary.items()}
    return [
        dict(zip(values, row, strict=True))
        for row in itertools.product(*values.values())
    ]


def _values(name: str, given: Iterable[Any]) -> list[Any]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise BadInput(f"vary takes a list of values for {name!r}, not {given!r}")
    values = list(given)
    if not values:
        raise BadInput(f"vary has no value for {name!r}")
    return values


class _Run:
    """One claim at one effort, seed and delta."""

    def __init__(
        self, claim: Claim, effort: str, seed: int, delta: Real | None
    ) -> None:
        self.claim = claim
        self.effort = require_effort(effort)
        self.seed = require_word("seed", seed)
        if claim.full_only and effort == "quick":
            raise BadInput(f"the claim {claim.id} runs at effort='full' only")
        own = claim.quick_delta if effort == "quick" else claim.delta
        good = isinstance(delta, Real) and math.isfinite(delta) and delta > 0
        if delta is not None and not good:
            raise BadInput(f"delta must be a positive finite number, not {delta!r}")
        self.delta = own if delta is None else float(delta)
        require_float64(f"The claim {claim.id}")

    def context(self, name: str, parameters: Mapping[str, Any]) -> Context:
        claim = self.claim
        return Context(
            claim.id,
            name,
            effort=self.effort,
            seed=self.seed,
            delta=self.delta,
            parameters=parameters,
            relation=claim.relation,
            unit=claim.unit,
            cache=claim.cache,
        )

    def result(
        self, parameters: Mapping[str, Any], controls: Sequence[ControlOutcome]
    ) -> ClaimResult:
        start = time.perf_counter()
        checks = [
            check
            for route in self.routes
            if not advice(route.requires)
            for check in self._checks(route, parameters)
        ]
        lacking = advice(self.claim.requires)
        verdict, reason = (
            (Verdict.SKIPPED, lacking) if lacking else combine(checks, controls)
        )
        return ClaimResult(
            claim=self.claim,
            verdict=verdict,
            reason=reason,
            checks=tuple(checks),
            controls=tuple(controls),
            effort=self.effort,
            seed=self.seed,
            parameters=dict(parameters),
            seconds=time.perf_counter() - start,
            source_hash=source_hash(self.claim),
            skipped=self.skipped(),
        )

    @property
    def routes(self) -> Sequence[Route]:
        """The routes of this effort; none where the first one cannot run."""
        if advice(self.claim.requires):
            return ()
        return self.claim.routes if self.effort == "full" else self.claim.routes[:1]

    def skipped(self) -> tuple[Skipped, ...]:
        """What this effort would run if its extras were there."""
        if reason := advice(self.claim.requires):
            return (Skipped("route", self.claim.routes[0].name, reason),)
        parts: list[tuple[str, Route | Control]] = []
        parts += [("route", route) for route in self.routes]
        parts += [("control", control) for control in self.claim.controls]
        return tuple(
            Skipped(kind, part.name, reason)
            for kind, part in parts
            if (reason := advice(part.requires))
        )

    def _checks(self, route: Route, parameters: Mapping[str, Any]) -> list[Check]:
        start = time.perf_counter()
        ctx = self.context(route.name, parameters)
        found, error = _evidence(self.claim, route, ctx)
        seconds = (time.perf_counter() - start) / max(len(found) + bool(error), 1)
        found = [e if e.route else replace(e, route=route.name) for e in found]
        checks = [Check(_name(route, e), e, seconds=seconds) for e in found]
        if found and weaker(found[0].grade, route.grade):
            said = f"declared {route.grade}, but the evidence is {found[0].grade}"
            checks[0] = replace(checks[0], error=said)
        if error:
            checks.append(Check(route.name, None, error, seconds))
        return checks

    def controls(self, controls: Sequence[Control]) -> list[ControlOutcome]:
        if advice(self.claim.requires):
            return []
        return [self._control(c) for c in controls if not advice(c.requires)]

    def _control(self, control: Control) -> ControlOutcome:
        start = time.perf_counter()
        parameters = {**self.claim.parameters, **(control.parameters or {})}
        name = self.claim.routes[0].name if control.paired else control.name
        ctx = self.context(name, parameters)
        ctx.expected = control.expected
        found, error = _evidence(self.claim, control, ctx)
        # One quantity of several is enough: the broken hypothesis may spare the rest.
        judged = sorted((_judged(control, e) for e in found), key=_best_first)
        shown = judged[0] if judged else None
        return ControlOutcome(
            control.name,
            control.expected,
            caught=not error and shown is not None and shown.verdict is Verdict.HOLDS,
            evidence=shown and shown.evidence,
            measured=shown and shown.evidence.measured,
            judged=shown,
            error=error,
            seconds=time.perf_counter() - start,
        )


def _evidence(
    claim: Claim, part: Route | Control, ctx: Context
) -> tuple[list[Evidence], str]:
    """What a function brings home, and the last lines of its traceback if it broke."""
    found: list[Evidence] = []
    try:
        made = part.run(ctx)
        if not isinstance(made, Iterable | Evidence):
            raise BadInput(
                f"{part.name} returns {type(made).__name__}; a check returns what a "
                "rule of the context or of proofs_check.decide brings home"
            )
        for evidence in [made] if isinstance(made, Evidence) else made:
            if not isinstance(evidence, Evidence):
                raise BadInput(
                    f"{part.name} yields {type(evidence).__name__}, not Evidence"
                )
            found.append(evidence)
        if not found:
            raise BadInput(f"{part.name} brings no evidence home")
        sampled = sum(e.grade is Grade.ESTIMATED for e in found)
        if sampled > part.checks:
            raise BadInput(
                f"{part.name} yields {sampled} Monte-Carlo evidences and declares "
                f"checks={part.checks}; each needs a level of its own"
            )
        if sampled and not claim.checks:
            raise BadInput(
                f"{part.name} yields Monte-Carlo evidence, and the catalogue holds no "
                "level for it: every route declares a stronger grade; declare "
                'grade="estimated" for the route that samples'
            )
    except Exception as broken:
        return found, _last_lines(broken)
    return found, ""


def _last_lines(broken: Exception) -> str:
    trace = "".join(traceback.format_tb(broken.__traceback__)).strip().splitlines()
    return "\n".join([*trace[-_TRACE_LINES:], f"{type(broken).__name__}: {broken}"])


def _name(route: Route, evidence: Evidence) -> str:
    parts = [route.name, evidence.quantity, evidence.route]
    named = dict.fromkeys(p for p in parts[1:] if p and p != route.name)
    if route.name == "main" and named:
        return ", ".join(named)
    return ", ".join([route.name, *named])


def _judged(control: Control, evidence: Evidence) -> verdicts.Control:
    """The control as the rules see it; a divergence is a value that was expected."""
    wrong: Any = control.expected
    if wrong == DIVERGED:
        wrong = None if _is_infinite(evidence.measured) else math.inf
    return verdicts.Control(evidence, control.name, wrong)


def _is_infinite(measured: Any) -> bool:
    return isinstance(measured, float | np.floating) and math.isinf(measured)


def _best_first(control: verdicts.Control) -> int:
    return -verdicts.WORST_FIRST.index(control.verdict)


def combine(
    checks: Sequence[Check], controls: Sequence[ControlOutcome]
) -> tuple[Verdict, str]:
    """The claim's verdict and its reason; a crash is an error before all else.

    Args:
        checks: main checks.
        controls: negative controls, as they ran.

    Returns:
        The verdict by `proofs_check.verdicts.claim_verdict`, and one line about it
        (empty for `holds`).
    """
    broken = [f"{c.name}: {c.error}" for c in [*checks, *controls] if c.error]
    if broken:
        name, last = broken[0].split(":")[0], broken[0].strip().splitlines()[-1]
        return Verdict.ERROR, last if last.startswith(name) else f"{name}: {last}"
    found = verdicts.claim_verdict(
        [check.evidence for check in checks if check.evidence is not None],
        [control.judged for control in controls if control.judged is not None],
    )
    return found.verdict, "; ".join(found.reasons)
