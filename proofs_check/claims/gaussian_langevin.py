"""Langevin dynamics on a quadratic: stationary laws and their exact numerical bias."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from discretize import (
    BAOAB,
    OBABO,
    Euler,
    Splitting,
    local_defect,
    splitting_defect,
    stationary_covariance,
)
from flows.problems import quadratic
from flows.symbolic import (
    equal_symbolically,
    exactly,
    symbol_vector,
    symbols_like,
)
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Equal, Evidence
from proofs_check.identities import identical
from proofs_check.kinetic import invariance, second_moment
from sde import (
    LangevinState,
    OrnsteinUhlenbeck,
    UnderdampedLangevin,
    gaussian_law,
    is_stationary,
    simulate,
)

ORNSTEIN = Source(
    title="On the theory of the Brownian motion",
    authors="George E. Uhlenbeck and Leonard S. Ornstein",
    year=1930,
    location="Physical Review 36, 823-841",
)
LEIMKUHLER = Source(
    title="Rational construction of stochastic numerical methods for molecular "
    "sampling",
    authors="Benedict Leimkuhler and Charles Matthews",
    year=2013,
    location="Applied Mathematics Research eXpress 2013(1), 34-56; the variances are "
    "derived here",
)
BROSSE = Source(
    title="The tamed unadjusted Langevin algorithm",
    authors="Nicolas Brosse, Alain Durmus, Éric Moulines and Sotirios Sabanis",
    year=2019,
    arxiv="1710.05559",
    location="the unadjusted algorithm; the Gaussian variance is elementary",
)


def _ornstein() -> OrnsteinUhlenbeck:
    """The process in one dimension, with symbols for θ, m and D."""
    return symbols_like(OrnsteinUhlenbeck(1.0, jnp.zeros(1), 1.0))


# The Ornstein-Uhlenbeck process.


@claim(
    "spine.ou-stationary",
    title="The Ornstein-Uhlenbeck process has the stationary law N(m, D/θ)",
    source=ORNSTEIN,
    statement=r"dX = -\theta(X-m)\,dt + \sqrt{2D}\,dB\ \Rightarrow\ "
    r"\int L\varphi\,d\pi = 0,\quad \pi = N(m, D/\theta)",
    hypotheses=(r"$\theta > 0$", r"$D > 0$"),
    grade="proved",
)
def ou_stationary(ctx: Context) -> Evidence:
    """∫ L φ dπ = 0 for monomials φ of degree up to 6; θ, m, D are symbols."""
    return _stationary(ctx, 1)


def _stationary(ctx: Context, factor) -> Evidence:
    model = _ornstein()
    variance = np.array([[factor * model.diffusion / model.rate]], dtype=object)
    law = gaussian_law(model.mean, variance)
    found = is_stationary(model, law, ctx.choose(4, 6), y=np.zeros(1))
    return decide.identity(found, name="∫ L φ dπ = 0")


@ou_stationary.control("variance times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    import sympy

    return _stationary(ctx, 1 + sympy.Rational(1, 1000))


@ou_stationary.route("Fokker-Planck", grade="proved")
def _(ctx: Context) -> Evidence:
    """L*π = 0, the density itself traced through the adjoint."""

    def flux(model, y):
        def density(t, y):
            square = jnp.sum((y - model.mean) ** 2)
            return jnp.exp(-model.rate * square / (2 * model.diffusion))

        return model.adjoint(density)(0.0, y)

    return identical(
        exactly(flux, _ornstein(), symbol_vector("x", 1)), 0, "L* exp(-θ(x-m)²/2D) = 0"
    )


# The unadjusted Langevin algorithm on a Gaussian.


@claim(
    "spine.ula-bias",
    title="The unadjusted Langevin algorithm is too wide by 1/(1 - hθ/2)",
    source=BROSSE,
    statement=r"\mathrm{Var}\,X^h_\infty = \frac{D/\theta}{1 - h\theta/2},\quad"
    r" X^h_{k+1} = X^h_k - h\theta X^h_k + \sqrt{2Dh}\,\xi_k",
    hypotheses=(("$h\\theta < 2$", lambda p: p["h"] < 2),),
    relation=Equal(4 / 3),
    grade="estimated",
    delta=0.02,
    quick_delta=0.05,
    unit="D/θ",
    parameters={"h": 0.5},
)
def ula_bias(ctx: Context) -> Evidence:
    """Independent chains after 100 steps from 0, where (1 - hθ)^200 is rounding.

    A sample is X², with four moments since X is Gaussian.
    """
    return _ula(ctx, Euler())


def _ula(ctx: Context, scheme) -> Evidence:
    h = float(ctx.parameters["h"])
    claimed = Equal(1 / (1 - h / 2))
    model = OrnsteinUhlenbeck(1.0, jnp.zeros(1), 1.0)

    def squares(seed: int, n: int, steps: int = 100):
        run = simulate(
            model, jnp.zeros(1), t1=steps * h, scheme=scheme, h=h, key=seed, paths=n
        )
        return np.asarray(run.final)[:, 0] ** 2

    # A chain without a stationary law has no mean to estimate: its square grows on.
    early, late = (squares(0, 400, steps).mean() for steps in (50, 100))
    if late > 10 * early:
        return ctx.diverged(claimed)
    return ctx.mean(squares, claimed)


@ula_bias.control("the exact step instead of Euler's", expected=1.0)
def _(ctx: Context) -> Evidence:
    return _ula(ctx, Splitting("O"))


@ula_bias.route("invariance", grade="proved")
def _(ctx: Context) -> Evidence:
    """The step traced: N(0, v) is mapped to itself, h, θ and D being symbols."""
    import sympy

    model, h = _ornstein(), sympy.Symbol("h", positive=True)
    model = eqx.tree_at(lambda m: m.mean, model, jnp.zeros(1))
    x, xi = symbol_vector("x", 1), symbol_vector("xi", 1)

    def step(model, x, h, xi):
        return Euler().step(model, 0.0, x, h, xi, None).y

    (new,) = exactly(step, model, x, h, xi)
    v = model.diffusion / model.rate / (1 - h * model.rate / 2)
    second = second_moment(new, new, {x[0]: v, xi[0]: 1})
    return identical(second, v, "E X₁² = E X₀² = v")


# BAOAB.


@claim(
    "spine.baoab-variance",
    title="BAOAB has the exact position variance on a quadratic",
    source=LEIMKUHLER,
    statement=r"\mathrm{Var}\,x = \frac{T}{k},\qquad"
    r" \mathrm{Var}\,v = \frac TM\Bigl(1 - \frac{h^2k}{4M}\Bigr),\qquad"
    r" \mathrm{Cov}(x, v) = 0",
    hypotheses=(r"$h < 2\sqrt{M/k}$", r"any friction $\gamma > 0$"),
    grade="proved",
    delta=1e-9,
)
def baoab_variance(ctx: Context) -> Evidence:
    """One traced step maps the claimed Gaussian to itself; k, γ, T, M, h: symbols."""
    return _invariant(BAOAB)


def _invariant(word: Splitting, factor: Any = 1) -> Evidence:
    found = invariance(word, BAOAB, factor)
    return decide.identity(found, name=f"{word}: Σ ↦ Σ")


@baoab_variance.control("OBABO instead of BAOAB")
def _(ctx: Context) -> Evidence:
    return _invariant(OBABO)


@baoab_variance.control("variances times 1 + 1/1000 after the step")
def _(ctx: Context) -> Evidence:
    import sympy

    return _invariant(BAOAB, 1 + sympy.Rational(1, 1000))


@baoab_variance.route("Lyapunov equation", grade="measured")
def _(ctx: Context) -> Evidence:
    """The stationary covariance of the linear chain, k = 1.5, γ = 2, h = 1."""
    k, temperature = 1.5, 0.7
    model = UnderdampedLangevin(quadratic([k]), 2.0, temperature)
    law = stationary_covariance(BAOAB, model, 1.0)
    ratio = float(law.block("position", "position")[0, 0]) * k / temperature
    return decide.equal(
        1.0,
        decide.ladder([ratio] * 3, condition=law.condition),
        delta=ctx.delta,
        quantity="position variance over T/k",
    )


# Local defects, by two routes.


@claim(
    "spine.splitting-defect",
    title="The local defect of a splitting, by its maps and by its generators",
    source=LEIMKUHLER,
    statement=r"E\,\varphi(\Phi_h(y)) = e^{\frac h2 L_B}e^{\frac h2 L_A}e^{hL_O}"
    r"e^{\frac h2 L_A}e^{\frac h2 L_B}\varphi,\quad \text{defect } O(h^3)",
    hypotheses=(r"$\varphi$ polynomial", r"quadratic potential"),
    grade="proved",
)
def splitting_defects(ctx: Context) -> Evidence:
    """BAOAB's traced step, expanded, against products of the parts' generators."""
    return _defects(BAOAB, BAOAB)


def _defects(by_maps: Splitting, by_generators: Splitting) -> Evidence:
    model = UnderdampedLangevin(quadratic([1.5]), 2.0, 0.5)
    y = LangevinState(symbol_vector("x", 1), symbol_vector("v", 1))

    def phi(t, y):
        return (y.position * y.velocity + y.position**2)[0]

    series = local_defect(by_maps, model, phi, y, 3)
    products = {
        Fraction(k): c
        for k, c in splitting_defect(by_generators, model, phi, y, 3).items()
    }
    orders = sorted({*series, *products})
    left = np.array([series.get(o, 0) for o in orders] or [0], dtype=object)
    right = np.array([products.get(o, 0) for o in orders] or [0], dtype=object)
    found = equal_symbolically(left, right)
    lowest = min(map(float, orders)) if orders else 4.0
    note = f"first defect at h^{lowest:g}"
    return decide.identity(found, name="maps = generators", note=note)


@splitting_defects.control("the generators of Lie's word, the maps of BAOAB")
def _(ctx: Context) -> Evidence:
    return _defects(BAOAB, Splitting("B, A, O"))
