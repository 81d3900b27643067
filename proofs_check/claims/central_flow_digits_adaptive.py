"""RMSProp and its scalar form at the edge of stability on digits."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.sparse.linalg

from discretize import scalar_rmsprop
from flows import CentralFlow
from flows.central import RMSProp, ScalarRMSProp
from flows.problems import small_digits, warm_start
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.claims.central_flow_digits import (
    CENTRAL,
    Beside,
    beside,
    follow,
    late,
    near_midpoints,
    pinned,
    predicted,
    resolved,
)
from proofs_check.context import Context
from proofs_check.decide.measurement import Measurement
from proofs_check.evidence import Evidence

DECAY = 0.97


def scalar(hyper: Any) -> Any:
    """Scalar RMSProp without ε, its memory started at `initial`."""
    return scalar_rmsprop(hyper["learning_rate"], DECAY, 0.0, hyper["initial"])


@functools.cache
def _problem(gain: float, time: float) -> tuple[Any, Any]:
    objective, params = small_digits(gain=gain)
    return objective, warm_start(objective, params, time)


@functools.cache
def _scalar(eta: float, steps: int, parts: int = 4) -> Beside:
    objective, params = _problem(0.3, 2.0)
    gradient = objective.gradient(objective.ravel(params))
    hyper = {"learning_rate": eta, "initial": gradient @ gradient}
    rule = ScalarRMSProp(eta, DECAY, initial=hyper["initial"])
    return beside(CentralFlow(objective, rule), params, scalar, hyper, steps, parts)


def _beside_scalar(ctx: Context) -> Beside:
    return _scalar(0.06, *ctx.choose((80, 2), (200, 4)))


SMALL = (
    "digits 0, 1 and 2, 200 images, 12 tanh units from gain 0.3, square loss, full"
    " batch; start: gradient flow over time 2",
    r"$\beta_2 = 0.97$, $\epsilon = 0$, $\nu_{-1} = |g_0|^2$",
)


@claim(
    "central_flow.digits-scalar-rmsprop",
    title="On digits Scalar RMSProp follows its central flow, and loss and |g|² agree",
    source=CENTRAL,
    statement=r"\frac{|w(k) - \bar w_k|}{|w_{\Sigma = 0}(k) - \bar w_k|} \le 0.15,"
    r"\quad \lambda_{\max}(P^{-1}H) \le 2.001,\quad"
    r"\frac{|\mathbb E L - \bar L|}{|L - \bar L|} \le 0.25,\quad"
    r"\frac{|\mathbb E|g|^2 - \overline{|g|^2}|}{||g|^2 - \overline{|g|^2}|} \le 0.25",
    hypotheses=(
        *SMALL,
        r"$\eta = 0.06$; 80 steps (quick) or 200",
        r"$\bar w_k$: midpoints; distances: mean over the last quarter; bars: Gaussian"
        " means over 10 steps, medians over the steps at the edge",
    ),
    grade="measured",
    delta=0.05,
    quick_delta=0.05,
    unit="ratio",
)
def digits_scalar(ctx: Context) -> Iterator[Evidence]:
    """Distance, effective sharpness, mean loss and mean |g|²; two substeps."""
    run = _beside_scalar(ctx)
    yield near_midpoints(ctx, run, 0.15)
    yield pinned(ctx, run)
    yield predicted(ctx, run, "loss", 0.25)
    yield predicted(ctx, run, "square", 0.25)


@digits_scalar.control("the stable flow, Σ = 0", expected=1.0)
def _(ctx: Context) -> Evidence:
    return near_midpoints(ctx, _beside_scalar(ctx), 0.15, stable=True)


@digits_scalar.control("half of Σ in the mean loss")
def _(ctx: Context) -> Evidence:
    return predicted(ctx, _beside_scalar(ctx), "loss", 0.25, 0.5)


@digits_scalar.control("twice Σ in the mean square of the gradient")
def _(ctx: Context) -> Evidence:
    return predicted(ctx, _beside_scalar(ctx), "square", 0.25, 2.0)


# Acceleration by regularisation: what the oscillation's force on w is good for.


@functools.cache
def _end(eta: float, ablated: bool, what: str) -> tuple[float, float]:
    """Loss or sharpness where the flow ends, in 1/8 and in 1/4 steps."""
    run = _scalar(eta, 200)
    ends = [r.states.position[-1] for r in (run.fine, run.coarse)]
    if ablated:
        flow = CentralFlow(run.objective, run.flow.rule, ablated=True)
        y0 = flow.start(jnp.asarray(run.stable[0]))
        ends = [follow(flow, y0, parts, 200).states.position[-1] for parts in (4, 2)]
    if what == "loss":
        fine, coarse = run.losses(np.stack(ends))
    else:
        fine, coarse = (
            run.objective.sharpness(run.objective.params(w), tolerance=1e-7).value
            for w in ends
        )
    return float(fine), float(coarse)


def _ordered(
    ctx: Context, bound: float, what: str, upper: tuple, lower: tuple
) -> Evidence:
    """The quotient of two ends, (η, ablated) each, at least `bound`."""
    above, below = _end(*upper, what), _end(*lower, what)
    quotients = (a / b for a, b in zip(above, below, strict=True))
    return decide.lower_bound(
        bound,
        resolved(*quotients),
        delta=ctx.delta,
        quantity=f"{what}: (η, ablated) = {upper} over {lower}",
        note=f"{above[0]:.5g} over {below[0]:.5g}",
    )


@claim(
    "central_flow.acceleration-by-regularisation",
    title="The force of the oscillation lowers sharpness, and the steps grow",
    source=CENTRAL,
    statement=r"\frac{L_{\rm abl}}{L_{\rm central}} \ge 1.05\ (\eta = 0.03),\ \ge 1.3\ "
    r"(\eta = 0.06);\quad \frac{S_{\rm abl}}{S_{\rm central}} \ge 1.05,\ \ge 1.3;\quad"
    r"\frac{L_{\rm central}(0.03)}{L_{\rm central}(0.06)} \ge 1.3",
    hypotheses=(*SMALL, "after 200 steps; ablated: w' without ½∇⟨H, Σ⟩"),
    grade="measured",
    delta=0.02,
    unit="quotient",
    full_only=True,
)
def acceleration(ctx: Context) -> Iterator[Evidence]:
    """At the edge the step is 2/S whatever η: the larger η, the smaller S, and L."""
    for eta, bound in ((0.03, 1.05), (0.06, 1.3)):
        yield _ordered(ctx, bound, "loss", (eta, True), (eta, False))
        yield _ordered(ctx, bound, "sharpness", (eta, True), (eta, False))
    yield _ordered(ctx, 1.3, "loss", (0.03, False), (0.06, False))


@acceleration.control("twice the learning rate without the force: no 30 % less loss")
def _(ctx: Context) -> Evidence:
    return _ordered(ctx, 1.3, "loss", (0.03, True), (0.06, True))


@acceleration.control("nor 30 % less sharpness")
def _(ctx: Context) -> Evidence:
    return _ordered(ctx, 1.3, "sharpness", (0.03, True), (0.06, True))


# RMSProp, one second moment for each weight.

TOLERANCE: Any = 1e-8
RMS_ETA, RMS_STEPS, INITIAL = 1e-3, 200, 25.0


def rmsprop(hyper: Any) -> optax.GradientTransformation:
    """optax.rmsprop without ε, its memory started at a pytree of its own."""
    plain = optax.rmsprop(hyper["learning_rate"], decay=DECAY, eps=0.0)

    def init(params):
        state: Any = plain.init(params)
        first, *rest = state
        return (first._replace(nu=hyper["initial"]), *rest)

    return optax.GradientTransformation(init, plain.update)  # pyright: ignore


@functools.cache
def _elementwise() -> Beside:
    objective, params = _problem(0.7, 4.0)
    square = objective.gradient(objective.ravel(params)) ** 2
    initial = INITIAL * (square + 1e-3 * jnp.mean(square))
    hyper = {"learning_rate": RMS_ETA, "initial": objective.params(initial)}
    flow = CentralFlow(objective, RMSProp(RMS_ETA, DECAY, initial=initial))
    return beside(flow, params, rmsprop, hyper, RMS_STEPS)


def _project(x: np.ndarray, k: int) -> np.ndarray:
    """The positive semidefinite part, rows i <= j with off-diagonals times √2."""
    i, j = np.triu_indices(k)
    weight = np.where(i == j, 1.0, np.sqrt(2.0))
    matrix = np.zeros((k, k))
    matrix[i, j] = matrix[j, i] = x / weight
    values, turn = np.linalg.eigh(matrix)
    return ((turn * np.maximum(values, 0.0)) @ turn.T)[i, j] * weight


def _extragradient(a: np.ndarray, b: np.ndarray, k: int) -> np.ndarray:
    """X ⪰ 0, a + bX ⪰ 0, orthogonal, by Korpelevich's method."""
    step, x = 0.9 / np.linalg.norm(b, 2), np.zeros(len(a))
    for _ in range(20_000):
        half = _project(x - step * (a + b @ x), k)
        new = _project(x - step * (a + b @ half), k)
        if np.linalg.norm(new - x) <= 1e-10 * np.linalg.norm(new):
            break
        x = new
    return x


class Recipe:
    """RMSProp's central flow written a second time: ARPACK, NumPy, extragradient.

    Args:
        run: whose problem and start.
        with_hessian: False feeds ν with Σ where it takes HΣH, q = u for q = Hu.
    """

    def __init__(self, run: Beside, with_hessian: bool) -> None:
        self.f, self.eta, self.with_hessian = run.objective, RMS_ETA, with_hessian
        self.kappa = (1 - DECAY) / DECAY
        self.hvp = jax.jit(lambda x, v: run.objective.hvp(x, v))
        self.third = jax.jit(lambda x, u, v: run.objective.third(x, u, v))
        self.gradient = jax.jit(lambda x: run.objective.gradient(x))
        self.w = np.asarray(run.fine.states.position[0])
        self.nu = np.asarray(run.fine.states.memory[0])
        self.near = np.ones_like(self.w)

    def substep(self, dt: float) -> None:
        """One explicit Euler step of length dt."""
        w, nu, n = self.w, self.nu, self.w.size
        p = np.sqrt(nu) / self.eta
        root = np.sqrt(p)
        product = scipy.sparse.linalg.LinearOperator(
            (n, n), lambda y: np.asarray(self.hvp(w, y.ravel() / root)) / root
        )
        values, rows = scipy.sparse.linalg.eigsh(
            product, k=3, which="LA", v0=self.near, tol=TOLERANCE
        )
        self.near = rows.sum(axis=1)
        keep = values > 1.9
        e, u = values[keep], rows[:, keep] / root[:, None]
        g = np.asarray(self.gradient(w))
        dw, dnu = -g / p, self.kappa * (g**2 - nu)
        if k := int(keep.sum()):
            q = p[:, None] * u * e if self.with_hessian else u
            i, j = np.triu_indices(k)
            weight = np.where(i == j, 1.0, np.sqrt(2.0))[:, None]
            d = weight * [
                np.asarray(self.third(w, u[:, a], u[:, b]))
                for a, b in zip(i, j, strict=True)
            ]
            s = self.kappa * weight * (q[:, i] * q[:, j]).T
            slope = weight * (u[:, i] * u[:, j]).T / (2 * self.eta * np.sqrt(nu))
            gap = np.where(i == j, 2 - e[i], 0.0)
            a = gap + dt * (2 * slope @ dnu - d @ dw)
            b = dt * (2 * slope @ s.T + d @ (d / p).T / 2)
            x = _extragradient(a, b, k)
            dw, dnu = dw - x @ d / p / 2, dnu + x @ s
        self.w, self.nu = w + dt * dw, nu + dt * dnu


@functools.cache
def _recipe(with_hessian: bool, parts: int = 4) -> np.ndarray:
    """Positions 0, …, T in `parts` substeps a step."""
    recipe = Recipe(_elementwise(), with_hessian)
    path = [recipe.w]
    for _ in range(RMS_STEPS):
        for _ in range(parts):
            recipe.substep(1 / parts)
        path.append(recipe.w)
    return np.stack(path)


@claim(
    "central_flow.digits-rmsprop",
    title="On digits RMSProp follows its central flow with two directions at the edge",
    source=CENTRAL,
    statement=r"\frac{|w(k) - \bar w_k|}{|w_{\Sigma = 0}(k) - \bar w_k|} \le 0.15,"
    r"\quad \lambda_{\max}(P^{-1}H) \le 2.001,\quad"
    r"\frac{|\mathbb E|g|^2 - \overline{|g|^2}|}{||g|^2 - \overline{|g|^2}|} \le 0.15",
    hypotheses=(
        "digits 0, 1 and 2, 200 images, 12 tanh units from gain 0.7, square loss, full"
        " batch; start: gradient flow over time 4",
        r"$\beta_2 = 0.97$, $\epsilon = 0$, $\eta = 0.001$, 200 steps,"
        r" $\nu_{-1} = 25(g_0^2 + 10^{-3}\,\overline{g_0^2})$: below the edge",
        r"$\bar w_k$: midpoints; distances: mean over the last 50 steps; bars: Gaussian"
        " means over 10 steps, medians over the steps at the edge",
    ),
    grade="measured",
    delta=0.05,
    unit="ratio",
    full_only=True,
)
def digits_rmsprop(ctx: Context) -> Iterator[Evidence]:
    """Distance, effective sharpness and mean |g|²; 1/8 beside 1/4 steps."""
    run = _elementwise()
    yield near_midpoints(ctx, run, 0.15)
    yield pinned(ctx, run)
    yield predicted(ctx, run, "square", 0.15)


def _from_recipe(ctx: Context, with_hessian: bool) -> Evidence:
    run, path = _elementwise(), _recipe(with_hessian)
    # the two programs differ by their errors of first order in the substep
    apart = float(np.linalg.norm(path[-1] - run.fine.states.position[-1]))
    far = late(run, run.stable)
    return decide.upper_bound(
        0.15,
        Measurement(late(run, path) / far, bias=apart / far if with_hessian else 0.0),
        delta=ctx.delta,
        scale=1.0,
        quantity="distance to midpoints, of the stable flow's",
        note=f"|w| to the first program's end: {apart:.3g}",
    )


@digits_rmsprop.route("a second program: ARPACK, NumPy and extragradient")
def _(ctx: Context) -> Evidence:
    """Independent of the package's flow, eigenvectors and complementarity solver."""
    return _from_recipe(ctx, True)


@digits_rmsprop.control("half of Σ in the mean |g|²")
def _(ctx: Context) -> Evidence:
    return predicted(ctx, _elementwise(), "square", 0.15, 0.5)


@digits_rmsprop.control("ν fed with Σ in place of HΣH, in that second program")
def _(ctx: Context) -> Evidence:
    return _from_recipe(ctx, False)


@digits_rmsprop.control("the stable flow, Σ = 0", expected=1.0)
def _(ctx: Context) -> Evidence:
    return near_midpoints(ctx, _elementwise(), 0.15, stable=True)
