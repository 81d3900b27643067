r"""Monte-Carlo checks: how many samples, when to look, when to stop.

A user function `sample(seed, n) -> array` is called with chunks of one size, each with
its own seed, so neither jobs nor devices nor order change a number. A pilot from a
stream of its own sizes the run; the main run may refute at 1/8, 1/4, 1/2 and all of
the plan, and holds only once D <= delta, for which samples are topped up by 15 %.
Stopping on the standard error costs no level, stopping on the mean is paid for by the
four looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from flows.errors import BadInput
from proofs_check.decide.critical import (
    LEVEL,
    POWER_Z,
    SKEW_LIMIT,
    binomial,
    level,
    normal,
    sample_size,
)
from proofs_check.decide.mean import LOOKS, Moments, mean
from proofs_check.decide.order import strong_order
from proofs_check.evidence import Evidence
from proofs_check.relations import (
    Equal,
    Grade,
    Range,
    Real,
    UpperBound,
    Verdict,
)
from proofs_check.streams import Effort, seed_of

PILOT = 400
FRACTIONS = (0.125, 0.25, 0.5)
Sampler = Callable[[int, int], Any]


class _NonFinite(Exception):
    """Samples that are not finite, with how many of how many."""

    def __init__(self, lost: int, seen: int) -> None:
        super().__init__(f"{lost} of {seen} samples are not finite")
        self.lost, self.seen = lost, seen


@dataclass(frozen=True)
class _Source:
    """Chunks of Y = X - beta (Z - E Z), with the declared value of lost samples."""

    sample: Sampler
    stream: str
    seed: int
    chunk: int
    control_means: tuple[float, ...]
    nonfinite: str | float

    def raw(self, name: str, number: int) -> Float[np.ndarray, "chunk columns"]:
        """Chunk `number` of the stream: X in column 0, controls after it."""
        seed = seed_of(f"{self.stream}/{name}", seed=self.seed, chunk=number)
        out = np.asarray(self.sample(seed, self.chunk), float)
        out = out[:, None] if out.ndim == 1 else out
        columns = 1 + len(self.control_means)
        if out.shape != (self.chunk, columns):
            raise BadInput(
                f"sample(seed, {self.chunk}) must give {self.chunk} samples of "
                f"{columns} columns (the quantity, then its controls), not {out.shape}."
            )
        bad = ~np.isfinite(out)
        if np.any(bad[:, 1:]) or (np.any(bad) and isinstance(self.nonfinite, str)):
            raise _NonFinite(int(bad.any(axis=1).sum()), self.chunk)
        return np.where(bad, self.nonfinite, out) if np.any(bad) else out

    def values(self, name: str, number: int, beta: Float[np.ndarray, "controls"]):
        """Controlled samples of chunk `number`."""
        x = self.raw(name, number)
        return x[:, 0] - (x[:, 1:] - np.asarray(self.control_means)) @ beta


@dataclass(frozen=True)
class _Pilot:
    moments: Moments
    beta: Float[np.ndarray, "controls"]
    variance_ratio: float


def sample_mean(
    relation: Equal | UpperBound | Range | float | int,
    sample: Sampler,
    *,
    stream: str,
    delta: Real,
    seed: int = 0,
    bias: Real = 0.0,
    control_means: Sequence[float | int] = (),
    nonfinite: str | float | int = "error",
    stop_early: bool = True,
    effort: Effort | None = None,
    alpha: Real = LEVEL,
    comparisons: int = 1,
    **about: Any,
) -> Evidence:
    """A mean against its claim, with as many samples as the claim needs.

    Args:
        relation: the claim about E X; a number c stands for `Equal(c)`.
        sample: (seed, n) -> independent samples [n], or [n, 1 + controls] with the
            control variates in the further columns; four moments must exist.
        stream: "claim/check", from which all seeds follow.
        delta: relative error that must be detectable.
        seed: seed of the whole run.
        bias: allowance b for step and burn-in, in the unit of X.
        control_means: exactly known means of the control variates.
        nonfinite: "error": a sample that is not finite makes the check an error;
            "diverged": it makes the measured value +inf, where a control declares
            so; a number: the value it counts as. Never dropped.
        stop_early: whether a refutation before the full plan ends the run; False
            where a control's wrong value must be measured to delta.
        effort: chunk size, top-up and caps.
        alpha: level of the whole check.
        comparisons: number of means that share this level.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence; its data holds samples, plan, variance ratio, looks.

    Raises:
        BadInput: samples of a wrong shape, or nonfinite not one of the three.
    """
    if isinstance(relation, (float, int)):
        relation = Equal(relation)
    if isinstance(nonfinite, str) and nonfinite not in ("error", "diverged"):
        raise BadInput(
            f'nonfinite is "error", "diverged" or a number, not {nonfinite!r}.'
        )
    effort = effort or Effort()
    source = _Source(
        sample,
        stream,
        seed,
        effort.chunk,
        tuple(float(m) for m in control_means),
        nonfinite if isinstance(nonfinite, str) else float(nonfinite),
    )
    run = _MeanRun(
        relation, source, effort, float(delta), float(bias), alpha, comparisons, about
    )
    try:
        return run.evidence(stop_early)
    except _NonFinite as lost:
        return _lost(relation, lost, nonfinite == "diverged", float(delta), about)


@dataclass(frozen=True)
class _MeanRun:
    relation: Equal | UpperBound | Range
    source: _Source
    effort: Effort
    delta: float
    bias: float
    alpha: Real
    comparisons: int
    about: dict[str, Any]

    def evidence(self, stop_early: bool) -> Evidence:
        pilot = self.pilot()
        plan, obstacle = self.plan(pilot.moments)
        if obstacle:
            return self.look(pilot.moments, pilot, plan, 0, obstacle=obstacle)
        looks = sorted({math.ceil(f * plan) for f in FRACTIONS} - {plan})
        total, done = Moments(pilot.moments.mean), 0
        early = None
        for target in looks:
            total, done = self.extend(total, done, target, pilot.beta), target
            seen = self.look(total, pilot, plan, done)
            if seen.verdict is Verdict.REFUTED:
                if stop_early:
                    return seen
                early = seen
        total, done = self.extend(total, done, plan, pilot.beta), plan
        while self.too_wide(total) and done < self.effort.cap(plan):
            target = done + max(1, math.ceil(self.effort.top_up * done))
            target = min(target, self.effort.cap(plan))
            total, done = self.extend(total, done, target, pilot.beta), target
        last = self.look(total, pilot, plan, done)
        # a refutation at an early look stands: the level was paid for all four
        if early is not None and last.verdict is not Verdict.REFUTED:
            return early
        return last

    def pilot(self) -> _Pilot:
        chunks = range(self.effort.chunks(PILOT))
        x = np.concatenate([self.source.raw("pilot", k) for k in chunks])
        means = np.asarray(self.source.control_means)
        z = x[:, 1:] - means
        centred = z - z.mean(axis=0)
        y = x[:, 0] - x[:, 0].mean()
        beta = np.linalg.lstsq(centred, y, rcond=None)[0] if z.size else means
        moments = Moments(float(x[:, 0].mean())).add(x[:, 0] - z @ beta)
        spread = float(np.var(x[:, 0], ddof=1))
        return _Pilot(moments, beta, moments.variance / spread if spread else 1.0)

    def plan(self, pilot: Moments) -> tuple[int, str]:
        """Planned chunks, by width and by skewness, and why no plan works."""
        each = self.level
        try:
            n = sample_size(
                math.sqrt(pilot.variance),
                self.delta,
                self.relation.unit_of_error,
                bias=self.bias,
                alpha=each,
            )
        except BadInput as error:
            return 0, str(error)
        z = normal(each)
        tail = abs(pilot.skewness) * (2 * z * z + 1) / (6 * (SKEW_LIMIT - 1) * z)
        chunks = self.effort.chunks(max(n, tail**2, PILOT))
        if self.effort.max_samples is not None:
            chunks = min(chunks, self.effort.chunks(self.effort.max_samples))
        return chunks, ""

    @property
    def level(self) -> float:
        return level(self.comparisons, LOOKS, float(self.alpha))

    def extend(self, total: Moments, done: int, target: int, beta) -> Moments:
        for number in range(done, target):
            total = total.add(self.source.values("main", number, beta))
        return total

    def too_wide(self, total: Moments) -> bool:
        """Whether more samples are needed; looks at the s.e., never at the mean."""
        measured = total.measurement(self.bias)
        if measured.obstacle:
            return False
        sides = 1 if isinstance(self.relation, UpperBound) else 2
        width = measured.width(self.level, sides) / self.relation.unit_of_error
        return width > self.delta or bool(measured.skew_obstacle(self.level, sides))

    def look(
        self,
        total: Moments,
        pilot: _Pilot,
        plan: int,
        done: int,
        *,
        obstacle: str = "",
    ) -> Evidence:
        measured = total.measurement(self.bias)
        if obstacle:
            measured = replace(measured, obstacle=obstacle)
        data = {
            "plan": plan * self.effort.chunk,
            "drawn": done * self.effort.chunk,
            "variance_ratio": pilot.variance_ratio,
            "skewness": total.skewness,
        }
        about = {**self.about, "data": {**data, **self.about.get("data", {})}}
        return mean(
            self.relation,
            measured,
            delta=self.delta,
            alpha=self.alpha,
            looks=LOOKS,
            comparisons=self.comparisons,
            **about,
        )


def _lost(relation, lost: _NonFinite, diverged: bool, delta, about) -> Evidence:
    """Evidence of a run whose samples are not finite."""
    worst = binomial(lost.lost, lost.seen)[1]
    data = {"nonfinite": lost.lost, "of": lost.seen, "fraction_below": worst}
    found: dict[str, Any] = {
        "measured": math.inf,
        "interval": (math.inf, math.inf),
        "detectable": 0.0,
        "note": f"diverged: {lost}",
    }
    if not diverged:
        found = {
            "measured": "not finite",
            "interval": None,
            "detectable": math.inf,
            "fault": f"{lost} (their fraction is below {worst:.3g})",
        }
    return Evidence(
        **{
            "relation": relation,
            "delta": delta,
            "grade": Grade.ESTIMATED,
            **about,
            **found,
            "data": {**data, **about.get("data", {})},
        }
    )


def sample_strong_order(
    p: Real,
    h: Sequence[float | int] | np.ndarray,
    sample: Sampler,
    *,
    stream: str,
    seed: int = 0,
    q: Real = 1,
    cell: Real = 0.25,
    effort: Effort | None = None,
    alpha: Real = LEVEL,
    **about: Any,
) -> Evidence:
    """Strong order on shared paths, topped up until half + 2.33 se <= cell/1.25.

    Args:
        p: claimed strong order.
        h: steps, decreasing by one ratio, shape [levels].
        sample: (seed, n) -> errors of n paths at all levels, shape [n, levels].
        stream: "claim/check", from which all seeds follow.
        seed: seed of the whole run.
        q: step of the relative expansion in powers of h.
        cell: half the distance to the nearest rival order.
        effort: chunk size, top-up and caps (in plans of the pilot's estimate).
        alpha: level of the check.
        **about: unit, route, note, data, quantity.

    Returns:
        The evidence of `decide.strong_order`; undecided at the cap.
    """
    effort = effort or Effort(chunk=500)

    def chunk(name: str, number: int) -> np.ndarray:
        named = seed_of(f"{stream}/{name}", seed=seed, chunk=number)
        return np.asarray(sample(named, effort.chunk), float)

    def judged(errors: np.ndarray) -> Evidence:
        return strong_order(p, h, errors, q=q, cell=cell, alpha=alpha, **about)

    pilot = [chunk("pilot", k) for k in range(effort.chunks(PILOT))]
    first = judged(np.concatenate(pilot))
    if first.fault:
        return first
    # (z + 2.33) se + bias <= cell/1.25, for a bias that leaves room
    spread = first.data["standard_error"] * math.sqrt(first.data["samples"])
    room = max(cell / 1.25 - first.data["bias"], 0.1 * cell)
    plan = effort.chunks(((normal(alpha) + POWER_Z) * spread / room) ** 2)
    plan = min(plan, effort.cap(plan))
    errors = [chunk("main", k) for k in range(plan)]
    found = judged(np.concatenate(errors))
    while not (found.fault or found.data["sufficient"]) and len(errors) < effort.cap(
        plan
    ):
        more = max(1, math.ceil(effort.top_up * len(errors)))
        stop = min(len(errors) + more, effort.cap(plan))
        errors += [chunk("main", k) for k in range(len(errors), stop)]
        found = judged(np.concatenate(errors))
    return found
