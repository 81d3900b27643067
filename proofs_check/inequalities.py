"""Inequalities of classes of functions, in inner products: what is >= 0, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from proofs_check.inner_products import convexity, gap_symbol, inner, squared


@dataclass(frozen=True)
class Inequality:
    """Something that is >= 0.

    Attributes:
        expression: what is >= 0, in inner products and parameters.
        name: the hypothesis that says so.
        vector: for a square, the coefficients of its vector.
        at_minimum: whether it only holds of a function with a minimum at x*, so that
            a function on which f < f* is no counterexample.
    """

    expression: Any
    name: str
    vector: Mapping[str, Any] | None = None
    at_minimum: bool = False

    def subs(self, where: Mapping[Any, Any]) -> Inequality:
        """The inequality with a hypothesis put into its symbols."""
        vector = self.vector
        if vector is not None:
            vector = {a: sp.sympify(c).subs(where) for a, c in vector.items()}
        return replace(self, expression=self.expression.subs(where), vector=vector)


def strongly_convex(strong: Any = 0) -> Inequality:
    """⟨e, g⟩ >= f - f* + (μ/2)|e|²; convexity where μ = 0."""
    name = "strong convexity" if strong != 0 else "convexity"
    return Inequality(convexity(strong), name)


def minimal() -> Inequality:
    """The minimum: f >= f*."""
    return Inequality(gap_symbol(), "f* is the minimum")


def growth(strong: Any) -> Inequality:
    """Quadratic growth, f - f* >= (μ/2)|e|²: for every μ-strongly convex f."""
    return Inequality(gap_symbol() - strong * inner("e", "e") / 2, "quadratic growth")


def smooth_convex(smoothness: Any) -> Inequality:
    """⟨e, g⟩ >= f - f* + |g|²/(2L), for every convex L-smooth f with a minimiser."""
    bound = inner("g", "g") / (2 * smoothness)
    return Inequality(convexity() - bound, "convexity and smoothness")


def cocoercive(smoothness: Any) -> Inequality:
    """⟨e, g⟩ >= |g|²/L, for every convex L-smooth f with a minimiser.

    The gradient's co-coercivity between x and x*, by Baillon and Haddad; it follows
    from `smooth_convex` and `smooth_at_minimum`.
    """
    bound = inner("g", "g") / smoothness
    return Inequality(inner("e", "g") - bound, "co-coercive gradient")


def smooth_at_minimum(smoothness: Any) -> Inequality:
    """The bound f - f* >= |g|²/(2L), for every L-smooth f with a minimum."""
    bound = inner("g", "g") / (2 * smoothness)
    name = "smoothness at a minimum"
    return Inequality(gap_symbol() - bound, name, at_minimum=True)


def smooth(smoothness: Any) -> Inequality:
    """The bound f - f* <= (L/2)|e|², for every L-smooth f with a minimiser."""
    bound = smoothness * inner("e", "e") / 2
    name = "smoothness, from the minimiser"
    return Inequality(bound - gap_symbol(), name, at_minimum=True)


def lipschitz(smoothness: Any) -> Inequality:
    """|g|² <= L²|e|², for every L-smooth f with a minimiser."""
    bound = smoothness**2 * inner("e", "e")
    name = "gradient L-Lipschitz"
    return Inequality(bound - inner("g", "g"), name, at_minimum=True)


def curved(vector: str, least: Any = 0) -> Inequality:
    """⟨a, Ha⟩ >= ℓ|a|², where every eigenvalue of the Hessian is >= ℓ."""
    bound = least * inner(vector, vector)
    name = f"Hessian >= {sp.sstr(least)}"
    return Inequality(inner(vector, "H" + vector) - bound, name)


def square(**coefficients: Any) -> Inequality:
    """|Σ c_a a|², as `square(g=1, e=-mu)`."""
    return Inequality(squared(**coefficients), "a square", coefficients)
