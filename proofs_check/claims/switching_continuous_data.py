"""Continuous data: a reflected Brownian index, and the variance that it leaves."""

from __future__ import annotations

from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np

from discretize import RungeKutta, Splitting
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Equal, Evidence
from proofs_check.identities import identical
from proofs_check.papers import continuous_data
from sde import ContinuousDataProcess, ContinuousDataState, simulate

PAPER = continuous_data("the process; its variance for a quadratic is derived here")
INNER = RungeKutta(diffrax.Heun())


def _pull(x: Any, v: Any) -> Any:
    """f(x, v) = (x - v)²/2, so that κ = 1."""
    return 0.5 * jnp.sum((x - v) ** 2)


def _variance(b: Any, tanh: Any) -> Any:
    """1/12 - 1/b² + 2 tanh(b/2)/b³."""
    return tanh(b / 2) * 2 / b**3 - 1 / b**2 + 1 / b**0 / 12


@claim(
    "pdmp.continuous-data",
    title="Continuous data leave the variance 1/12 - 1/b² + 2 tanh(b/2)/b³",
    source=PAPER,
    statement=r"\alpha\dot x = -(x - V),\ dV = \sigma\,dB \text{ reflected in } [0, 1]"
    r"\ \Rightarrow\ \mathrm{Var}_\pi(x) = \tfrac1{12} - \tfrac1{b^2} + "
    r"\tfrac{2}{b^3}\tanh\tfrac b2,\quad b^2 = \frac{2}{\alpha\sigma^2}",
    hypotheses=(r"$\alpha, \sigma > 0$",),
    relation=Equal(float(_variance(np.sqrt(2.0), np.tanh))),
    grade="proved",
    delta=0.02,
    quick_delta=0.1,
    unit="variance of x, α = σ = 1",
)
def continuous(ctx: Context) -> Evidence:
    """∫ L φ dπ = 0 for φ = x w(V) and φ = x²; α and σ are symbols.

    With w = v - sinh(b(v - 1/2))/(b cosh(b/2)), which has no slope at the ends of
    [0, 1], L(x w) = (V w - x V)/α. So E[x V] = E[V w(V)] with V uniform, and
    L x² = 2(x V - x²)/α makes that E x².
    """
    return _proved(ctx, diffusion=1)


def _profile(v: Any, b: Any) -> Any:
    """w, its hyperbolic functions by exponentials."""
    wave = jnp.exp(b * (v - 1.0)) - jnp.exp(-b * v)
    return v - wave / (b * (1 + jnp.exp(-b)))


def _images() -> Any:
    """Model, variables, b and the traces of L(x w), L x² and w, b a free symbol."""
    import sympy

    model: Any = symbols_like(ContinuousDataProcess(_pull, 1.0, 1.0))
    b = sympy.Symbol("b", positive=True)
    y = ContinuousDataState(symbol_vector("x", 1), symbol_vector("v", 1))

    def images(model, y, b):
        def product(t, y):
            return y.position[0] * _profile(y.datum[0], b)

        def square(t, y):
            return y.position[0] ** 2

        first, second = (model.generator(phi)(0.0, y) for phi in (product, square))
        return first, second, _profile(y.datum[0], b)

    return model, y, b, exactly(images, model, y, b)


def _proved(ctx: Context, diffusion: Any) -> Evidence:
    import sympy

    model, y, b, (first, second, w) = ctx.compiled("images", _images)
    alpha, x, v = model.friction, y.position[0], y.datum[0]
    slope = sympy.diff(w, v)
    product = sympy.integrate(sympy.expand(v * w), (v, 0, 1))
    variance = _variance(b, sympy.tanh).rewrite(sympy.exp)
    found = [
        first - (v * w - x * v) / alpha,
        second - 2 * (x * v - x**2) / alpha,
        slope.subs(v, 0),
        slope.subs(v, 1),
        product - sympy.Rational(1, 4) - variance,
    ]
    # b is free in the last three; in the first it is what makes w solve its equation
    found[0] = found[0].subs(b, sympy.sqrt(2 * diffusion / alpha) / model.volatility)
    return identical(
        np.array(found, dtype=object), np.zeros(5, dtype=object), "E x² = E[V w(V)]"
    )


@continuous.control("σ² in place of σ²/2 in b")
def _(ctx: Context) -> Evidence:
    import sympy

    return _proved(ctx, diffusion=sympy.Rational(1, 2))


@claim(
    "pdmp.continuous-data-simulated",
    title="A folded Brownian index leaves the variance of the reflected one",
    source=PAPER,
    statement=r"V_{k+1} = |V_k + \sigma\sqrt h\,\xi_k| \text{ folded into } [0, 1]"
    r"\ \Rightarrow\ \mathrm{Var}_\pi(x) = 0.0138619\ldots",
    hypotheses=(r"$\alpha = \sigma = 1$",),
    relation=Equal(float(_variance(np.sqrt(2.0), np.tanh))),
    grade="estimated",
    delta=0.02,
    quick_delta=0.1,
    unit="variance of x",
)
def simulated(ctx: Context) -> Evidence:
    """Independent paths of the splitting X 1/2, V, X 1/2 to time 8, V₀ uniform.

    x is bounded, so all moments exist. The step's bias is that of the recursion, mode
    by mode; what is left of x₀ = 1/2 at time 8 is below e^{-8} of the variance.
    """
    h = ctx.choose(0.1, 0.05)
    claimed = float(_variance(np.sqrt(2.0), np.tanh))
    bias = abs(_variance_of_splitting(h) - claimed) + 2 * np.exp(-8.0) * claimed
    return ctx.mean(lambda seed, n: _squares(seed, n, h), bias=bias)


def _squares(seed: int, n: int, h: float) -> np.ndarray:
    datum = np.random.default_rng([seed, 1]).random((n, 1))
    start = ContinuousDataState(jnp.full((n, 1), 0.5), jnp.asarray(datum))
    scheme = Splitting("X 1/2, V, X 1/2", INNER)
    model = ContinuousDataProcess(_pull)
    run = simulate(
        model, start, t1=8.0, scheme=scheme, h=h, key=seed, paths=n, chunk=400
    )
    return (np.asarray(run.final.position)[:, 0] - 0.5) ** 2


def _recursion(h: float, share: Any, rate: Any) -> float:
    """Var x of x_{k+1} = q(q x_k + (1 - q) V_k) + (1 - q) V_{k+1}.

    q = 1 - h/2 + h²/8 is half a step of Heun's method. V is a sum of modes of variance
    `share` and of correlation c = e^{-rate h} over a step. All shares add up to 1/12;
    the modes left out are so fast that c = 0.
    """
    share = np.append(share, 1 / 12 - np.sum(share))
    c, q = np.append(np.exp(-rate * h), 0.0), 1 - h / 2 + h**2 / 8
    with_now = (1 - q) * (1 + q * c) / (1 - q**2 * c)  # Cov(x_k, V_k)/share
    drive = (1 - q) ** 2 * (1 + q**2 + 2 * q * c)
    both = 2 * q**2 * (1 - q) * (q + c) * with_now
    return float(np.sum(share * (both + drive)) / (1 - q**4))


def _variance_of_splitting(h: float) -> float:
    """V = 1/2 - Σ 4/(jπ)² cos(jπB) over odd j, of rates (jπ)²/2."""
    j = np.pi * np.arange(1, 100, 2)
    return _recursion(h, 8 / j**4, j**2 / 2)


def _variance_on_circle(h: float) -> float:
    """V = 1/2 - Σ sin(2jπB)/(jπ), of rates (2jπ)²/2."""
    j = np.pi * np.arange(1, 51)
    return _recursion(h, 1 / (2 * j**2), 2 * j**2)


@simulated.control(
    "a circle in place of the interval", expected=_variance_on_circle(0.1)
)
def _(ctx: Context) -> Evidence:
    """V wrapped around in place of folded, by the same recursion."""

    def squares(seed: int, n: int, h: float = 0.1) -> np.ndarray:
        rng = np.random.default_rng(seed)
        x, v, q = np.full(n, 0.5), rng.random(n), 1 - h / 2 + h**2 / 8
        for _ in range(80):
            x = q * x + (1 - q) * v
            v = (v + np.sqrt(h) * rng.normal(size=n)) % 1
            x = q * x + (1 - q) * v
        return (x - 0.5) ** 2

    return ctx.mean(squares, bias=2 * np.exp(-8.0) * _variance_on_circle(0.1))
