"""A central flow for momentum, proposed here: exact orbits, slow drift, digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize import CentralEuler, Euler, OptaxStep, Training
from flows import CentralFlow, StableFlow, iterate
from flows.central import Momentum, midpoints
from flows.problems import gelu_digits, valley, wall, warm_start
from flows.sharpness import sharpness
from flows.symbolic import exactly
from proofs_check import decide, momentum_optimisers
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.decide.measurement import Measurement
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

OURS = Source(
    title="Proposed in this package: a central flow for momentum",
    location="no paper; derivation in flows.central.Momentum, after the central flow "
    "of gradient descent of arXiv 2410.24206",
)
EQUATION = (
    r"\dot w = -P^{-1}\left[\nabla L + \tfrac12\nabla\langle H,\Sigma\rangle\right],"
    r"\quad 0 \preceq \Sigma \perp cP - H \succeq 0,\quad P = \frac{1-\beta}{\eta},"
    r"\quad cP = \frac{2(1+\beta)}{\eta}"
)
PROPOSED = "a proposal of this package, in no paper"


FORMS: dict[str, Callable] = {
    "polyak": momentum_optimisers.heavy_ball,
    "nesterov": momentum_optimisers.nesterov,
}


def _step(form: str, eta: Any, beta: Any, objective: Any, x: Any, trace: Any) -> Any:
    """One update of optax from a given momentum buffer: (x, buffer)."""
    optimizer = FORMS[form](eta, beta)
    state = optax.tree_utils.tree_set(optimizer.init(x), trace=trace)
    updates, state = optimizer.update(objective.gradient(x), state, x)
    return optax.apply_updates(x, updates), optax.tree_utils.tree_get(state, "trace")


def _oscillating(form: str, eta: Any, beta: Any, x: Any) -> Any:
    """The buffer's entry that goes with a step from x to -x at the edge.

    Heavy ball: x - η v = -x with v the new buffer, and the old one is -v. Nesterov: the
    buffer alternates too, v = g/(1+β), with g = c P x.
    """
    if form == "polyak":
        return -2 * x / eta
    return -2 * x / (eta * (1 + 2 * beta))


# -- exact orbits ---------------------------------------------------------------


def _orbit(form: str, threshold: Callable) -> Iterator[Evidence]:
    """Optax's step from the orbit, minus its mirror image; all numbers symbols."""
    eta, a, depth, k = sympy.symbols("eta a depth k", positive=True)
    beta = 1 / (1 + sympy.Symbol("r", positive=True))
    amplitude = sympy.Symbol("amplitude", positive=True)
    lowest = threshold(eta, beta) - a * depth  # s(z*) = s + a z* is the threshold
    descent = a * amplitude**2 / 2 + k * depth  # x² = 2 (d - k z*)/a

    def image(eta, beta, s, a, d, k, x, z, v):
        objective = valley()
        made = eqx.tree_at(
            lambda o: o.parameters, objective, {"s": s, "a": a, "d": d, "k": k}
        )
        start, trace = jnp.stack([x, z]), jnp.stack([v, jnp.zeros_like(v)])
        return _step(form, eta, beta, made, start, trace)

    v = _oscillating(form, eta, beta, amplitude)
    arguments = (eta, beta, lowest, a, descent, k, amplitude, depth, v)
    new, buffer = exactly(image, *arguments)
    wanted = {"x": (new[0], -amplitude), "z": (new[1], depth)}
    wanted |= {"buffer of x": (buffer[0], -v), "buffer of z": (buffer[1], 0)}
    for name, (found, value) in wanted.items():
        yield identical(found, sympy.sympify(value), f"{form}, {name}")


@claim(
    "central_flow.momentum-orbit",
    title="Momentum has the orbit that its proposed central flow rests on, exactly",
    source=OURS,
    statement=r"L = s(z)\tfrac{x^2}2 + f(z):\quad x \mapsto -x,\ z = z^*,\quad"
    r" s(z^*) = cP,\quad x^2 = \sigma^2 = -\frac{2f'(z^*)}{s'(z^*)}",
    hypotheses=(
        PROPOSED,
        r"$s$ linear, $f$ quadratic, $0 < \beta < 1$",
        r"Polyak: $cP = 2(1+\beta)/\eta$; Nesterov: $2(1+\beta)/((1+2\beta)\eta)$",
    ),
    grade="proved",
    unit="identity",
)
def momentum_orbit(ctx: Context) -> Iterator[Evidence]:
    """Optax's traced step from the orbit is its mirror image; all numbers symbols."""
    yield from _orbit("polyak", lambda eta, b: 2 * (1 + b) / eta)
    yield from _orbit("nesterov", lambda eta, b: 2 * (1 + b) / ((1 + 2 * b) * eta))


@momentum_orbit.control("gradient descent's threshold 2/η")
def _(ctx: Context) -> Evidence:
    return next(_orbit("polyak", lambda eta, b: 2 / eta))


@momentum_orbit.control("Polyak's threshold for Nesterov's form")
def _(ctx: Context) -> Evidence:
    return next(_orbit("nesterov", lambda eta, b: 2 * (1 + b) / eta))


# -- slow drift along a wall ------------------------------------------------------

ETA, DESCENT, NARROWING, STIFFNESS, COUPLING = 0.05, 0.1, 2.0, 3.0, 0.05


def _rule(form: str, beta: float) -> Momentum:
    return Momentum(ETA, beta, form=form)  # pyright: ignore


def _wall(rule: Momentum, slow: float) -> Any:
    """A wall at the rule's own edge, pressed on by a variable of curvature `slow`."""
    threshold = float(rule.edge * rule.preconditioner(0.0, None))
    return wall(2 / threshold, NARROWING, DESCENT, STIFFNESS, slow, COUPLING)


def _variance(q: Any) -> Any:
    return 2 * (DESCENT + COUPLING * q) / NARROWING


def _largest_error(form: str) -> Callable:
    """(objective, β, rate of q, steps) -> sup over the run of |x²/σ²(t) - 1|."""

    @eqx.filter_jit
    def run(objective, beta, rate, steps):
        x = jnp.stack([jnp.sqrt(_variance(1.0)), jnp.asarray(0.0), jnp.asarray(1.0)])
        k = objective.parameters["k"]
        trace = jnp.stack(
            [_oscillating(form, ETA, beta, x[0]), jnp.asarray(0.0), k / (1 - beta)]
        )

        def body(i, loop):
            x, trace, worst = loop
            x, trace = _step(form, ETA, beta, objective, x, trace)
            sigma = _variance(jnp.exp(-rate * (i + 1)))
            return x, trace, jnp.maximum(worst, jnp.abs(x[0] ** 2 / sigma - 1))

        return jax.lax.fori_loop(0, steps, body, (x, trace, jnp.asarray(0.0)))[2]

    return run


def _drift(ctx: Context, form: str, beta: float, wrong: float = 1.0) -> Evidence:
    """The order of sup|x²/σ² - 1| in the speed of the drift, over a fixed descent."""
    rule = _rule(form, beta)
    p = float(rule.preconditioner(0.0, None))
    speeds = 0.05 * 0.5 ** np.arange(ctx.choose(6, 8))
    run = ctx.compiled(("drift", form), lambda: _largest_error(form))
    errors = []
    for k in speeds:
        steps = round(2 * p / k)  # until q has fallen to exp(-2)
        rate = wrong * k / p
        errors.append(float(run(_wall(rule, k), jnp.asarray(beta), rate, steps)))
    return decide.order(1, speeds, errors, floor=1e-12, quantity=f"{form}, β = {beta}")


@claim(
    "central_flow.momentum-drift",
    title="Momentum's oscillation follows its proposed central flow as drift slows",
    source=OURS,
    statement=EQUATION + r";\quad \sup_t\left|\frac{x_k^2}{\sigma^2(k)} - 1\right|"
    r" = O(k_q),\quad q(t) = e^{-k_q t/P}",
    hypotheses=(
        PROPOSED,
        r"a wall of sharpness at $cP$, pressed on by $q$ of curvature $k_q$",
        "the start on the orbit, with its buffer",
    ),
    grade="measured",
    unit="order in the curvature of q",
)
def momentum_drift(ctx: Context) -> Iterator[Evidence]:
    """Polyak at β = 1/2; at effort full also β = 0.9, and Nesterov's form."""
    yield _drift(ctx, "polyak", 0.5)
    if ctx.full:
        yield _drift(ctx, "polyak", 0.9)
        yield _drift(ctx, "nesterov", 0.5)


@momentum_drift.control("the speed of gradient descent, P = 1/η", expected=0.0)
def _(ctx: Context) -> Evidence:
    return _drift(ctx, "polyak", 0.5, wrong=0.5)


@momentum_drift.route("the stepped central flow", grade="measured")
def _(ctx: Context) -> Evidence:
    """Tr Σ of `CentralEuler` on the wall, at 4, 8 and 16 substeps, after 100 steps."""
    rule, k = _rule("polyak", 0.5), 0.05
    p = float(rule.preconditioner(0.0, None))
    flow = CentralFlow(_wall(rule, k), rule)
    values = []
    for substeps in (4, 8, 16):
        scheme = CentralEuler(block=1, substeps=substeps)
        start = flow.start(jnp.array([0.0, 0.0, 1.0]))
        run = iterate(scheme, flow, start, h=1.0, steps=100)
        values.append(float(run.aux.trace[-1]))  # pyright: ignore
    mean = float(np.mean(_variance(np.exp(-k * (99 + (np.arange(16) + 0.5) / 16) / p))))
    return decide.equal(mean, decide.ladder(values), delta=1e-3, quantity="tr Σ")


# -- digits -----------------------------------------------------------------------

EDGE, BETA, BURN_IN, WINDOW = 3.2, 0.5, 40, 110
"""The edge (a curvature), β, steps before the comparison, and steps of it."""


class _Digits(NamedTuple):
    """Heavy ball on digits at the edge, and the midpoints of its steps."""

    objective: Any
    midpoints: np.ndarray
    rate: float


def _digits(ctx: Context) -> _Digits:
    """Midpoints (w_{k-1} + 2 w_k + w_{k+1})/4 from the end of the burn-in on."""

    def build():
        objective, params = gelu_digits()
        start = warm_start(objective, params, 10.0)
        eta = 2 * (1 + BETA) / EDGE
        scheme = OptaxStep(heavy_ball, {"eta": jnp.asarray(eta)})
        steps = BURN_IN + WINDOW + 1
        run = iterate(scheme, Training(objective), start, h=1.0, steps=steps)
        w = np.asarray(run.positions)[BURN_IN - 1 :]
        return _Digits(objective, midpoints(w), eta)

    return ctx.compiled("digits", build)


def heavy_ball(hyper):
    """Heavy ball at β = 1/2."""
    return optax.sgd(hyper["eta"], momentum=BETA)


def _distances(ctx: Context, rule: Momentum, substeps: int) -> np.ndarray:
    """|flow - midpoint| at the steps 10, 11, ... after the common start."""
    data = _digits(ctx)
    flow, start = CentralFlow(data.objective, rule), jnp.asarray(data.midpoints[0])
    scheme: Any = CentralEuler(substeps=substeps, project_start=True)
    run = iterate(scheme, flow, flow.start(start), h=1.0, steps=WINDOW)
    path = np.asarray(run.states.position)
    return np.linalg.norm(path - data.midpoints, axis=1)[10:]


def _stable_distances(ctx: Context, rule: Momentum) -> np.ndarray:
    """The same for the stable flow, by Euler at 16 substeps."""
    data = _digits(ctx)
    flow, start = StableFlow(data.objective, rule), jnp.asarray(data.midpoints[0])
    run = iterate(
        Euler(), flow, flow.start(start), h=1 / 16, steps=16 * WINDOW, save=16
    )
    path = np.asarray(run.states.position)
    return np.linalg.norm(path - data.midpoints, axis=1)[10:]


def _ratio(ctx: Context, rule: Momentum) -> Evidence:
    """The median of (distance of the flow)/(distance of the stable flow)."""
    own = Momentum(_digits(ctx).rate, BETA)  # pyright: ignore
    stable = ctx.compiled("stable", lambda: _stable_distances(ctx, own))
    coarse, fine = (float(np.median(_distances(ctx, rule, n) / stable)) for n in (4, 8))
    ratio = Measurement(fine, bias=abs(fine - coarse))
    return decide.upper_bound(
        0.5, ratio, delta=ctx.delta, quantity="distance over that of the stable flow"
    )


def _pinned(ctx: Context, edge: float) -> Evidence:
    """The median of the sharpness at midpoints, every 5 steps, over the edge."""

    def build():
        data = _digits(ctx)
        points = map(jnp.asarray, data.midpoints[10::5])
        return [sharpness(data.objective, x, tolerance=1e-4).value for x in points]

    late = np.array(ctx.compiled("sharpness", build)) / edge
    middle = float(np.median(late))
    halves = [abs(float(np.median(late[k::2])) - middle) for k in (0, 1)]
    return decide.within(
        0.95,
        1.05,
        Measurement(middle, bias=max(halves)),
        delta=ctx.delta,
        scale=1.0,
        quantity="sharpness at midpoints over the edge",
    )


@claim(
    "central_flow.momentum-digits",
    title="On digits heavy ball follows its proposed central flow at β = 1/2",
    source=OURS,
    statement=EQUATION + r";\quad \operatorname{median}_k\frac{|w(k) - w^*_k|}"
    r"{|w_{\text{stable}}(k) - w^*_k|} \le \tfrac12,\quad w^*_k = "
    r"\tfrac14(w_{k-1} + 2w_k + w_{k+1})",
    hypotheses=(
        PROPOSED,
        "64-20-20-10 with GELU, 300 images, full batch, edge at sharpness 3.2",
        "flows start at a midpoint, once the optimiser oscillates (40 steps)",
        "β = 1/2: at β = 0.9 this network drifts too fast for the memory",
    ),
    grade="measured",
    delta=0.1,
    full_only=True,
    unit="distance in parameters, relative",
)
def momentum_digits(ctx: Context) -> Iterator[Evidence]:
    """Distances to midpoints over 100 steps, at 4 and 8 substeps; the sharpness."""
    yield _ratio(ctx, Momentum(_digits(ctx).rate, BETA))  # pyright: ignore
    yield _pinned(ctx, EDGE)


@momentum_digits.control("the speed of gradient descent, at momentum's edge")
def _(ctx: Context) -> Evidence:
    """P = 1/η and c = 3: the mean-of-gradients form at β = 1/5."""
    return _ratio(ctx, Momentum(_digits(ctx).rate, 0.2, form="ema"))  # pyright: ignore


@momentum_digits.control("the threshold of gradient descent, 2/η")
def _(ctx: Context) -> Evidence:
    return _pinned(ctx, 2 / _digits(ctx).rate)
