"""Adaptive solvers and switches: declared they are met, undeclared they are missed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flows import quadratic_sum
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.decide import Measurement
from proofs_check.evidence import Evidence
from sde import (
    IndexPath,
    StochasticGradientMomentumProcess,
    Switching,
    SwitchingMomentumState,
    UniformIndex,
    solve_switching,
)

HAIRER = Source(
    title="Solving Ordinary Differential Equations I: Nonstiff Problems",
    authors="Ernst Hairer, Syvert P. Nørsett and Gerhard Wanner",
    year=1993,
    location="2nd edition, II.6, discontinuous equations; the process measured here",
)

CENTRES = np.array([-1.0, 0.0, 1.5, 2.5])
KAPPA, MASS, FRICTION, RATE, T = 1.3, 0.7, 0.9, 2.0, 10.0
TOLERANCE = 1e-8


class _ByTime(Switching):
    """The process with its label read off a path by the time: no solver is told."""

    process: StochasticGradientMomentumProcess
    path: IndexPath

    @property
    def objective(self) -> Any:  # pyright: ignore
        return self.process.objective

    @property
    def index(self) -> Any:  # pyright: ignore
        return self.process.index

    @property
    def batches(self) -> Any:  # pyright: ignore
        return None

    def vector_field(self, t, y):
        return self.process.vector_field(t, y._replace(label=self.path.at(t)))


@eqx.filter_jit
def _solved(paths: IndexPath, declared: Any, process: Any) -> Any:
    """Final x and v, shape [paths, 2], and steps; the rings that a solve is told."""
    start = SwitchingMomentumState(jnp.full((1,), 2.0), jnp.zeros(1), jnp.asarray(0))

    hidden: Any = _ByTime

    def one(path, rings):
        told = path._replace(times=rings)
        out = solve_switching(
            hidden(process, path), told, start, t1=T, rtol=TOLERANCE, atol=TOLERANCE
        )
        y = out.states
        return jnp.concatenate([y.position[0], y.velocity[0]]), out.steps

    return jax.vmap(one)(paths, declared)


def _exact(times: Any, labels: Any) -> np.ndarray:
    """The closed form of the damped oscillator, from ring to ring, for all paths."""
    g = FRICTION / (2 * MASS)
    w = np.sqrt(KAPPA / MASS - g * g)
    ends = np.minimum(np.asarray(times), T)
    starts = np.concatenate([np.zeros((len(ends), 1)), ends[:, :-1]], axis=1)
    x, v = np.full(len(ends), 2.0), np.zeros(len(ends))
    for k in range(ends.shape[1]):
        tau, centre = ends[:, k] - starts[:, k], CENTRES[np.asarray(labels)[:, k]]
        decay, u = np.exp(-g * tau), x - centre
        s, c = decay * np.sin(w * tau) / w, decay * np.cos(w * tau)
        x = centre + (c + g * s) * u + s * v
        v = (c - g * s) * v - KAPPA / MASS * s * u
    return np.stack([x, v], axis=1)


def _paths() -> IndexPath:
    """256 paths of the label, the same in every check: 70 rings reach T for sure."""
    rng = np.random.default_rng(0)
    n, count = len(CENTRES), 70
    times = np.cumsum(rng.exponential(1 / RATE, (256, count)), axis=1)
    moves = rng.integers(1, n, (256, count))
    labels = np.cumsum(np.concatenate([rng.integers(0, n, (256, 1)), moves], 1), 1) % n
    rings = np.sum(times <= T, axis=1)
    parts = map(jnp.asarray, (times, labels, rings, rings == count))
    return IndexPath(*parts)


def _errors(declare: bool) -> tuple[np.ndarray, float]:
    """|(x, v) - exact| of each path at T, and the mean number of steps.

    A solve that reports anything but success raises.
    """
    paths, index = _paths(), UniformIndex(len(CENTRES), RATE)
    process = StochasticGradientMomentumProcess(
        quadratic_sum(CENTRES[:, None], KAPPA), index, MASS, FRICTION
    )
    rings = paths.times if declare else paths.times + T
    found, steps = _solved(paths, rings, process)
    gaps = np.asarray(found) - _exact(paths.times, paths.labels)
    return np.linalg.norm(gaps, axis=1), float(np.mean(steps))


def _accurate(ctx: Context, declare: bool) -> Evidence:
    errors, steps = _errors(declare)
    return decide.upper_bound(
        10 * TOLERANCE,
        Measurement(float(np.max(errors)), bias=1e-13),
        delta=ctx.delta,
        quantity="largest error at T",
        note=f"worst of {len(errors)} paths, {steps:.0f} steps a path",
    )


def _missed(ctx: Context, declare: bool) -> Evidence:
    errors, steps = _errors(declare)
    return decide.lower_bound(
        1e-3,
        Measurement(float(np.max(errors)), bias=1e-13),
        delta=ctx.delta,
        quantity="largest error at T, all solves successful",
        note=f"{np.mean(errors > 1e-3):.0%} of {len(errors)} paths are off by more "
        f"than 1e-3, {steps:.0f} steps a path",
    )


@claim(
    "pdmp.undeclared-switches",
    title="Undeclared switches give wrong answers that report success",
    source=HAIRER,
    statement=r"m\ddot x + \alpha\dot x = -\kappa(x - a_{I(t)}),\quad"
    r" \mathrm{rtol} = \mathrm{atol} = 10^{-8}:\quad"
    r" \max_{256\ \text{paths}}|z_T - z_T^{\text{exact}}| \le 10^{-7}"
    r"\ \text{(declared)},\quad \ge 10^{-3}\ \text{(undeclared, all successful)}",
    hypotheses=(
        "Tsit5 with a PID controller; 20 switches a path on average",
        "declared: no step crosses a switch (`sde.solve_switching`)",
    ),
    grade="measured",
    delta=0.01,
    unit="position and velocity, Euclidean norm",
)
def undeclared_switches(ctx: Context) -> Iterator[Evidence]:
    """One compiled solve for both: it is told the rings, or times after the end."""
    yield _accurate(ctx, declare=True)
    yield _missed(ctx, declare=False)


@undeclared_switches.control("accurate to 1e-7 without declaring")
def _(ctx: Context) -> Evidence:
    return _accurate(ctx, declare=False)


@undeclared_switches.control("wrong by 1e-3 though declared")
def _(ctx: Context) -> Evidence:
    return _missed(ctx, declare=True)
