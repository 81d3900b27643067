"""LaTeX as MathML, so that a page shows formulas without a script or a network."""

from __future__ import annotations

import html
import re

_INLINE = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", flags=re.DOTALL)


def mathml(latex: str, display: bool = False) -> str:
    """A formula as MathML, or as escaped code where it cannot be converted.

    Args:
        latex: the formula, without dollar signs.
        display: set it on a line of its own.

    Returns:
        One HTML element, `<math>` or `<code>`.
    """
    import latex2mathml.converter

    try:
        shown = latex2mathml.converter.convert(
            latex, display="block" if display else "inline"
        )
    except Exception:  # the converter raises IndexError, KeyError, its own classes
        shown = ""
    bare = re.sub(r"\\[{}]", "", latex)
    balanced = bare.count("{") == bare.count("}")
    # A command that the converter does not know stays in the text as it was typed.
    if not (shown and balanced) or "\\" in re.sub(r"<[^>]*>", "", shown):
        return f"<code>{html.escape(latex)}</code>"
    return shown


def typeset(text: str, formula: bool = False) -> str:
    r"""Text with formulas between dollar signs as HTML.

    Args:
        text: plain text with $...$ or $$...$$.
        formula: a text without dollar signs is one formula, set on its own line.

    Returns:
        HTML; everything outside the formulas is escaped.
    """
    if formula and "$" not in text:
        return mathml(text, display=True) if text.strip() else ""
    pieces, end = [], 0
    for match in _INLINE.finditer(text):
        pieces.append(html.escape(text[end : match.start()]))
        own_line = match[1] is not None
        pieces.append(mathml(match[1] if own_line else match[2], display=own_line))
        end = match.end()
    return "".join([*pieces, html.escape(text[end:])])
