"""Timing: contenders in turns, CPU seconds, medians, ratios of neighbours."""

import gc
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

BUSY = 1.2
SPREAD = 0.1


@dataclass(frozen=True)
class Protocol:
    """How carefully to measure.

    Attributes:
        repeats: samples a contender, at least 7 for a result that counts.
        attempts: how often to measure again on a noisy machine.
        shortest: CPU seconds that one sample lasts at least (calls are repeated).
        tiny: whether cases run at the smallest size, to see that they run.
    """

    repeats: int = 11
    attempts: int = 3
    shortest: float = 0.05
    tiny: bool = False


TINY = Protocol(repeats=1, attempts=1, shortest=0.0, tiny=True)


@dataclass(frozen=True)
class Samples:
    """Seconds of one call, a sample each.

    Attributes:
        cpu: CPU seconds, shape [repeats].
        wall: seconds on the wall, shape [repeats].
        first: CPU seconds of the first call, which traces and compiles.
    """

    cpu: np.ndarray
    wall: np.ndarray
    first: float = math.nan

    @property
    def seconds(self) -> float:
        """The median of CPU seconds."""
        return float(np.median(self.cpu))

    @property
    def busy(self) -> float:
        """Wall time over CPU time: above 1.2 somebody else had the core."""
        return float(np.sum(self.wall) / np.sum(self.cpu))


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios and their quartiles."""

    median: float
    lower: float
    upper: float

    @property
    def spread(self) -> float:
        """Distance of the quartiles over the median."""
        return (self.upper - self.lower) / self.median


def ratio(ours: np.ndarray, other: np.ndarray) -> Ratio:
    """Ratios of samples taken next to each other."""
    lower, median, upper = np.quantile(ours / other, [0.25, 0.5, 0.75])
    return Ratio(float(median), float(lower), float(upper))


def _timed(call: Callable[[], Any], loops: int = 1) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(loops):
        jax.block_until_ready(call())
    return (
        (time.process_time() - cpu) / loops,
        (time.perf_counter() - wall) / loops,
    )


def measure(
    contenders: Mapping[str, Callable[[], Any]], protocol: Protocol
) -> dict[str, Samples]:
    """Time calls in turns, the first in each round changing.

    A round that was disturbed is as good as any other for the ratio of neighbours, but
    a disturbed measurement is repeated, and the calmest attempt is kept (calm is
    judged by wall/CPU and by the spread of the ratios, not by their size).
    """
    calls = list(contenders.values())
    first = [_timed(call)[0] for call in calls]
    again = [_timed(call)[0] for call in calls]
    loops = [max(1, math.ceil(protocol.shortest / max(s, 1e-9))) for s in again]
    best: tuple[float, dict[str, Samples]] | None = None
    for _ in range(protocol.attempts):
        cpu, wall = np.empty((2, len(calls), protocol.repeats))
        gc.collect()
        gc.disable()
        try:
            for k in range(protocol.repeats):
                for j in range(len(calls)):
                    i = (j + k) % len(calls)
                    cpu[i, k], wall[i, k] = _timed(calls[i], loops[i])
        finally:
            gc.enable()
        named = zip(contenders, cpu, wall, first, strict=True)
        found = {name: Samples(c, w, f) for name, c, w, f in named}
        noise = _noise(found)
        if best is None or noise < best[0]:
            best = noise, found
        if noise <= 1:
            break
    assert best is not None
    return best[1]


def _noise(found: dict[str, Samples]) -> float:
    """Above 1 where a measurement was disturbed."""
    ours, *others = found.values()
    spreads = [ratio(ours.cpu, other.cpu).spread / SPREAD for other in others]
    return max([s.busy / BUSY for s in found.values()] + spreads)


def require_same(ours: Any, other: Any, tolerance: float = 1e-9) -> None:
    """Refuse to compare the speed of different results.

    The tolerance (relative to the largest entry) is for rounding that a long run has
    amplified: both sides do the same arithmetic.

    Raises:
        RuntimeError: the contenders do not agree.
    """
    a, b = np.asarray(ours), np.asarray(other)
    gap = np.max(np.abs(a - b)) / np.max(np.abs(b)) if a.shape == b.shape else math.inf
    if not gap <= tolerance:
        raise RuntimeError(
            f"contenders differ: {gap:.1e} (shapes {a.shape}, {b.shape})"
        )


@dataclass(frozen=True)
class Row:
    """One line of the results.

    Attributes:
        case: title of its table.
        problem: what was run.
        unit: of `ours` and `other`.
        ours: the packages' figure.
        other: the same computation by hand, or None.
        ratio: ours over other.
        target: largest ratio accepted, or None where a figure is only reported.
        first: CPU seconds of the first calls, ours and other.
        busy: wall over CPU.
        note: a word on the line.
        data: further figures, for the JSON alone.
    """

    case: str
    problem: str
    unit: str
    ours: float
    other: float | None = None
    ratio: Ratio | None = None
    target: float | None = None
    first: tuple[float, ...] = ()
    busy: float = 1.0
    note: str = ""
    data: Mapping[str, Any] | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none, or noise hides it.

        The quartiles of eleven ratios hold their true median nine times in ten: a
        target within them is not missed for certain.
        """
        if self.target is None or self.ratio is None:
            return None
        if self.ratio.median <= self.target:
            return True
        return False if self.ratio.lower > self.target else None


def compared(
    case: str,
    problem: str,
    samples: Mapping[str, Samples],
    *,
    unit: str = "ms",
    scale: float = 1e3,
    target: float | None = None,
    note: str = "",
) -> Row:
    """The row of two contenders, ours first; figures are seconds times `scale`."""
    ours, other = samples.values()
    return Row(
        case,
        problem,
        unit,
        ours.seconds * scale,
        other.seconds * scale,
        ratio(ours.cpu, other.cpu),
        target,
        (ours.first, other.first),
        max(ours.busy, other.busy),
        note,
    )
