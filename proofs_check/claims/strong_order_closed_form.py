"""Strong errors in closed form: Euler and Milstein on geometric Brownian motion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import sympy
from jaxtyping import Array, Float

from discretize import Euler, Milstein
from flows import Scheme
from flows.dynamics import parameter
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import Claim, Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from sde import Diffusion

MILSTEIN = Source(
    title="Approximate integration of stochastic differential equations",
    authors="Grigori N. Milstein",
    year=1975,
    location="Theory of Probability and its Applications 19(3), 557-562; the closed "
    "form is derived here",
)
H = sympy.Symbol("h", positive=True)


class _Geometric(Diffusion):
    """Geometric Brownian motion without drift, dX = σX dB."""

    equation: ClassVar[str] = r"dX = \sigma X\,dB"
    sigma: Array = eqx.field(converter=parameter, metadata={"positive": True})

    def vector_field(self, t: Any, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """No drift."""
        del t
        return jnp.zeros_like(y)

    def brownian(self, y: Any) -> int:
        """One."""
        return 1

    def noise(self, t: Any, y: Any, dw: Any) -> Any:
        """The product σ y dw."""
        del t
        return self.sigma * y * dw


def _moments(scheme: Scheme):
    """E q² and E q(ξ + σ√h) for the traced step y ↦ q(ξ) y, and σ.

    X itself is multiplied by e^{σ√h ξ - σ²h/2} a step, under which ξ is shifted.
    """
    model = symbols_like(_Geometric(1.0))
    xi = symbol_vector("xi", 1)

    def step(model, y, h, xi):
        return scheme.step(model, 0.0, y, h, xi, None).y

    (q,) = exactly(step, model, np.array([sympy.Integer(1)], dtype=object), H, xi)
    shifted = q.subs(xi[0], xi[0] + model.sigma * sympy.sqrt(H))
    return _mean(q**2, xi[0]), _mean(shifted, xi[0]), model.sigma


def _mean(polynomial, xi):
    """The expectation of a polynomial in a standard normal."""
    terms = sympy.Poly(sympy.expand(polynomial), xi).terms()
    moments = {0: 1, 1: 0, 2: 1, 3: 0, 4: 3}
    return sympy.Add(*(c * moments[k] for (k,), c in terms))


def _closed_form(name, scheme: Scheme, second, order: float, constant: float) -> Claim:
    """The claim about one scheme: E q² = 1 + σ²h + second·σ⁴h²."""
    square = r"1 + \sigma^2h" + (r" + \tfrac12\sigma^4h^2" if second else "")

    @claim(
        f"langevin.strong-error-{name.lower()}",
        title=f"{name}'s strong error on dX = σX dB in closed form: order {order:g}",
        source=MILSTEIN,
        statement=rf"E|X^h_T - X_T|^2 = e^{{\sigma^2T}} - \bigl({square}\bigr)^{{T/h}}",
        hypotheses=(r"$dX = \sigma X\,dB$, $X_0 = 1$", r"$T/h$ a whole number"),
        grade="proved",
        delta=0.01,
        unit="order in h (time)",
    )
    def closed_form(ctx: Context) -> Evidence:
        """With X⁺ = q(ξ)X: E q² = E[q e^{σ√hξ - σ²h/2}] = the bracket; σ, h symbols."""
        return _proved(scheme, second)

    @closed_form.control("σ²h times 1 + 1/1000")
    def _(ctx: Context) -> Evidence:
        return _proved(scheme, second, 1 + sympy.Rational(1, 1000))

    @closed_form.route("order", grade="measured")
    def _(ctx: Context) -> Iterator[Evidence]:
        """The closed form at σ = T = 1 on a ladder: its order and leading constant."""
        h = 0.5 ** np.arange(5, 13)
        errors = np.sqrt(_mean_square(float(second), h))
        floor = 1e-13 * errors / h  # rounding of log(1 + h)/h - 1, relative
        yield decide.order(order, h, errors, floor=floor)
        yield decide.leading_constant(
            constant, h, errors, order, floor=floor, delta=ctx.delta
        )

    @closed_form.control("the order of the other scheme")
    def _(ctx: Context) -> Evidence:
        h = 0.5 ** np.arange(5, 13)
        return decide.order(1.5 - order, h, np.sqrt(_mean_square(float(second), h)))

    return closed_form


def _proved(scheme: Scheme, second, factor: Any = 1) -> Evidence:
    square, product, sigma = _moments(scheme)
    bracket = 1 + factor * sigma**2 * H + second * sigma**4 * H**2
    return identical(
        np.array([square, product], dtype=object),
        np.array([bracket, bracket], dtype=object),
        "E q² = E q(ξ + σ√h) = the bracket",
    )


def _mean_square(second: float, h: np.ndarray) -> np.ndarray:
    """The closed form at σ = T = 1, its difference taken in the exponent."""
    return -np.e * np.expm1(np.log1p(h + second * h**2) / h - 1)


CLOSED_FORMS = (
    # e - (1 + h)^{1/h} = e h/2 + ..., e - (1 + h + h²/2)^{1/h} = e h²/6 + ...
    _closed_form("Euler", Euler(), 0, 0.5, float(np.sqrt(np.e / 2))),
    _closed_form(
        "Milstein", Milstein(), sympy.Rational(1, 2), 1.0, float(np.sqrt(np.e / 6))
    ),
)
