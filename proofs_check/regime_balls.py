"""Regimes of inertial-Newton modes in ball arithmetic: by the roots, and by signs.

A step z² - (2-S) z + 1 - S + G with S = γ(α+βλ)/m and G = γ²λ/m has the roots
z = 1 + w, w² + S w + G = 0. The window of spirals of the flow, with a = αβ/m and
u = β²λ/m, is where (a + u)² < 4u.
"""

from __future__ import annotations

from typing import Any


def roots_of_step(s: Any, g: Any) -> str | None:
    """The regime of a cell (S, G) from enclosures of both roots z."""
    disc = s * s - 4 * g
    if disc < 0:
        inside = squared_modulus(s, g)
        return _choice(inside < 1, "SPIRAL", inside > 1, "UNSTABLE_SPIRAL")
    if not disc > 0:
        return None
    root = disc.sqrt()
    high, low = 1 + (root - s) / 2, 1 - (root + s) / 2
    if high > 1:  # then G < 0, as the product of both w is
        return _choice((low > -1) & (low < 1), "SADDLE", low < -1, "SOURCE")
    if low < -1:
        return "UNSTABLE_FLIP" if high < 1 else None
    if not (high < 1 and low > -1):
        return None
    return _choice(low > 0, "NODE", low < 0, "FLIP")


def squared_modulus(s: Any, g: Any) -> Any:
    """|z|² of a pair: (1 - S/2)² + (G - S²/4), real part and imaginary part."""
    real = 1 - s / 2
    return real * real + (g - s * s / 4)


def signs_of_step(s: Any, g: Any) -> str | None:
    """The regime of a cell (S, G) from signs of polynomials in S and G alone."""
    at_minus_one = 4 - 2 * s + g
    if g < 0:
        return _choice(at_minus_one > 0, "SADDLE", at_minus_one < 0, "SOURCE")
    if not g > 0:
        return None
    if s * s < 4 * g:
        return _choice(g < s, "SPIRAL", g > s, "UNSTABLE_SPIRAL")
    if not s * s > 4 * g:
        return None
    if at_minus_one < 0 or g > s:
        return "UNSTABLE_FLIP"
    if not (at_minus_one > 0 and g < s):
        return None
    det, trace = 1 - s + g, 2 - s
    return _choice(det > 0 and trace > 0, "NODE", det < 0 or trace < 0, "FLIP")


def discriminant_of_flow(a: Any, u: Any) -> str | None:
    """Spiral or node of a cell (a, u), λ > 0, from the discriminant."""
    disc = (a + u) ** 2 - 4 * u
    return _choice(disc < 0, "SPIRAL", disc > 0, "NODE")


def window_of_flow(a: Any, u: Any, *, always: bool = False) -> str | None:
    """Spiral or node of a cell (a, u) by a < 1 and √u within 1 ± √(1-a).

    Args:
        a: αβ/m.
        u: β²λ/m.
        always: drop the condition a < 1, and take √|1-a| (which is wrong).
    """
    if a > 1 and not always:
        return "NODE"
    if not (a < 1 or always):
        return None
    root, at = abs(1 - a).sqrt(), u.nonnegative_part().sqrt()
    return _choice(
        at > 1 - root and at < 1 + root,
        "SPIRAL",
        at < 1 - root or at > 1 + root,
        "NODE",
    )


def _choice(first: Any, name: str, second: Any, other: str) -> str | None:
    """The name of the condition that is certain; None where neither is."""
    if first:
        return name
    return other if second else None
