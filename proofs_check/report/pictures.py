"""Evidence drawn: one figure that shows in a few seconds what was claimed and found.

Colours are those of Okabe and Ito (2008), safe for colour-blind readers, and never the
only carrier of a meaning. No global setting of matplotlib is touched.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from flows.display import interval, number
from proofs_check.evidence import (
    Equal,
    Evidence,
    LowerBound,
    Range,
    UpperBound,
    Verdict,
)
from proofs_check.result import ClaimResult, claimed_text, measured_text

CLAIMED = "#D55E00"
MEASURED = "#0072B2"
WRONG = "#CC79A7"
SERIES = (MEASURED, "#E69F00", "#009E73", WRONG, "#56B4E9", CLAIMED)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
INK = "#111213"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


Controls = list[tuple[str, Evidence]]
Row = tuple[str, Evidence, str]


def figures(result: ClaimResult) -> list[Any]:
    """The figures of a claim: one for each kind of data, then one of its constants.

    Args:
        result: the result of a claim.

    Returns:
        matplotlib figures (at most three), empty for identities.
    """
    drawn = []
    seen: set[str] = set()
    for check in result.checks:
        found = check.evidence
        kind = str(found.data.get("kind", "")) if found is not None else ""
        if found is not None and kind not in seen and _is_drawable(kind, found.data):
            seen.add(kind)
            controls = [
                (c.name, c.evidence)
                for c in result.controls
                if c.evidence is not None and c.evidence.data.get("kind") == kind
            ]
            drawn.append(_figure(_DRAW[kind], found, controls))
    rows = _constants(result)
    if rows:
        height = 1.1 + 0.42 * len(rows)
        drawn.append(_figure(_forest, rows, rows[0][1].unit, height=height))
    return drawn[:3]


def svg(figure: Any, salt: str = "flowtheory") -> str:
    """A figure as an SVG element whose ink follows the page's text colour.

    A dark page lightens the blue of measured values through `--measured`.

    Args:
        figure: a matplotlib figure.
        salt: makes the ids within the SVG reproducible and unlike its neighbours'.

    Returns:
        The `<svg>` element alone, without XML prologue or date.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    start, end = text.find("<metadata>"), text.find("</metadata>")
    if start >= 0:
        text = text[:start] + text[end + len("</metadata>") :]
    text = text.replace(INK.lower(), "currentColor").replace(INK, "currentColor")
    return text.replace(MEASURED.lower(), f"var(--measured, {MEASURED.lower()})")


def _figure(draw: Callable[..., None], *drawn: Any, height: float = 3.2) -> Any:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.6, height), layout="constrained")
        draw(figure.subplots(), *drawn)
    return figure


def _floats(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=float)


def _levels(found: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Step sizes and sizes of the errors that a logarithm can show."""
    h, errors = _floats(found.data["h"]), np.abs(_floats(found.data["errors"]))
    shown = np.isfinite(errors) & (errors > 0) & (h > 0)
    return h[shown], errors[shown]


def _order(ax: Any, found: Evidence, controls: Controls) -> None:
    """Errors over step sizes: fitted slope with its interval, claimed slope, controls.

    The claimed slope goes through the finest level, where a wrong one parts from the
    errors as h grows.
    """
    h, errors = _levels(found)
    if not len(h):
        return
    claimed = float(getattr(found.relation, "p", found.data.get("claimed", 1.0)))
    slope = found.data.get("slope", found.measured)
    slope = float(slope) if isinstance(slope, int | float) else None
    finest = int(np.argmin(h))
    line = np.geomspace(h.min(), h.max() * 1.3, 30)

    def through_finest(power: float) -> np.ndarray:
        return errors[finest] * (line / h[finest]) ** power

    low, high = found.interval or (np.nan, np.nan)
    if math.isfinite(low) and math.isfinite(high):
        ends = through_finest(low), through_finest(high)
        ax.fill_between(line, *ends, color=MEASURED, alpha=0.25, lw=0)
    label = "measured"
    if slope is not None:
        label = f"measured: order {number(slope, 3)} in {interval((low, high), 3)}"
    ax.plot(h, errors, "o-", color=MEASURED, ms=6, lw=1, label=label)
    label = f"claimed: order {number(claimed)}"
    ax.plot(line, through_finest(claimed), color=CLAIMED, ls="--", lw=2, label=label)
    for name, control in controls[:2]:
        steps, wrong = _levels(control)
        order = control.measured
        text = f" (order {number(order, 3)})" if _is_real(order) else ""
        label = textwrap.shorten(f"control: {name}", 36, placeholder="…") + text
        ax.plot(steps, wrong, "X:", color=WRONG, ms=6, lw=1, label=label)
    ax.set(xscale="log", yscale="log", ylabel=str(found.data.get("ylabel", "error")))
    ax.set_xlabel(str(found.data.get("xlabel", "step size h")))
    _plain_ticks(ax, h)
    _legend_above(ax)


def _legend_above(ax: Any) -> None:
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)


def _plain_ticks(ax: Any, h: np.ndarray) -> None:
    from matplotlib.ticker import FixedLocator, NullFormatter

    ticks = h if len(h) <= 5 else h[:: -(-len(h) // 4)]
    ax.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
    ax.xaxis.set_major_formatter(lambda x, _: number(x, 3))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _curves(ax: Any, found: Evidence, controls: Controls) -> None:
    """Two or more curves over one axis, or a distance with its rounding level."""
    data = found.data
    if "series" not in data:
        _distance(ax, found)
        return
    x = _floats(data["x"])
    series: Mapping[str, Any] = data["series"]
    for j, (name, values) in enumerate(series.items()):
        colour, dash = SERIES[j % len(SERIES)], DASHES[j % len(DASHES)]
        # The first curve is drawn wide, so that one that covers it leaves it visible.
        width, alpha = (5, 0.35) if j == 0 and len(series) > 1 else (1.6, 1)
        ax.plot(
            x, _floats(values), color=colour, ls=dash, lw=width, alpha=alpha, label=name
        )
    ax.set_xlabel(str(data.get("xlabel", "x")))
    ax.set_ylabel(str(data.get("ylabel", "")))
    if data.get("yscale") == "log":
        ax.set_yscale("log")
    _legend_above(ax)


def _distance(ax: Any, found: Evidence) -> None:
    """A distance of two trajectories at each step, against the rounding allowance."""
    distance = _floats(found.data.get("distance", found.measured)).ravel()
    floor = np.finfo(float).tiny
    ax.plot(np.maximum(distance, floor), ".-", color=MEASURED, label="distance")
    allowed = found.data.get("rounding")
    if isinstance(allowed, int | float) and allowed > 0:
        label = f"rounding allows {number(allowed, 2)}"
        ax.axhline(allowed, color=CLAIMED, ls="--", lw=2, label=label)
    moved = found.data.get("moved")
    if isinstance(moved, int | float) and moved > 0:
        label = "constant moved by delta"
        ax.axhline(moved, color=WRONG, ls=":", lw=2, label=label)
    ax.set(yscale="log", xlabel="step", ylabel="relative distance")
    seen = distance[distance > 0]
    ax.set_ylim(bottom=seen.min() / 10 if len(seen) else 1e-17)
    _legend_above(ax)


def _law(ax: Any, found: Evidence, controls: Controls) -> None:
    """Empirical distribution function against the claimed law."""
    data = found.data
    x = _floats(data["x"])
    ax.plot(
        x,
        _floats(data.get("law", data.get("exact"))),
        color=CLAIMED,
        ls="--",
        lw=2,
        label="claimed law",
    )
    ax.step(
        x,
        _floats(data["empirical"]),
        where="post",
        color=MEASURED,
        label="measured distribution",
    )
    measured = found.measured
    ax.set_xlabel(str(data.get("xlabel", "x")))
    ax.set_ylabel("distribution function")
    ax.set_ylim(-0.02, 1.02)
    if isinstance(measured, int | float):
        ax.plot([], [], " ", label=f"largest gap {number(measured, 2)}")
    _legend_above(ax)


def _threshold(ax: Any, found: Evidence, controls: Controls) -> None:
    """Growth rate on both sides of the claimed threshold."""
    data = found.data
    x, growth = (
        _floats(data["parameter"]),
        _floats(data.get("growth", data.get("rate"))),
    )
    order = np.argsort(x)
    x, growth = x[order], growth[order]
    if found.interval is not None and all(map(math.isfinite, found.interval)):
        ax.axvspan(*found.interval, color=MEASURED, alpha=0.18, lw=0, label="bracket")
    claimed = getattr(found.relation, "claimed", data.get("claimed"))
    if claimed is not None:
        label = f"claimed {number(claimed)}"
        ax.axvline(float(claimed), color=CLAIMED, ls="--", lw=2, label=label)
    ax.axhline(0.0, color=INK, lw=0.8)
    ax.plot(x, growth, color=MEASURED, lw=1, alpha=0.6)
    decays = growth < 0
    ax.plot(x[decays], growth[decays], "v", color=MEASURED, label="decays")
    ax.plot(x[~decays], growth[~decays], "^", color="#E69F00", label="grows")
    ax.set_xlabel(str(data.get("xlabel", "parameter")))
    ax.set_ylabel(str(data.get("ylabel", "growth rate")))
    _legend_above(ax)


_DRAW = {"order": _order, "curves": _curves, "law": _law, "threshold": _threshold}
_CONSTANT = (Equal, UpperBound, Range)

_NEEDS = {
    "order": ({"h", "errors"},),
    "curves": ({"x", "series"}, {"distance"}),
    "law": ({"x", "empirical", "law"}, {"x", "empirical", "exact"}),
    "threshold": ({"parameter", "growth"}, {"parameter", "rate"}),
}


def _is_drawable(kind: str, data: Mapping[str, Any]) -> bool:
    return any(names <= set(data) for names in _NEEDS.get(kind, ()))


def _constants(result: ClaimResult) -> list[Row]:
    """Main checks and controls whose measured value lies on one axis with the claim."""
    rows: list[Row] = []
    named = [(c.name, c.evidence, "") for c in result.checks]
    named += [(c.name, c.evidence, _fate(c.caught)) for c in result.controls]
    for name, found, fate in named:
        if found is None or not isinstance(found.relation, _CONSTANT):
            continue
        if found.data.get("kind") == "threshold" or not _is_real(found.measured):
            continue
        if rows and found.relation != rows[0][1].relation:
            continue
        rows.append((name, found, fate))
    main = [row for row in rows if not row[2]]
    return rows if main else []


def _fate(caught: bool) -> str:
    return "control, caught" if caught else "control, NOT caught"


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float | np.floating | np.integer) and bool(
        np.isfinite(value)
    )


def _forest(ax: Any, rows: list[Row], unit: str) -> None:
    """Intervals under each other, against the claimed value or the accepted side."""
    relation = rows[0][1].relation
    for i, (_, found, fate) in enumerate(rows):
        colour = WRONG if fate else MEASURED
        value = float(found.measured)
        low, high = found.interval or (value, value)
        low, high = (x if math.isfinite(x) else value for x in (low, high))
        ax.plot([low, high], [i, i], color=colour, lw=7, alpha=0.35)
        ax.plot([low, high], [i, i], "|", color=colour, ms=11, mew=1.5)
        ax.plot(value, i, "X" if fate else "o", color=colour, ms=7)
        ax.annotate(
            measured_text(found),
            (value, i),
            xytext=(5, 6),
            textcoords="offset points",
            size=9,
        )
    _claimed_side(ax, relation)
    labels = [_row_label(name, found, fate) for name, found, fate in rows]
    ax.set_yticks(range(len(rows)), labels)
    ax.set_ylim(len(rows) - 0.5, -0.8)
    ax.margins(x=0.12)
    ax.locator_params(axis="x", nbins=4)
    ax.ticklabel_format(axis="x", useOffset=False)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(unit)
    _legend_above(ax)


def _claimed_side(ax: Any, relation: Any) -> None:
    label = f"claimed {claimed_text(relation)}"
    style = {"color": CLAIMED, "ls": "--", "lw": 2}
    if isinstance(relation, Range):
        ax.axvspan(relation.low, relation.high, color=CLAIMED, alpha=0.15, lw=0)
        ax.axvline(relation.low, label=label, **style)
        ax.axvline(relation.high, **style)
        return
    if isinstance(relation, UpperBound):
        ax.axvline(relation.bound, label=label, **style)
        side = 1 if isinstance(relation, LowerBound) else -1
        ax.annotate(
            "allowed",
            (relation.bound, 0),
            xycoords=("data", "axes fraction"),
            xytext=(side * 42, 6),
            textcoords="offset points",
            ha="center",
            size=8,
            color=CLAIMED,
            arrowprops={"arrowstyle": "<-", "color": CLAIMED},
        )
        return
    ax.axvline(relation.claimed, label=label, **style)


def _row_label(name: str, found: Evidence, fate: str) -> str:
    word = fate or {
        Verdict.HOLDS: "measured",
        Verdict.REFUTED: "measured, refuted",
    }.get(found.verdict, f"measured, {found.verdict.value}")
    text = word if name == "main" else f"{name} ({word})"
    return "\n".join(textwrap.wrap(text, 26))
