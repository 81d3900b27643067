"""The results of a run as lines for a terminal of 80 to 160 columns."""

from __future__ import annotations

from collections.abc import Sequence

from flows.display import Table, interval, shorten, width_of
from proofs_check.report.html import detects
from proofs_check.result import SYMBOLS, ClaimResult, claimed_text, measured_text

_COLUMNS = ("source", "claimed", "measured", "interval", "detects", "grade")
_CUT = ("source", "claimed")


def results_lines(results: Sequence[ClaimResult], width: int = 120) -> list[str]:
    """The table of a run: one line a claim, two where that is too wide.

    Args:
        results: the results of the claims.
        width: columns of the terminal; taken as 80 to 160.

    Returns:
        Lines no wider than that.
    """
    width = min(max(width, 80), 160)
    verdicts = [f"{SYMBOLS[r.verdict]} {r.verdict.value}" for r in results]
    details = [_details(result) for result in results]
    seconds = [f"{result.seconds:.1f}" for result in results]
    rows = [
        (r.id, *d, v, float(s))
        for r, d, v, s in zip(results, details, verdicts, seconds, strict=True)
    ]
    names = ("claim", *_COLUMNS, "verdict", "seconds")
    lines = Table(names, rows).lines(width, _CUT)
    if max(map(width_of, lines)) <= width:
        return lines
    head, rule, *body = Table(_COLUMNS, details).lines(width - 2, _CUT)
    lines = ["verdict: claim (seconds)", "  " + head, "  " + rule]
    for i, line in enumerate(body):
        lines += [f"{verdicts[i]}: {results[i].id} ({seconds[i]} s)", "  " + line]
    return [shorten(line, width) for line in lines]


def _details(result: ClaimResult) -> tuple[str | None, ...]:
    found = result.evidence
    return (
        result.claim.source.label,
        None if found is None else claimed_text(found.relation),
        measured_text(found),
        interval(result.interval),
        detects(found),
        result.grade.value if result.grade else None,
    )


def count_line(results: Sequence[ClaimResult]) -> str:
    """How many claims ended with which verdict, in one line."""
    counts: dict[str, int] = {}
    for result in results:
        counts[result.verdict.value] = counts.get(result.verdict.value, 0) + 1
    parts = [f"{count} {word}" for word, count in counts.items()]
    return f"{len(results)} claims: " + (", ".join(parts) or "none ran")
