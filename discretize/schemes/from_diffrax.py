"""Stochastic solvers of diffrax as schemes, on noise that is drawn by counters."""

from __future__ import annotations

import dataclasses
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows import BadInput, Draw, Scheme, Step
from sde import LangevinState, OrnsteinUhlenbeck, OverdampedLangevin
from sde._checks import is_concrete
from sde.kinetic import UnderdampedLangevin

# Variances of W, H and K over a step of length 1; the three are independent.
_VARIANCES = (1.0, 1 / 12, 1 / 720)


class FromDiffrax(Scheme):
    r"""One step of a stochastic Runge-Kutta solver of diffrax, at a constant step.

    Kinetic solvers (ALIGN, ShOULD, QUICSORT) step `UnderdampedLangevin`; solvers for
    additive noise (ShARK, SRA1, SEA) step `OverdampedLangevin` and
    `OrnsteinUhlenbeck`. The step draws two or three normals a coordinate,

        W = √h ξ₀,   H = √(h/12) ξ₁,   K = √(h/720) ξ₂,

    the Brownian increment, its space-time and its space-time-time Lévy area.

    Temperature. diffrax solves dv = -γ v dt - u ∇F(x) dt + √(2γu) dw, whose stationary
    law is ∝ exp(-F(x) - |v|²/(2u)). Here u = T/M and F = f/T are passed, so that the
    law is that of the model, ∝ exp(-(f + v·Mv/2)/T).

    `diffrax.diffeqsolve` on the same W, H, K does the same, but solvers whose first
    gradient is the last one of the step before compute it anew here.

    Reference: Foster, Lyons and Oberhauser, "The shifted ODE method for underdamped
    Langevin MCMC", 2021, arXiv 2101.03446 (ALIGN, ShOULD, QUICSORT); Foster, dos Reis
    and Strange, 2023, arXiv 2210.17543 (ShARK). Kidger, "On Neural Differential
    Equations", 2021 (diffrax).

    Attributes:
        solver: e.g. `diffrax.QUICSORT(0.01)`, `diffrax.ShARK()`. The kinetic solvers'
            `taylor_threshold` 0.01 suits float64, their default 0.1 float32.

    Raises:
        BadInput: a solver of another kind.
    """

    solver: Any = eqx.field(converter=lambda s: _unrolled(s))

    def __check_init__(self):
        kinds = diffrax.AbstractSRK, diffrax.AbstractFosterLangevinSRK
        if not isinstance(self.solver, kinds):
            raise BadInput(
                "FromDiffrax takes a stochastic Runge-Kutta solver, as "
                f"diffrax.QUICSORT(0.01) or diffrax.ShARK(); got {self.solver!r}."
            )

    @property
    def order(self) -> float:
        """Strong order of the solver, as diffrax states it."""
        return float(self.solver.strong_order(None))

    @property
    def areas(self) -> int:
        """Normals a coordinate: 1 (W), 2 (W, H) or 3 (W, H, K)."""
        least = self.solver.minimal_levy_area
        if issubclass(least, diffrax.AbstractSpaceTimeTimeLevyArea):
            return 3
        return 2 if issubclass(least, diffrax.AbstractSpaceTimeLevyArea) else 1

    def noise_like(self, dynamics: Any, y: Any) -> Any:
        """Standard normals, shape [areas, n].

        Raises:
            BadInput: a model that the solver does not step, or a temperature of 0 for
                a kinetic solver (F = f/T).
        """
        self._require(dynamics)
        return Draw("normal", (self.areas, dynamics.brownian(y)))

    def step(
        self, dynamics: Any, t: Any, y: Any, h: Any, noise: Any, carry: Any
    ) -> Step:
        """One step of size h."""
        del t  # the models are autonomous, and from 0 the step is h without rounding
        self._require(dynamics)
        path = _OneStep(levy_areas(noise, h))
        kinetic = isinstance(dynamics, UnderdampedLangevin)
        terms = (_kinetic_terms if kinetic else _additive_terms)(dynamics, path)
        state = tuple(y) if kinetic else y
        start, end = path.t0, path.t1
        # diffrax mixes ranks and types of its own constants
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            memory = self.solver.init(terms, start, end, state, None)
            new, *_ = self.solver.step(terms, start, end, state, None, memory, False)
        return Step(LangevinState(*new) if kinetic else new, carry)

    def _require(self, dynamics: Any) -> None:
        name, model = type(self.solver).__name__, type(dynamics).__name__
        if isinstance(self.solver, diffrax.AbstractFosterLangevinSRK):
            if not isinstance(dynamics, UnderdampedLangevin):
                raise BadInput(f"{name} steps UnderdampedLangevin; got {model}.")
            if is_concrete(dynamics.temperature) and dynamics.temperature == 0:
                raise BadInput(f"{name} needs a positive temperature: F = f/T.")
        elif not isinstance(dynamics, OverdampedLangevin | OrnsteinUhlenbeck):
            raise BadInput(
                f"{name} steps OverdampedLangevin and OrnsteinUhlenbeck, whose noise "
                f"is additive; got {model}."
            )


def _unrolled(solver: Any) -> Any:
    """The same solver with its stages in a plain loop, which vectorises."""
    if isinstance(solver, diffrax.AbstractSRK) and solver.scan_kind is None:
        return dataclasses.replace(solver, scan_kind="lax")
    return solver


def levy_areas(noise: Float[Array, "areas n"], h: Any) -> Any:
    """The increment W, and the areas H and K, of a step from its standard normals.

    Args:
        noise: 1 to 3 rows of n normals.
        h: step size (time).

    Returns:
        diffrax's `BrownianIncrement`, `SpaceTimeLevyArea` or `SpaceTimeTimeLevyArea`.
    """
    h = jnp.asarray(h, noise.dtype)
    rows = [jnp.sqrt(h * v) * xi for v, xi in zip(_VARIANCES, noise, strict=False)]
    kinds = (
        diffrax.BrownianIncrement,
        diffrax.SpaceTimeLevyArea,
        diffrax.SpaceTimeTimeLevyArea,
    )
    return kinds[len(rows) - 1](h, *rows)


def coarser(
    noise: Float[Array, "steps areas n"], factor: int
) -> Float[Array, "coarse areas n"]:
    r"""The normals of steps `factor` times as long, on the same Brownian path.

    Args:
        noise: normals of `FromDiffrax`, a whole number of coarse steps.
        factor: how many steps make a coarse one.

    Returns:
        The normals of the coarse steps, again independent and standard.

    Raises:
        BadInput: a number of steps that is not a multiple of the factor.
    """
    steps, areas, n = noise.shape
    if factor < 1 or steps % factor:
        raise BadInput(f"{steps} steps do not make coarse ones of {factor}.")
    rows = jnp.asarray(_merging(factor, areas), noise.dtype)
    fine = noise.reshape(steps // factor, factor, areas, n)
    return jnp.einsum("afb,sfbn->san", rows, fine)


def _merging(factor: int, areas: int) -> np.ndarray:
    """The normals of a long step from those of short ones, [areas, factor, areas].

    With u the time since the (long) step began, the areas of a step say the integrals
    I = ∫ W du = h(H + W/2) and J = ∫ u W du = hI/2 + h²W/12 - h²K; these add up over
    the short steps, whose length is 1 here, and give the areas of their union back.
    """
    scale = np.sqrt(_VARIANCES)
    basis = np.eye(factor * 3).reshape(factor, 3, factor, 3)
    w, a, b = np.moveaxis(basis, 1, 0) * scale[:, None, None, None]
    began = np.arange(factor)[:, None, None]
    before = np.cumsum(w, axis=0) - w
    i = a + w / 2
    j = i / 2 + w / 12 - b + began * i + (began + 0.5) * before
    w, i, j = w.sum(axis=0), (i + before).sum(axis=0), j.sum(axis=0)
    m = factor
    merged = np.stack([w, i / m - w / 2, i / (2 * m) - j / m**2 + w / 12])
    rows = merged / (scale * np.sqrt(m))[:, None, None]
    return rows[:areas, :, :areas]


class _OneStep(diffrax.AbstractBrownianPath):
    """A Brownian path that is known over one step only."""

    area: Any
    t0: Any
    t1: Any
    levy_area: Any = eqx.field(static=True)

    def __init__(self, area):
        self.area, self.levy_area = area, type(area)
        self.t0, self.t1 = jnp.zeros_like(area.dt), area.dt

    def evaluate(self, t0, t1=None, left=True, use_levy=False):
        del t0, t1, left
        return self.area if use_levy else self.area.W


class _AdditiveNoise(diffrax.AbstractTerm):
    """σ dW with one number σ a coordinate."""

    spread: Any
    path: diffrax.AbstractBrownianPath

    def vf(self, t, y, args):
        del t, y, args
        return self.spread

    def contr(self, t0, t1, **kwargs):
        return self.path.evaluate(t0, t1, **kwargs)

    def prod(self, vf, control):
        return vf * control


def _kinetic_terms(dynamics: UnderdampedLangevin, path: Any) -> Any:
    gamma, u = dynamics.friction, dynamics.temperature / dynamics.mass

    def scaled_gradient(x, args):
        del args
        return dynamics.objective.gradient(x) / dynamics.temperature

    return diffrax.MultiTerm(
        diffrax.UnderdampedLangevinDriftTerm(gamma, u, scaled_gradient),
        diffrax.UnderdampedLangevinDiffusionTerm(gamma, u, path),
    )


def _additive_terms(dynamics: Any, path: Any) -> Any:
    ones = jnp.ones_like(path.area.W)
    spread = dynamics.noise(0.0, ones, ones)  # diagonal, and the same everywhere

    def drift(t, y, args):
        del args
        return dynamics.vector_field(t, y)

    return diffrax.MultiTerm(diffrax.ODETerm(drift), _AdditiveNoise(spread, path))
