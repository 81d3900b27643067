"""Gibbs laws are invariant, and what integration by parts says of laws and chains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize import (
    NormTaming,
    Polygonal,
    StateRootTaming,
    TamedEuler,
    Taming,
    TransitionKernel,
)
from flows.problems import taylor_polynomial, tilted_double_well
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from sde import (
    GibbsLaw,
    LangevinState,
    OverdampedLangevin,
    UnderdampedLangevin,
    gibbs_log_density,
    is_invariant_density,
)

ROBERTS_TWEEDIE = Source(
    title="Exponential convergence of Langevin distributions and their discrete "
    "approximations",
    authors="Gareth O. Roberts and Richard L. Tweedie",
    year=1996,
    location="Bernoulli 2(4), 341-363; the identities are derived here",
)
WELL = tilted_double_well(0.1)


# L*π = 0, for every smooth potential.


def _overdamped(ctx: Context, factor: Any = 1) -> Evidence:
    n = ctx.choose(1, 2)
    loss = symbols_like(taylor_polynomial(n, 2))
    model = symbols_like(OverdampedLangevin(loss, 1.0))
    y = symbol_vector("x", n)
    return _invariant(model, y, factor, f"overdamped, n = {n}")


def _underdamped(factor: Any = 1) -> Evidence:
    loss = symbols_like(taylor_polynomial(1, 2))
    model = symbols_like(UnderdampedLangevin(loss, 1.0, 1.0, 2.0))
    y = LangevinState(symbol_vector("x", 1), symbol_vector("v", 1))
    return _invariant(model, y, factor, "underdamped, with mass")


def _invariant(model: Any, y: Any, factor: Any, name: str) -> Evidence:
    def log_density(dynamics, y):
        return factor * gibbs_log_density(dynamics, y)

    found = is_invariant_density(model, log_density, y)
    return decide.identity(found, name="L* exp(-H/T) = 0", quantity=name)


@claim(
    "langevin.gibbs-invariant",
    title="The Gibbs law is invariant under both Langevin dynamics",
    source=ROBERTS_TWEEDIE,
    statement=r"L^*e^{-f/T} = 0\ \text{(overdamped)},\qquad L^*e^{-(f(x) + "
    r"v\cdot Mv/2)/T} = 0\ \text{(underdamped)}",
    hypotheses=(r"$f$ twice differentiable", r"$T, \gamma, M > 0$"),
    grade="proved",
)
def gibbs_invariant(ctx: Context) -> Iterator[Evidence]:
    """The density traced through the adjoint; coefficients of f, T, γ, M are symbols.

    L* meets f by its first two derivatives at a point, so a polynomial of degree two
    with free coefficients is any smooth potential there.
    """
    yield _overdamped(ctx)
    yield _underdamped()


@gibbs_invariant.control("a temperature wrong by 1/1024")
def _(ctx: Context) -> Evidence:
    return _overdamped(ctx, 1 + 1 / 1024)


@gibbs_invariant.control("a temperature wrong by 1/1024, underdamped")
def _(ctx: Context) -> Evidence:
    del ctx
    return _underdamped(1 + 1 / 1024)


# E_π⟨x, ∇f⟩ = nT.


def _virial(ctx: Context, claimed: float) -> Evidence:
    temperature = float(ctx.parameters["temperature"])
    slope = np.polynomial.Polynomial([0.1, -1.0, 0.0, 1.0])  # f'
    values = [
        GibbsLaw(WELL, temperature, tolerance=t).expect(lambda x: x * slope(x))
        for t in (1e-6, 1e-9, 1e-12)
    ]
    return decide.equal(
        claimed * temperature,
        decide.ladder(values, condition=1e3),
        delta=ctx.delta,
        quantity="E x f'(x)",
    )


@claim(
    "langevin.stationary-identity",
    title="In equilibrium the mean of ⟨x, ∇f⟩ is n temperatures",
    source=ROBERTS_TWEEDIE,
    statement=r"E_\pi\langle x, \nabla f(x)\rangle = nT",
    hypotheses=(r"$\pi \propto e^{-f/T}$ decays at infinity",),
    grade="proved",
    delta=1e-6,
    quick_delta=1e-6,
    parameters={"temperature": 0.3},
)
def stationary_identity(ctx: Context) -> Iterator[Evidence]:
    """L|x|²/2 = nT - ⟨x, ∇f⟩ by the traced generator, n = 2; then the quadrature."""
    yield _generator(1)
    yield _virial(ctx, 1.0)


def _generator(factor: Any) -> Evidence:
    model = symbols_like(OverdampedLangevin(symbols_like(taylor_polynomial(2, 3)), 1.0))
    x = symbol_vector("x", 2)

    def image(model, x):
        return model.generator(lambda t, y: jnp.sum(y**2) / 2)(0.0, x)

    def inner(model, x):
        return jnp.sum(x * model.objective.gradient(x))

    left = exactly(image, model, x)
    right = factor * 2 * model.temperature - exactly(inner, model, x)
    return identical(left, right, "L|x|²/2 = nT - ⟨x,∇f⟩")


@stationary_identity.control("a temperature too much by 1/1000")
def _(ctx: Context) -> Evidence:
    del ctx
    import sympy

    return _generator(1 + sympy.Rational(1, 1000))


@stationary_identity.control("half a temperature, as of the kinetic energy")
def _(ctx: Context) -> Evidence:
    return _virial(ctx, 0.5)


# The same for chains: the step adds its own term.


TAMINGS: dict[str, Taming] = {
    "TULA": NormTaming(),
    "mTULA": StateRootTaming(2.0),
    "TheoPouLa": Polygonal(0.1),
}


def _chain(ctx: Context, name: str, square: float) -> Evidence:
    """2 E θH - square · h E H² over 2T, in the kernel's stationary law."""
    h, temperature = 0.1, 0.5
    process = OverdampedLangevin(WELL, temperature)
    scheme = TamedEuler(TAMINGS[name])
    half = ctx.choose(7.0, 8.0)
    kernel = TransitionKernel(scheme, process, h, box=(-half, half), resolution=4)

    def ratio(kernel):
        law = kernel.stationary()
        drift = (law.nodes - kernel.mean) / h  # H, the tamed gradient
        mean = kernel.weights @ (law.density * (2 * law.nodes * drift))
        second = kernel.weights @ (law.density * drift**2)
        return (mean - square * h * second) / (2 * temperature)

    law = kernel.stationary()
    return decide.equal(
        1.0,
        decide.ladder(kernel.ladder(ratio), condition=1e5, bias=1e3 * law.leak),
        delta=ctx.delta,
        quantity=name,
        note=f"mass {law.leak:.1g} a step leaves the box",
    )


@claim(
    "langevin.chain-identity",
    title="In equilibrium a chain's second moment is balanced to the last digit",
    source=ROBERTS_TWEEDIE,
    statement=r"2E\langle\theta, H\rangle = h E|H|^2 + 2nT,\qquad \theta^+ = \theta -"
    r" hH(\theta) + \sqrt{2hT}\,\xi",
    hypotheses=(r"the chain is stationary, with second moments",),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-6,
)
def chain_identity(ctx: Context) -> Iterator[Evidence]:
    """In the stationary laws of tamed chains on a tilted well, h = 0.1, T = 1/2."""
    for name in ctx.choose(["TULA"], list(TAMINGS)):
        yield _chain(ctx, name, 1.0)


@chain_identity.control("the diffusion's identity, without h E|H|²")
def _(ctx: Context) -> Evidence:
    return _chain(ctx, "TULA", 0.0)


@chain_identity.route("one traced step", grade="proved")
def _(ctx: Context) -> Iterator[Evidence]:
    """The traced step is θ - hH + √(2hT) ξ; so E|θ⁺|² - |θ|² = -2hθH + h²H² + 2hT."""
    import sympy

    del ctx
    h = sympy.Symbol("h", positive=True)
    x, xi = symbol_vector("x", 1), symbol_vector("xi", 1)
    size = sympy.Symbol("H", real=True)
    model = symbols_like(OverdampedLangevin(WELL, 1.0))
    gained = 2 * h * model.temperature
    for name, taming in TAMINGS.items():
        scheme = TamedEuler(taming)

        def step(model, x, h, xi, scheme=scheme):
            return scheme.step(model, 0.0, x, h, xi, None).y

        def tamed(model, x, h, taming=taming):
            return -taming(h, x, model.drift_parts(0.0, x))

        (new,), (drift,) = exactly(step, model, x, h, xi), exactly(tamed, model, x, h)
        second = (x[0] - h * size) ** 2 + gained
        left = [new.subs(xi[0], 0), new.diff(xi[0]) ** 2, second - x[0] ** 2]
        balance = -2 * h * x[0] * size + h**2 * size**2 + gained
        right = [x[0] - h * drift, gained, balance]
        yield identical(
            np.array(left), np.array(right), "E|θ⁺|² - |θ|²", quantity=f"step of {name}"
        )
