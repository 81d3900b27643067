"""The kinetic Langevin solvers of diffrax: their temperature, their strong orders."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from discretize import FromDiffrax, stationary_covariance
from discretize.schemes.from_diffrax import coarser
from flows import from_sympy
from flows.problems import double_well, quadratic
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide, sampling
from proofs_check.claim import Claim, Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.streams import Effort
from sde import Diffusion, LangevinState, UnderdampedLangevin

FOSTER = Source(
    title="The shifted ODE method for underdamped Langevin MCMC",
    authors="James Foster, Terry Lyons and Harald Oberhauser",
    year=2021,
    arxiv="2101.03446",
    location="the equation, as diffrax solves it, and the orders that it states",
)


class ConventionOfDiffrax(Diffusion):
    """dx = v dt, dv = -γ v dt - u ∇F(x) dt + √(2γu) dB."""

    objective: Any
    friction: Array = eqx.field(metadata={"positive": True})
    u: Array = eqx.field(metadata={"positive": True})

    def vector_field(self, t, y):
        """(v, -γ v - u ∇F)."""
        slope = self.objective.gradient(y.position)
        return LangevinState(y.velocity, -self.friction * y.velocity - self.u * slope)

    def brownian(self, y):
        """One a coordinate of the velocity."""
        return y.velocity.shape[0]

    def noise(self, t, y, dw):
        """(0, √(2γu) dB)."""
        kick = jnp.sqrt(2 * self.friction * self.u) * dw
        return LangevinState(jnp.zeros_like(y.position), kick)


def _well() -> Any:
    import sympy as sp

    x, a, b = sp.symbols("x a b", real=True)
    return from_sympy(a * x**4 / 4 + b * x**2 / 2, [x], {a: 1.0, b: -1.0})


# The temperature.


@claim(
    "langevin.diffrax-temperature",
    title="diffrax's kinetic solvers sample at temperature T where u = T/M, F = f/T",
    source=FOSTER,
    statement=r"dv = -\gamma v\,dt - u\nabla F\,dt + \sqrt{2\gamma u}\,dB:\quad"
    r" \pi \propto e^{-F - |v|^2/(2u)} = e^{-(f + v\cdot Mv/2)/T}",
    hypotheses=(
        r"$u = T/M$, $F = f/T$",
        "proved of the equation that diffrax documents, written out here; of its "
        "solvers what is measured is E x² on a quadratic, as h -> 0",
    ),
    grade="proved",
    unit="T/k",
    delta=1e-5,
    quick_delta=1e-4,
)
def diffrax_temperature(ctx: Context) -> Iterator[Evidence]:
    """L*π = 0 for F = a x⁴/4 + b x²/2, and u ∇F = M⁻¹∇f; all parameters symbols.

    Both concern `ConventionOfDiffrax`, a copy of diffrax's equation. That its solvers
    solve this one is measured: the variance of QUICSORT's chain at T = 1/4.
    """
    yield _fokker_planck(1)
    yield _same_field()
    if not ctx.full:  # a quick run leaves the routes out, and this one is cheap
        yield lyapunov_equation(ctx)


def _fokker_planck(power: int) -> Evidence:
    one = jnp.ones(())
    model = symbols_like(ConventionOfDiffrax(_well(), one, one))

    def flux(model, y):
        def density(t, y):
            wide = 2 * model.u**power
            energy = model.objective.value(y.position) + jnp.sum(y.velocity**2) / wide
            return jnp.exp(-energy)

        return model.adjoint(density)(0.0, y) / density(0.0, y)

    state = LangevinState(symbol_vector("x", 1), symbol_vector("v", 1))
    return identical(exactly(flux, model, state), 0, "L* exp(-F - v²/2u) = 0")


def _same_field() -> Evidence:
    """With u = T/M and F = f/T the field of diffrax is the model's."""
    model = symbols_like(UnderdampedLangevin(_well()))
    state = LangevinState(symbol_vector("x", 1), symbol_vector("v", 1))

    def fields(model, y):
        u = model.temperature / model.mass
        theirs = ConventionOfDiffrax(_Scaled(model), model.friction, u)
        one = jnp.ones(1)
        return [
            (m.vector_field(0.0, y).velocity, m.noise(0.0, y, one).velocity)
            for m in (theirs, model)
        ]

    theirs, ours = exactly(fields, model, state)
    return identical(theirs, ours, "u∇F = ∇f/M")


class _Scaled(eqx.Module):
    """F = f/T of a model."""

    model: UnderdampedLangevin

    def gradient(self, x):
        return self.model.objective.gradient(x) / self.model.temperature


@diffrax_temperature.control("exp(-F - v²/2u²) instead")
def _(ctx: Context) -> Evidence:
    return _fokker_planck(2)


@diffrax_temperature.route("Lyapunov equation", grade="measured")
def lyapunov_equation(ctx: Context) -> Evidence:
    """E x² of QUICSORT's chain on k x²/2 at T = 1/4, as h -> 0."""
    return _variance(ctx, 0.25)


@diffrax_temperature.control("u = 1, F = f: the temperature forgotten", expected=4.0)
def _(ctx: Context) -> Evidence:
    return _variance(ctx, 1.0)


def _variance(ctx: Context, passed: float) -> Evidence:
    """E x² k/T with T = 1/4 meant and `passed` handed to the solver."""
    k, meant = 1.5, 0.25
    model = UnderdampedLangevin(quadratic([k]), 2.0, passed)
    scheme = FromDiffrax(diffrax.QUICSORT(0.01))
    laws = [stationary_covariance(scheme, model, h) for h in (0.04, 0.02, 0.01)]
    values = [float(law.covariance[0, 0]) * k / meant for law in laws]
    found = decide.ladder(values, condition=laws[-1].condition)
    return decide.equal(1.0, found, delta=ctx.delta, quantity="E x² over T/k")


# Strong orders.

TIME, FINE = 2.0, 512
LEVELS = (8, 16, 32, 64, 128)
"""Numbers of steps in the time TIME; the reference takes FINE."""
START = LangevinState(jnp.array([0.5]), jnp.array([0.0]))


def _model() -> UnderdampedLangevin:
    return UnderdampedLangevin(double_well(), 1.0, 0.25)


@functools.cache
def _runner(kind: Callable[[float], Any]) -> Callable[..., Any]:
    """(noise [paths, steps, areas, n], steps) -> final states, shape [paths, 2]."""
    scheme = FromDiffrax(kind(0.01))

    @jax.jit
    def run(noise, steps):
        model, h = _model(), TIME / steps

        def path(noise):
            def step(k, y):
                return scheme.step(model, 0.0, y, h, noise[k], None).y

            # steps is data: one compilation for every level
            return jnp.concatenate(jax.lax.fori_loop(0, steps, step, START))

        return jax.vmap(path)(noise[:, :, : scheme.areas])

    return run


@jax.jit
def _merged(noise):
    """The normals of every level, on the same paths."""
    return [jax.vmap(lambda p, f=FINE // n: coarser(p, f))(noise) for n in LEVELS]


def _errors(kind: Any, anew: bool) -> Callable[[int, int], np.ndarray]:
    """(seed, n) -> |y_h(T) - y_fine(T)| of n paths at every level."""
    run, fine = _runner(kind), _runner(diffrax.QUICSORT)

    def sample(seed: int, n: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((n, FINE, 3, 1))
        reference = np.asarray(fine(jnp.asarray(noise), FINE))
        errors = []
        for steps, merged in zip(LEVELS, _merged(jnp.asarray(noise)), strict=True):
            padded = np.zeros_like(noise)
            padded[:, :steps] = merged
            if anew:
                padded[:, :, 1:] = rng.standard_normal(padded[:, :, 1:].shape)
            found = np.asarray(run(jnp.asarray(padded), steps))
            errors.append(np.linalg.norm(found - reference, axis=1))
        return np.stack(errors, axis=1)

    return sample


def _strong(ctx: Context, kind: Any, order: int, anew: bool = False) -> Evidence:
    return sampling.sample_strong_order(
        order,
        TIME / np.array(LEVELS),
        _errors(kind, anew),
        stream=ctx.stream,
        seed=ctx.seed,
        alpha=ctx.alpha,
        effort=Effort(chunk=ctx.choose(100, 1000)),
    )


def _order_claim(kind: Any, order: int) -> Claim:
    """The claim that a solver has a strong order on the double well."""
    name = kind.__name__

    @claim(
        f"langevin.{name.lower()}-strong-order",
        title=f"{name} has strong order {order} on the kinetic double well",
        source=FOSTER,
        statement=rf"\bigl(E|y_h(2) - y(2)|^2\bigr)^{{1/2}} = O(h^{order})",
        hypotheses=(r"$f = (x^2 - 1)^2/4,\ \gamma = 1,\ T = 1/4$, time 2",),
        grade="estimated",
    )
    def check(ctx: Context) -> Evidence:
        """Shared Brownian paths with their areas; QUICSORT at 512 steps as truth."""
        return _strong(ctx, kind, order)

    @check.control("Lévy areas drawn anew at every level")
    def _(ctx: Context) -> Evidence:
        return _strong(ctx, kind, order, anew=True)

    return check


align_order = _order_claim(diffrax.ALIGN, 2)
should_order = _order_claim(diffrax.ShOULD, 3)
quicsort_order = _order_claim(diffrax.QUICSORT, 3)
