"""Gradient descent at the edge of stability on digits, beside its central flow."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from discretize import CentralEuler, Euler, OptaxStep, Training
from flows import CentralFlow, Objective, effective_sharpness, iterate
from flows.central import CentralState, GradientDescent, midpoints, smoothed
from flows.problems import gelu_digits, small_digits, warm_start
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide.measurement import Measurement
from proofs_check.evidence import Evidence
from proofs_check.papers import central_flows

CENTRAL = central_flows(
    "the claim that central flows follow real training; the bounds are ours"
)
SCHEME = CentralEuler(block=4, substeps=2, margin=0.05)
"""Steps of length ½; a run takes several of them a step of the optimiser."""
PINNED = 2e-3
"""Relative allowance for the effective sharpness beyond its bound."""
FINE = 16
"""Euler steps of the stable flow in a step of the optimiser."""


class Followed(NamedTuple):
    """A central flow at the optimiser's steps 0, 1, …, T.

    Attributes:
        states: shape [T + 1, ...].
        sharpness: λ_max(P⁻¹H) at every step's start, shape [T].
        critical: directions that carry the oscillation, shape [T].
        loss: E L - L, shape [T].
        square: E|g|² - |g|², shape [T].
    """

    states: CentralState
    sharpness: np.ndarray
    critical: np.ndarray
    loss: np.ndarray
    square: np.ndarray


@eqx.filter_jit
def _follow(scheme, flow, y0, carry, parts, steps: int):
    h = 1.0 / parts

    def step(loop, k):
        def part(j, inner):
            y, carry, total = inner
            out = scheme.step(flow, k + j * h, y, h, None, carry)
            aux = out.aux
            sums = (aux.loss_correction, aux.gradient_correction)
            most = jnp.maximum(total[1], aux.eigenvalues[0])
            critical = jnp.maximum(total[2], aux.critical)
            sums = jax.tree.map(lambda a, b: a + h * b, total[0], sums)
            return out.y, out.carry, (sums, most, critical)

        zero = jnp.zeros_like(h)
        total = ((zero, zero), zero, jnp.zeros((), int))
        y, carry, total = jax.lax.fori_loop(0, parts, part, (*loop, total))
        return (y, carry), (y, total)

    ks = jnp.arange(steps, dtype=h.dtype)
    _, (states, ((loss, square), most, critical)) = jax.lax.scan(step, (y0, carry), ks)
    states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), y0, states)
    return Followed(states, most, critical, loss, square)


def follow(flow: CentralFlow, y0: CentralState, parts: int, steps: int) -> Followed:
    """The central flow in substeps of 1/(2 parts); another `parts` compiles nothing."""
    carry = SCHEME.init(flow, 0.0, y0)
    run = _follow(SCHEME, flow, y0, carry, jnp.asarray(parts), steps)
    return jax.tree.map(np.asarray, run)


@dataclass(frozen=True)
class Beside:
    """A run of the optimiser, its central flow in two resolutions, its stable flow.

    Attributes:
        objective: the loss.
        flow: the central flow.
        positions: w_0, …, w_{T+1} of the optimiser.
        fine: the central flow.
        coarse: the same in substeps twice as long.
        stable: positions 0, …, T of the flow with Σ = 0.
    """

    objective: Objective
    flow: CentralFlow
    positions: np.ndarray
    fine: Followed
    coarse: Followed
    stable: np.ndarray

    @property
    def entry(self) -> int:
        """The first step at the edge."""
        at_edge = self.fine.sharpness >= 0.9995 * float(self.flow.rule.edge)
        return max(1, int(np.argmax(at_edge)))

    def losses(self, positions: Any) -> np.ndarray:
        """L at positions, shape [rows]."""
        return np.asarray(_losses(self.objective, jnp.asarray(positions)))

    def squares(self, positions: Any) -> np.ndarray:
        """|g|² at positions, shape [rows]."""
        return np.asarray(_squares(self.objective, jnp.asarray(positions)))


@eqx.filter_jit
def _losses(objective, positions):
    return jax.lax.map(objective.value, positions)


@eqx.filter_jit
def _squares(objective, positions):
    return jax.lax.map(lambda x: jnp.sum(objective.gradient(x) ** 2), positions)


def beside(
    flow: CentralFlow, params: Any, build: Any, hyper: Any, steps: int, parts: int = 4
) -> Beside:
    """The optimiser `build(hyper)` and its flows from `params`, in 2 parts substeps."""
    objective = flow.objective
    y0 = flow.start(objective.ravel(params))
    optimiser = OptaxStep(build, jax.tree.map(jnp.asarray, hyper))
    # the last midpoint needs one step more
    run = iterate(optimiser, Training(objective), params, h=1.0, steps=steps + 1)
    calm = iterate(Euler(), flow.stable, y0, h=1 / FINE, steps=FINE * steps, save=FINE)
    return Beside(
        objective,
        flow,
        np.asarray(run.positions),
        follow(flow, y0, parts, steps),
        follow(flow, y0, parts // 2, steps),
        np.asarray(calm.positions),
    )


def late(run: Beside, positions: np.ndarray) -> float:
    """Mean distance to the optimiser's midpoints over the last quarter."""
    middle = np.asarray(midpoints(run.positions))
    gap = np.linalg.norm(positions[1:] - middle, axis=1)
    return float(np.mean(gap[-(len(gap) // 4) :]))


def resolved(fine: float, coarse: float) -> Measurement:
    """A number of the finer run; twice its change bounds a first-order error."""
    return Measurement(fine, bias=2 * abs(fine - coarse))


def near_midpoints(
    ctx: Context, run: Beside, bound: float, stable: bool = False
) -> Evidence:
    """Distance of the central flow to the run over that of the stable flow."""
    far = late(run, run.stable)
    if stable:
        found = Measurement(1.0)
    else:
        both = [
            late(run, np.asarray(r.states.position)) / far
            for r in (run.fine, run.coarse)
        ]
        found = resolved(*both)
    return decide.upper_bound(
        bound,
        found,
        delta=ctx.delta,
        scale=1.0,
        quantity="distance to midpoints, of the stable flow's",
        note=f"stable flow {far:.4g}, last quarter of {len(run.stable) - 1} steps",
    )


def pinned(ctx: Context, run: Beside) -> Evidence:
    """The largest effective sharpness from the entry on, over the edge."""
    edge = float(run.flow.rule.edge)
    both = [r.sharpness[run.entry :].max() / edge for r in (run.fine, run.coarse)]
    return decide.upper_bound(
        1.0005,
        resolved(*both),
        delta=PINNED,
        quantity="effective sharpness over the edge",
        note=f"entry at step {run.entry}, at most {run.fine.critical.max()} directions",
    )


def _error(run: Beside, followed: Followed, what: str, factor: float) -> float:
    """Median relative error of the predicted mean of L or |g|², from the entry on."""
    of = run.losses if what == "loss" else run.squares
    measured = smoothed(of(run.positions))[: len(followed.sharpness)]
    mean = of(followed.states.position)[:-1] + factor * getattr(followed, what)
    return float(np.median(np.abs(mean / measured - 1)[run.entry :]))


def predicted(
    ctx: Context, run: Beside, what: str, bound: float, factor: float = 1.0
) -> Evidence:
    """Error of the predicted mean of "loss" or "square", over that without Σ."""
    without = _error(run, run.fine, what, 0.0)
    both = [_error(run, r, what, factor) for r in (run.fine, run.coarse)]
    return decide.upper_bound(
        bound,
        resolved(*(e / without for e in both)),
        delta=ctx.delta,
        scale=1.0,
        quantity=f"median error of the mean {what}, of that without Σ",
        note=f"median errors: {both[0]:.2%} with Σ, {without:.2%} without",
    )


# Gradient descent on all ten digits.

STEPS, EDGE = 300, 3.2  # the edge as a curvature, 2/η


def sgd(hyper: Any) -> Any:
    """Gradient descent."""
    return optax.sgd(hyper["learning_rate"])


def descend(problem: Any, time: float, eta: float, steps: int) -> Beside:
    """Gradient descent after gradient flow over `time`."""
    objective, params = problem
    params = warm_start(objective, params, time)
    flow = CentralFlow(objective, GradientDescent(eta))
    return beside(flow, params, sgd, {"learning_rate": eta}, steps)


@functools.cache
def _ten_digits() -> Beside:
    return descend(gelu_digits(), 10.0, 2 / EDGE, STEPS)


@claim(
    "central_flow.digits-descent",
    title="On ten digits gradient descent at the edge follows its central flow",
    source=CENTRAL,
    statement=r"\frac{|w(k) - \bar w_k|}{|w_{\rm gf}(k) - \bar w_k|} \le 0.2,\quad"
    r"\lambda_{\max}(P^{-1}H) \le 2.001,\quad"
    r"\frac{|L + \tfrac12\langle H, \Sigma\rangle - \bar L|}{|L - \bar L|} \le 0.6",
    hypotheses=(
        "300 images, 64-20-20-10 GELU, square loss, full batch; start: gradient flow"
        " over time 10; 2/η = 3.2, 300 steps",
        r"$\bar w_k$: midpoints; distances: mean over the last 75 steps",
        r"$\bar L$: Gaussian mean over 10 steps; median over the steps at the edge",
    ),
    grade="measured",
    delta=0.05,
    unit="ratio",
    full_only=True,
)
def digits_descent(ctx: Context) -> Iterator[Evidence]:
    """Two directions carry the oscillation; steps of 1/8 beside steps of 1/4."""
    run = _ten_digits()
    yield near_midpoints(ctx, run, 0.2)
    yield pinned(ctx, run)
    yield predicted(ctx, run, "loss", 0.6)


@digits_descent.control("gradient flow in the central flow's place", expected=1.0)
def _(ctx: Context) -> Evidence:
    return near_midpoints(ctx, _ten_digits(), 0.2, stable=True)


@digits_descent.control("the sharpness that gradient flow comes to")
def _(ctx: Context) -> Evidence:
    run = _ten_digits()
    params = run.objective.params(run.stable[-1])
    top = effective_sharpness(run.objective, params, EDGE / 2, tolerance=1e-7).value
    return decide.upper_bound(1.0005, Measurement(top / 2), delta=PINNED)


@digits_descent.control("the loss without the oscillation's share", expected=1.0)
def _(ctx: Context) -> Evidence:
    return predicted(ctx, _ten_digits(), "loss", 0.6, factor=0.0)


# Gradient descent that leaves the edge by itself.

LEAVING = 200


@functools.cache
def _three_digits() -> Beside:
    return descend(small_digits(gain=0.3), 2.0, 0.5, LEAVING)


def _end_sharpness(ctx: Context, run: Beside, of: str) -> Evidence:
    """λ_max(P⁻¹H) where the central flow, the optimiser or the stable flow ends."""

    def top(x):
        return effective_sharpness(
            run.objective, run.objective.params(x), 2.0, tolerance=1e-7
        ).value

    middle = top(np.asarray(midpoints(run.positions))[-1])
    ends = {
        "central": [r.states.position[-1] for r in (run.fine, run.coarse)],
        "optimiser": [midpoints(run.positions)[-1]] * 2,
        "stable": [run.stable[-1]] * 2,
    }
    return decide.upper_bound(
        1.95,
        resolved(*(top(x) for x in ends[of])),
        delta=ctx.delta,
        quantity=f"λ_max(P⁻¹H) at the end, {of}",
        note=f"at the optimiser's last midpoint {middle:.4f}",
    )


@claim(
    "central_flow.digits-leave-the-edge",
    title="Where sharpening ends, gradient descent and its central flow leave the edge",
    source=CENTRAL,
    statement=r"\lambda_{\max}(P^{-1}H) \le 2.001 \text{ from the entry on, and}"
    r" \le 1.95 \text{ after 200 steps, where } \Sigma = 0",
    hypotheses=(
        "digits 0, 1 and 2, 200 images, 12 tanh units from gain 0.3, square loss, full"
        " batch; start: gradient flow over time 2; 2/η = 4, 200 steps",
    ),
    grade="measured",
    delta=0.02,
    unit="effective sharpness",
    full_only=True,
)
def digits_leave_the_edge(ctx: Context) -> Iterator[Evidence]:
    """The complementarity: one direction at the edge at first, none at the end."""
    run = _three_digits()
    critical = run.fine.critical
    yield pinned(ctx, run)
    yield _end_sharpness(ctx, run, "central")
    yield _end_sharpness(ctx, run, "optimiser")
    yield near_midpoints(ctx, run, 0.35)
    yield decide.equal(
        1.0,
        Measurement(float(critical[:20].max() - critical[-20:].max())),
        delta=ctx.delta,
        quantity="critical directions, first 20 steps less last 20",
    )


@digits_leave_the_edge.control("gradient flow, which nothing has held at the edge")
def _(ctx: Context) -> Evidence:
    return _end_sharpness(ctx, _three_digits(), "stable")
