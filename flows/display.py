"""Numbers and tables as people read them: in a terminal, in Markdown, in HTML."""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from flows.errors import BadInput

_SUBNORMAL = 1e-4
_LARGE = 1e6
_FIGURES = 7


def number(value: Any, digits: int = 4) -> str:
    """A value as short text: `digits` significant figures, ∞ for an infinity.

    Args:
        value: a number, a numpy or jax scalar, a short array, a bool, None (empty
            text) or anything with a `str`.
        digits: significant figures, at least 1.

    Returns:
        One line of text; long arrays are cut after four entries.
    """
    if value is None:
        return ""
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, list | tuple) or getattr(value, "ndim", 0):
        return _entries(value, digits)
    if isinstance(value, complex | np.complexfloating):
        return f"{complex(value):.{digits}g}"
    if isinstance(value, float | np.floating) or hasattr(value, "__array__"):
        return _real(float(value), digits)
    return str(value)


def _entries(value: Any, digits: int) -> str:
    entries = list(value)
    shown = ", ".join(number(entry, digits) for entry in entries[:4])
    rest = f", … ({len(entries)})" if len(entries) > 4 else ""
    return f"[{shown}{rest}]"


def _real(value: float, digits: int) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    if size and not _SUBNORMAL <= size < _LARGE:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.0f}" if size >= 10**digits else f"{value:.{digits}g}"


def resolving_digits(bounds: Sequence[Any] | None) -> int:
    """Significant figures that show an interval's width to two figures (3 to 7)."""
    if bounds is None:
        return 5
    low, high = (float(end) for end in bounds)
    size, width = max(abs(low), abs(high)), abs(high - low)
    if not (math.isfinite(size) and width > 0):
        return 5
    return min(max(math.ceil(math.log10(size / width)) + 2, 3), _FIGURES)


def interval(bounds: Sequence[Any] | None, digits: int | None = None) -> str:
    """An interval as `[low, high]` (empty text for None).

    Args:
        bounds: its two ends.
        digits: significant figures (default: as many as its width calls for; a
            width below 1e-5 of the ends is written as `middle ± half`).

    Returns:
        The text.
    """
    if bounds is None:
        return ""
    low, high = bounds
    if digits is None:
        digits = resolving_digits(bounds)
        if digits == _FIGURES:
            middle, half = (low + high) / 2, abs(high - low) / 2
            return f"{number(middle, digits)} ± {number(half, 2)}"
    return f"[{number(low, digits)}, {number(high, digits)}]"


def width_of(text: str) -> int:
    """The columns that a line takes in a terminal (combining marks take none)."""
    return sum(
        0
        if unicodedata.combining(c)
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def shorten(text: str, width: int) -> str:
    """The text, cut to `width` columns with an ellipsis where it is longer."""
    if width_of(text) <= width:
        return text
    kept = ""
    for character in text:
        if width_of(kept + character) > width - 1:
            break
        kept += character
    return kept + "…"


class Table:
    """Rows under named columns, shown alike in a terminal, in Markdown, in HTML.

    Numbers are set to four significant figures and to the right, text to the left;
    None is an empty cell. Every cell is escaped in HTML and in Markdown.

    Args:
        columns: the names of the columns.
        rows: one sequence of values a row, each as long as `columns`.
        caption: a line above the table (optional).

    Raises:
        BadInput: a row of another length than `columns`.

    Example:
        >>> print(Table(("h", "error"), [(0.1, 2.5e-3), (0.05, 1.25e-3)]))
           h    error
        ────  ───────
         0.1   0.0025
        0.05  0.00125
    """

    def __init__(
        self,
        columns: Iterable[str],
        rows: Iterable[Iterable[Any]],
        caption: str = "",
    ) -> None:
        self.columns = tuple(columns)
        self.rows = tuple(tuple(row) for row in rows)
        self.caption = caption
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise BadInput(
                    f"row {index} of the table has {len(row)} cells; it needs one for "
                    f"each of the {len(self.columns)} columns {list(self.columns)}"
                )

    def __len__(self) -> int:
        return len(self.rows)

    def cells(self) -> list[list[str]]:
        """The rows as text, one line a cell."""
        return [[" ".join(number(v).split()) for v in row] for row in self.rows]

    def lines(
        self, max_width: int | None = None, flexible: Collection[str] | None = None
    ) -> list[str]:
        """The table as lines of text: names, rule, then a line a row.

        Args:
            max_width: columns of the terminal; text columns wider than 12 are cut,
                the widest first, until the lines fit (None: nothing is cut).
            flexible: names of the columns that may be cut (default: all with text).
        """
        cells = self.cells()
        widths = [
            max([width_of(name), *(width_of(row[j]) for row in cells)])
            for j, name in enumerate(self.columns)
        ]
        right = [self._is_numeric(j) for j in range(len(self.columns))]
        if max_width is not None:
            fixed = [
                numeric or (flexible is not None and name not in flexible)
                for name, numeric in zip(self.columns, right, strict=True)
            ]
            widths = _narrowed(widths, fixed, max_width)
        rule = ["─" * width for width in widths]
        body = [self.columns, rule, *cells]
        return [
            "  ".join(
                _padded(cell, width, to_right)
                for cell, width, to_right in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in body
        ]

    def __str__(self) -> str:
        return "\n".join(([self.caption] if self.caption else []) + self.lines())

    __repr__ = __str__

    def to_markdown(self) -> str:
        """The table as GitHub-flavoured Markdown."""
        right = [self._is_numeric(j) for j in range(len(self.columns))]
        rows = [
            [_markdown(name) for name in self.columns],
            ["--:" if to_right else ":--" for to_right in right],
            *([_markdown(cell) for cell in row] for row in self.cells()),
        ]
        table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        return f"{self.caption}\n\n{table}" if self.caption else table

    def _repr_html_(self) -> str:
        align = [
            ' style="text-align:right"' if self._is_numeric(j) else ""
            for j in range(len(self.columns))
        ]
        head = "".join(
            f"<th{style}>{html.escape(name)}</th>"
            for name, style in zip(self.columns, align, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f"<td{style}>{html.escape(cell)}</td>"
                for cell, style in zip(row, align, strict=True)
            )
            + "</tr>"
            for row in self.cells()
        )
        caption = (
            f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        )
        return (
            f"<table>{caption}<thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )

    def _is_numeric(self, column: int) -> bool:
        values = [row[column] for row in self.rows if row[column] is not None]
        return bool(values) and all(_is_number(value) for value in values)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool | str):
        return False
    if isinstance(value, int | float | np.number):
        return True
    return getattr(value, "ndim", None) == 0


def _padded(text: str, width: int, to_right: bool) -> str:
    text = shorten(text, width)
    space = " " * (width - width_of(text))
    return space + text if to_right else text + space


def _narrowed(widths: list[int], fixed: list[bool], total: int) -> list[int]:
    """Take columns from the widest text column until the sum fits `total`."""
    widths = list(widths)
    while sum(widths) + 2 * (len(widths) - 1) > total:
        wide = [j for j, w in enumerate(widths) if not fixed[j] and w > 12]
        if not wide:
            break
        widths[max(wide, key=lambda j: widths[j])] -= 1
    return widths


def _markdown(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "\\|")
