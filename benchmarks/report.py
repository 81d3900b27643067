"""Results as Markdown for people and as JSON for programs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from benchmarks.protocol import BUSY, SPREAD, Row

HEAD = """# Benchmarks

Written by `python -m benchmarks --write` (`make bench`). One core, one thread, float64.
Contenders take turns; a figure is the median of CPU time, a ratio the median of the
ratios of neighbouring samples (quartiles in brackets), ours over the same computation
written by hand. "First call" traces and compiles. Contenders whose results differ are
an error. Rows without a target are reported only; a target is undecided where the
median lies above it and the lower quartile below.
"""
COLUMNS = (
    "problem",
    "ours",
    "by hand",
    "ratio",
    "target",
    "first call, CPU s",
    "wall/CPU",
    "note",
)


def number(value: float) -> str:
    """Three digits, without exponents where a reader can do without them."""
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def cells(row: Row) -> list[str]:
    """A row of the table."""
    ratio, other = "", ""
    if row.other is not None:
        other = f"{number(row.other)} {row.unit}"
    if row.ratio is not None:
        r = row.ratio
        ratio = f"{r.median:.3f} ({r.lower:.3f} to {r.upper:.3f})"
    target = ""
    if row.target is not None:
        word = {True: "met", False: "**missed**", None: "undecided"}[row.met]
        target = f"{row.target:g}, {word}"
    noisy = row.busy > BUSY or (row.ratio is not None and row.ratio.spread > SPREAD)
    busy = f"{row.busy:.2f}" + (" (noisy)" if noisy else "")
    known = not all(math.isnan(s) for s in row.first)
    first = " / ".join(number(s) for s in row.first) if known else ""
    ours = f"{number(row.ours)} {row.unit}"
    return [row.problem, ours, other, ratio, target, first, busy, row.note]


def markdown(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    """The page: a table a case, then the machine."""
    parts = [HEAD]
    for case in dict.fromkeys(row.case for row in rows):
        table = [list(COLUMNS), ["---"] * len(COLUMNS)]
        table += [cells(row) for row in rows if row.case == case]
        if not any(row.other is not None for row in rows if row.case == case):
            table[0][1] = "measured"
        kept = [i for i in range(len(COLUMNS)) if any(line[i] for line in table[2:])]
        lines = ["| " + " | ".join(line[i] for i in kept) + " |" for line in table]
        parts.append(f"\n## {case}\n\n" + "\n".join(lines) + "\n")
    about = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    parts.append(f"\n## Machine\n\n{about}\n")
    return "".join(parts)


def merged(page: str, rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    """The page with the cases of these rows replaced or added.

    Raises:
        ValueError: the page was measured on another machine, so that figures of both
            in one page would mislead.
    """
    old, new = _sections(page), _sections(markdown(rows, machine))
    about = old.pop("Machine", "")
    if _lasting(about) != _lasting(new.pop("Machine")):
        raise ValueError("the page on file was measured on another machine.")
    load = machine.get("load at the start", "unknown")
    apart = f"\nMeasured apart from the others; load at the start {load}.\n"
    sections = old | {name: text.rstrip() + "\n" + apart for name, text in new.items()}
    sections["Machine"] = about  # last
    return HEAD + "".join(f"\n## {name}\n{text}" for name, text in sections.items())


def _sections(page: str) -> dict[str, str]:
    parts = page.split("\n## ")[1:]
    return {name: text for name, text in (part.split("\n", 1) for part in parts)}


def _lasting(machine: str) -> list[str]:
    """What a machine keeps from one run to the next."""
    passing = ("- core", "- load at the start")
    return [line for line in machine.split("\n") if not line.startswith(passing)]


def as_json(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    """All figures; NaN becomes null."""

    def plain(value):
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, Mapping):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    found = [plain(asdict(row) | {"met": row.met}) for row in rows]
    return json.dumps({"machine": dict(machine), "rows": found}, indent=1) + "\n"
