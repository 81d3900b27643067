"""Langevin optimisers are tamed Euler; their noise at the usual β in float32."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import sympy
from scipy import stats

from discretize import (
    SGLD,
    THEOPOULA,
    TULA,
    TUSLA,
    Correspondence,
    prove,
    sgld,
    theopoula,
    tula,
    tusla,
)
from flows.symbolic import exactly, symbol_vector
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.claims.gaussian_langevin import BROSSE
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import theopoula_paper, tusla_paper

WELLING = Source(
    title="Bayesian learning via stochastic gradient Langevin dynamics",
    authors="Max Welling and Yee Whye Teh",
    year=2011,
    location="the algorithm, here with full-batch gradients (ICML)",
)
HYPOTHESES = (
    r"$f$ differentiable",
    "the same standard normals",
    "two steps; numbers, gradients and noise are symbols",
)


def _euler_claim(key: str, title: str, statement: str, source: Source, row: Any):
    @claim(
        f"langevin.{key}-is-tamed-euler",
        title=title,
        source=source,
        statement=statement,
        hypotheses=HYPOTHESES,
        grade="proved",
    )
    def exact(ctx: Context) -> Evidence:
        return decide.identity(prove(row), name=f"{row.name} = tamed Euler")

    @exact.control("noise of another temperature, √(λ/β)")
    def _(ctx: Context) -> Evidence:
        cold = dataclasses.replace(row, optimizer=_halved(row))
        return decide.identity(prove(cold), name=f"{row.name} = tamed Euler")

    return exact


def _halved(row: Correspondence) -> Any:
    return lambda hyper: row.optimizer({**hyper, "beta": 2 * hyper["beta"]})


SGLD_IS_EULER = _euler_claim(
    "sgld",
    "SGLD on full-batch gradients is Euler on overdamped Langevin dynamics",
    r"\theta \leftarrow \theta - \lambda\nabla f(\theta) + \sqrt{2\lambda/\beta}\,\xi",
    WELLING,
    SGLD,
)
TULA_IS_EULER = _euler_claim(
    "tula",
    "TULA is Euler with the drift tamed by its norm",
    r"\theta \leftarrow \theta - \lambda\frac{g}{1+\lambda|g|} +"
    r" \sqrt{2\lambda/\beta}\,\xi",
    BROSSE,
    TULA,
)
TUSLA_IS_EULER = _euler_claim(
    "tusla",
    "TUSLA is Euler with gradient and regulariser tamed by the state",
    r"\theta \leftarrow \theta - \lambda\frac{g + \eta\theta|\theta|^{2r}}"
    r"{1+\sqrt\lambda|\theta|^{2r}} + \sqrt{2\lambda/\beta}\,\xi",
    tusla_paper("the algorithm"),
    TUSLA,
)
THEOPOULA_IS_EULER = _euler_claim(
    "theopoula",
    "TheoPouLa is Euler with the polygonal drift, its regulariser tamed apart",
    r"\theta_i \leftarrow \theta_i - \lambda\frac{g_i}{1+\sqrt\lambda|g_i|}\Bigl(1 +"
    r" \frac{\sqrt\lambda}{\epsilon+|g_i|}\Bigr) - \lambda\frac{\eta\theta_i"
    r"|\theta|^{2r}}{1+\sqrt\lambda|\theta|^{2r}} + \sqrt{2\lambda/\beta}\,\xi_i",
    theopoula_paper("the algorithm"),
    THEOPOULA,
)


def _folded(hyper):
    """The regulariser inside taming and boosting, as public code has it."""

    def add(updates, state, params: Any = None):
        power = jnp.sum(params**2) ** hyper["r"]
        tamed = power / (1 + jnp.sqrt(hyper["learning_rate"]) * power)
        return updates + hyper["eta"] * params * tamed, state

    inner = theopoula(hyper["learning_rate"], hyper["eps"], hyper["beta"])
    fold = optax.GradientTransformation(lambda params: optax.EmptyState(), add)
    return optax.chain(fold, inner)


@THEOPOULA_IS_EULER.control("the regulariser folded into the gradient")
def _(ctx: Context) -> Evidence:
    row = dataclasses.replace(THEOPOULA, optimizer=_folded)
    return decide.identity(prove(row), name="folded = tamed Euler")


# The papers' formulas, written out by hand, against the optimisers' traced update.

SYMBOLS = sympy.symbols("lambda epsilon beta eta", positive=True)


@claim(
    "langevin.optimisers-are-the-formulas",
    title="The updates of SGLD, TULA, TUSLA and TheoPouLa are the papers' formulas",
    source=theopoula_paper("the algorithm; those of the other papers beside it"),
    statement=r"\theta \leftarrow \theta - \lambda H_\lambda(\theta) +"
    r" \sqrt{2\lambda/\beta}\,\xi",
    hypotheses=(
        "two parameters",
        r"regularisers of $r = 1$",
        "TULA: a gradient whose entries are not 0, of different sizes",
    ),
    grade="proved",
)
def formulas(ctx: Context) -> Iterator[Evidence]:
    """One traced update, with symbols for every number, gradient and normal.

    TULA's norm is divided by its largest entry when computed, so that its gradients are
    taken by sign and by which entry is the larger: eight cases.
    """
    for name in ("sgld", "tusla", "theopoula"):
        yield _formula(name)
    yield _tula(lambda g: sympy.sqrt(sum(g**2)))


def _tula(norm: Callable[[Any], Any]) -> Evidence:
    """θ - λ g/(1 + λ|g|) + √(2λ/β) ξ for g = (±(q + d), ±q) and (±q, ±(q + d))."""
    rate, _, beta, _ = SYMBOLS
    x, xi = (symbol_vector(letter, 2) for letter in ("x", "xi"))
    q, d = sympy.symbols("q d", positive=True)
    found, claimed = [], []
    for sizes in ((q + d, q), (q, q + d)):
        for signs in itertools.product((1, -1), repeat=2):
            g = np.array(sizes, dtype=object) * np.array(signs)
            found.append(exactly(UPDATES["tula"], SYMBOLS, x, g, xi))
            noise = sympy.sqrt(2 * rate / beta) * xi
            claimed.append(-rate * g / (1 + rate * norm(g)) + noise)
    return identical(np.concatenate(found), np.concatenate(claimed), "tula")


def _formula(name: str, outside: bool = True) -> Evidence:
    rate, eps, beta, eta = SYMBOLS
    x, g, xi = (symbol_vector(letter, 2) for letter in ("x", "g", "xi"))
    s, square = sympy.sqrt(rate), sum(x**2)
    penalty = eta * x * square
    tamed_penalty = penalty / (1 + s * square)

    def polygonal(g):
        size = np.array([sympy.Abs(a) for a in g], dtype=object)
        return g / (1 + s * size) * (1 + s / (eps + size))

    drift = {
        "sgld": g,
        "tusla": (g + penalty) / (1 + s * square),
        "theopoula": polygonal(g) + tamed_penalty
        if outside
        else polygonal(g + tamed_penalty),
    }[name]
    found = exactly(UPDATES[name], SYMBOLS, x, g, xi)
    claimed = -rate * drift + sympy.sqrt(2 * rate / beta) * xi
    return identical(found, claimed, name)


def _updates(make):
    """The update of an optimiser made from (λ, ε, β, η)."""

    def update(numbers, x, g, xi):
        optimizer = make(*numbers)
        return optimizer.update(g, optimizer.init(x), x, noise=xi)[0]

    return update


UPDATES = {
    "sgld": _updates(lambda rate, eps, beta, eta: sgld(rate, beta)),
    "tula": _updates(lambda rate, eps, beta, eta: tula(rate, beta)),
    "tusla": _updates(lambda rate, eps, beta, eta: tusla(rate, beta, eta, 1)),
    "theopoula": _updates(lambda *numbers: theopoula(*numbers, r=1)),
}


@formulas.control("TheoPouLa's regulariser inside taming and boosting")
def _(ctx: Context) -> Evidence:
    return _formula("theopoula", outside=False)


@formulas.control("TULA tamed by the largest entry instead of the norm")
def _(ctx: Context) -> Evidence:
    return _tula(lambda g: sympy.Max(*np.abs(g)))


# Noise in float32.


@claim(
    "langevin.noise-below-half-ulp",
    title="At λ = 0.1, β = 10¹⁴ float32 parameters feel little of the noise, or none",
    source=theopoula_paper("the default β of the authors' public code; shares derived"),
    statement=r"\sqrt{2\lambda/\beta} = 4.5\cdot10^{-8} < 2^{-24}:\quad P(\text{a step"
    r" at } g = 0 \text{ moves } \theta) = P\Bigl(|\xi| > \frac{2^{e-24}}"
    r"{\sqrt{2\lambda/\beta}}\Bigr),\quad 2^e < \theta < 2^{e+1}",
    hypotheses=(r"float32, round to nearest", r"$\theta$ away from a power of 2"),
    grade="measured",
    delta=1e-3,
    quick_delta=1e-2,
    unit="share of steps that move θ",
    parameters={"rate": 0.1, "beta": 1e14},
)
def lost_noise(ctx: Context) -> Iterator[Evidence]:
    """The optimiser's step at gradient 0 at equally likely normals, at θ = 1.5, 3, 6.

    With ξ at midpoints of N equal cells of probability a share is known to 1/N (twice:
    two ends), and to the rounding of ξ to float32.
    """
    for theta in (1.5, 3.0, 6.0):
        yield _moved(ctx, theta, jnp.float32)


def _moved(ctx: Context, theta: float, dtype: Any) -> Evidence:
    rate, beta = (float(ctx.parameters[n]) for n in ("rate", "beta"))
    deviation = np.sqrt(2 * rate / beta)
    half_ulp = 2.0 ** (np.floor(np.log2(theta)) - 24)
    claimed = 2 * float(stats.norm.sf(half_ulp / deviation))
    n = ctx.choose(2**16, 2**20)
    xi = stats.norm.ppf((np.arange(n) + 0.5) / n)
    x = jnp.full(n, theta, dtype)
    optimizer = theopoula(rate, 0.1, beta)
    zero = jnp.zeros_like(x)
    noise = jnp.asarray(xi, dtype)
    update = optimizer.update(zero, optimizer.init(x), x, noise=noise)[0]
    share = float(jnp.mean(optax.apply_updates(x, update) != x))
    found = Measurement(share, bias=2 / n + 1e-6 * claimed)
    scale = max(claimed, 0.01)  # a share of 1e-7 is 0 on this grid
    note = f"θ = {theta:g}: half a unit in the last place is {half_ulp:.2e}"
    return decide.equal(claimed, found, delta=ctx.delta, scale=scale, note=note)


@lost_noise.control("float64 parameters", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _moved(ctx, 1.5, jnp.float64)


@lost_noise.route("the inequality", grade="proved")
def _(ctx: Context) -> Evidence:
    """2λ/β = 2·10⁻¹⁵ < 2⁻⁴⁸, in rationals."""
    below = sympy.Rational(1, 2**48) - 2 * sympy.Rational(1, 10) / 10**14
    return identical(sympy.sign(below), 1, "2⁻⁴⁸ - 2λ/β > 0")
