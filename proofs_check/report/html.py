"""The report as one page of HTML: formulas, numbers, controls, pictures, no network."""

from __future__ import annotations

import html
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.display import Table, interval, number
from proofs_check.claim import Claim, Source
from proofs_check.evidence import Evidence, Identity, Law, Order, Verdict
from proofs_check.report.mathml import typeset
from proofs_check.report.style import CSS
from proofs_check.result import (
    SYMBOLS,
    ClaimResult,
    claimed_text,
    detectable_text,
    measured_text,
)

_MEANING = {
    Verdict.HOLDS: "every check holds and every control was caught",
    Verdict.REFUTED: "a check contradicts the claim",
    Verdict.UNDECIDED: "the evidence is not sharp enough, or has no control",
    Verdict.BLIND: "a broken version got through: the checks show nothing",
    Verdict.ERROR: "a check failed to run, or two routes disagree",
    Verdict.SKIPPED: "an optional package is missing: nothing was checked",
}


def write_report(
    results: Sequence[ClaimResult],
    directory: str | os.PathLike[str],
    environment: Mapping[str, Any] | None = None,
) -> Path:
    """Write a self-contained `index.html` about a run.

    Args:
        results: the results of its claims.
        directory: folder of the report, made where it is missing.
        environment: what the run depended on (default: this process).

    Returns:
        Path of the page.
    """
    if environment is None:
        from proofs_check.environment import describe

        first = results[0] if results else None
        environment = describe(
            first and first.effort, None if first is None else first.seed
        )
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    page = target / "index.html"
    page.write_text(report_html(results, environment), encoding="utf-8")
    return page


def report_html(results: Sequence[ClaimResult], environment: Mapping[str, Any]) -> str:
    """The page as text: counts, summary table, then a section a claim.

    Args:
        results: the results of a run.
        environment: versions, device, precision, effort, seed.

    Returns:
        A whole HTML document that refers to nothing outside itself.
    """
    families: dict[str, list[ClaimResult]] = {}
    for result in results:
        families.setdefault(result.claim.family, []).append(result)
    sections = "".join(
        f"<h2>{html.escape(name.replace('_', ' '))}</h2>"
        + "".join(_article(result) for result in family)
        for name, family in families.items()
    )
    facts = ", ".join(
        f"{name} {value}" for name, value in environment.items() if value is not None
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Claims and evidence</title><style>{CSS}</style></head><body><main>"
        f"<h1>Claims and evidence</h1>{_counts(results)}{_summary(results)}{sections}"
        f"<footer>{html.escape(facts)}</footer></main></body></html>\n"
    )


def badge(verdict: Verdict) -> str:
    """A verdict as a coloured label that says the word too."""
    return (
        f'<span class="badge {verdict.value}" title="{_MEANING[verdict]}">'
        f"{SYMBOLS[verdict]} {verdict.value}</span>"
    )


def _counts(results: Sequence[ClaimResult]) -> str:
    counts = Counter(result.verdict for result in results)
    shown = " ".join(
        f'<span class="count">{badge(v)} {counts[v]}</span>'
        for v in Verdict
        if counts[v]
    )
    caught = sum(c.caught for result in results for c in result.controls)
    controls = sum(len(result.controls) for result in results)
    return (
        f'<p class="counts">{shown or "no claim ran"}</p><p>{len(results)} claims. '
        f"{caught} of {controls} negative controls (the claim with one hypothesis "
        "broken) were caught.</p>"
    )


def _summary(results: Sequence[ClaimResult]) -> str:
    head = "".join(
        f"<th>{name}</th>"
        for name in (
            "verdict",
            "claim",
            "source",
            "claimed",
            "measured",
            "interval",
            "detects",
            "grade",
            "controls caught",
        )
    )
    rows = []
    for result in results:
        found = result.evidence
        link = f'<a href="#{html.escape(result.id)}">{html.escape(result.id)}</a>'
        caught = sum(c.caught for c in result.controls)
        cells = (
            badge(result.verdict),
            f"{link}<br><small>{typeset(result.claim.title)}</small>",
            html.escape(result.claim.source.label),
            html.escape(claimed_text(found.relation)) if found else "",
            html.escape(measured_text(found)),
            html.escape(interval(result.interval)),
            html.escape(detects(found)),
            result.grade.value if result.grade else "",
            f"{caught} of {len(result.controls)}",
        )
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return (
        '<div class="wide"><table class="summary"><thead><tr>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def detects(found: Evidence | None) -> str:
    """The detectable error as a short cell: per cent, or units of order."""
    if found is None:
        return ""
    if isinstance(found.relation, Identity):
        return "any"
    if isinstance(found.relation, Order | Law):
        return f"± {number(found.detectable, 2)}"
    return f"{number(100 * found.detectable, 2)} %"


def _article(result: ClaimResult) -> str:
    from proofs_check.report.pictures import figures, svg

    drawn = "".join(
        f"<figure>{svg(figure, f'{result.id}-{i}')}</figure>"
        for i, figure in enumerate(figures(result))
    )
    picture = f'<div class="figures">{drawn}</div>' if drawn else ""
    return (
        f'<article id="{html.escape(result.id)}" class="{result.verdict.value}">'
        f'{_head(result)}<div class="evidence">{picture}<div>{_tables(result)}</div>'
        "</div></article>"
    )


def result_card(result: ClaimResult) -> str:
    """A result as a fragment of HTML that needs no style sheet (notebooks too).

    Args:
        result: the result of one claim.

    Returns:
        Statement, source, hypotheses, the finding in words, checks, controls.
    """
    return _head(result) + _tables(result)


def _head(result: ClaimResult) -> str:
    failed = "".join(
        f"<p><strong>Hypothesis not met:</strong> {typeset(text)}</p>"
        for text in result.failed_hypotheses
    )
    shown = f"<p><strong>{html.escape(result.reason)}</strong></p>"
    return (
        f"<h3>{badge(result.verdict)} {typeset(result.claim.title)}</h3>"
        f"{_statement(result.claim, _run_facts(result))}{_finding(result)}"
        f"{shown if result.reason else ''}{failed}{_skipped(result)}"
    )


def _skipped(result: ClaimResult) -> str:
    return "".join(
        f"<p>Skipped: {html.escape(part.kind)} <em>{html.escape(part.name)}</em>, "
        f"<code>{html.escape(part.reason)}</code></p>"
        for part in result.skipped
    )


def _tables(result: ClaimResult) -> str:
    errors = "".join(f"<pre>{html.escape(text)}</pre>" for text in result.errors)
    return f"{_checks(result)}{_controls(result)}{errors}"


def claim_card(claim: Claim) -> str:
    """A claim before it has run: title, statement, source, hypotheses, controls."""
    controls = "".join(f"<li>{html.escape(c.name)}</li>" for c in claim.controls)
    shown = f"<p>Negative controls:</p><ul>{controls}</ul>" if controls else ""
    return f"<h3>{typeset(claim.title)}</h3>{_statement(claim)}{shown}"


def _statement(claim: Claim, facts: str = "") -> str:
    hypotheses = "".join(f"<li>{typeset(h.statement)}</li>" for h in claim.hypotheses)
    under = f"<ul>{hypotheses}</ul>" if hypotheses else ""
    statement = typeset(claim.statement, formula=True)
    return (
        f'<div class="statement">{statement}</div>'
        f'<p class="source"><code>{html.escape(claim.id)}</code> · '
        f"{_source(claim.source)}{facts}</p>"
        + (f'<div class="hypotheses">Hypotheses:{under}</div>' if under else "")
    )


def _source(source: Source) -> str:
    text = html.escape(str(source))
    if not source.arxiv:
        return text
    name = f"arXiv:{html.escape(source.arxiv)}"
    return text.replace(name, f'<a href="{html.escape(source.url)}">{name}</a>')


def _finding(result: ClaimResult) -> str:
    found = result.evidence
    if found is None:
        return ""
    if isinstance(found.relation, Identity):
        shown = f"<code>{html.escape(found.relation.name)}</code>: "
        shown = "" if found.relation.name == "0" else shown
        return (
            f'<p class="finding">{shown}<strong>{html.escape(str(found.measured))}'
            f"</strong>, {detectable_text(found)}.</p>"
        )
    unit = f" <small>({html.escape(result.unit)})</small>" if result.unit else ""
    bounds = html.escape(interval(found.interval))
    within = f" in {bounds}" if bounds else ""
    claimed = html.escape(claimed_text(found.relation))
    return (
        f'<p class="finding">Claimed <strong>{claimed}</strong>, '
        f"measured <strong>{html.escape(measured_text(found))}"
        f"</strong>{within}{unit}; {detectable_text(found)} "
        f"(asked: {_percent(found)}).</p>"
    )


def _run_facts(result: ClaimResult) -> str:
    grade = result.grade.value if result.grade else ""
    return f" · {grade} · {result.seconds:.1f} s" if grade else ""


def _percent(found: Evidence) -> str:
    if isinstance(found.relation, Order | Law):
        return number(found.delta, 2)
    return f"{number(100 * found.delta, 2)} %"


def _checks(result: ClaimResult) -> str:
    if result.verdict is Verdict.SKIPPED:
        return ""
    rows = []
    for check in result.checks:
        found = check.evidence
        verdict = f"{SYMBOLS[check.verdict]} {check.verdict.value}"
        cells: tuple[Any, ...] = (None,) * 4
        if found is not None:
            cells = (
                claimed_text(found.relation),
                measured_text(found),
                interval(found.interval),
                detects(found),
            )
        rows.append((check.name, *cells, verdict))
    columns = ("check", "claimed", "measured", "interval", "detects", "verdict")
    shown = Table(columns, rows)._repr_html_()
    notes = "".join(
        f"<p><small>{html.escape(c.name)}: {typeset(c.evidence.note)}</small></p>"
        for c in result.checks
        if c.evidence is not None and c.evidence.note
    )
    return f'<div class="wide">{shown}</div>{notes}'


def _controls(result: ClaimResult) -> str:
    if result.verdict is Verdict.SKIPPED:
        return ""
    if not result.controls:
        return "<p><strong>No negative control.</strong></p>"
    rows = [
        (
            c.name,
            number(c.expected, 7) or "a refutation",
            measured_text(c.evidence) or number(c.measured),
            "✓ caught" if c.caught else "✗ NOT caught",
        )
        for c in result.controls
    ]
    columns = ("control: what was broken", "must find", "found", "outcome")
    return f'<div class="wide">{Table(columns, rows)._repr_html_()}</div>'
