"""Weight decay on scale-invariant losses: descent on the sphere, at the edge."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize import WEIGHT_DECAY_SGD
from discretize.optimiser import OptaxStep, Training
from flows import (
    Chart,
    SharpnessReductionFlow,
    WeightDecayOscillation,
)
from flows.problems import scale_invariant, spherical_valley, taylor_polynomial
from flows.symbolic import exactly, symbol_vector, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

LYU = Source(
    title="Understanding the Generalization Benefit of Normalization Layers: "
    "Sharpness Reduction",
    authors="Kaifeng Lyu, Zhiyuan Li and Sanjeev Arora",
    year=2022,
    arxiv="2206.07085",
    location="gradient descent with weight decay on scale-invariant losses; the flow "
    "is derived here as a limit of the central flow of scalar RMSProp",
)

# Weight decay on a scale-invariant loss: the norm keeps the memory.


@claim(
    "central_flow.sphere-norm",
    title="Weight decay keeps scalar RMSProp's memory in the norm of the weights",
    source=LYU,
    statement=r"w' = (1-hl)w - hg(w),\ v = \tilde\eta^{-2},\ \tilde\eta ="
    r" \frac{h}{(1-hl)|w|^2}:\quad v' = (1-hl)^4 v + 2(1-hl)^4 G"
    r" + h^2(1-hl)^2\frac{G^2}{|w|^4},\quad \theta' \propto \theta -"
    r" \tilde\eta\,g(\theta),\ G = |g(\theta)|^2",
    hypotheses=(r"$\langle g(w), w\rangle = 0$ and $g(cw) = g(w)/c$",),
    grade="proved",
)
def sphere_norm(ctx: Context):
    """One step of optax's chain in a plane that holds w and g(w), all symbols."""
    yield _norm(1, 4)
    yield _direction()
    yield _invariance(scale_invariant)


def _step(h, decay, w, g):
    """One update of weight decay and descent, by optax, where the gradient is g."""
    hyper = {"learning_rate": h, "weight_decay": decay}
    optimizer = WEIGHT_DECAY_SGD.optimizer(hyper)
    updates, _ = optimizer.update(g, optimizer.init(w), w)
    return optax.apply_updates(w, updates)


def _plane():
    """h, l, |w|, γ = |g(θ)|, and one step from (|w|, 0), where g(w) = (0, γ/|w|)."""
    h, r, size = sympy.symbols("h r gamma", positive=True)
    decay = sympy.Symbol("l", positive=True)
    w = np.array([r, sympy.Integer(0)], dtype=object)
    g = np.array([sympy.Integer(0), size / r], dtype=object)
    return h, decay, r, size, exactly(_step, h, decay, w, g)


def _norm(factor, power) -> Evidence:
    """`factor` multiplies the last term; `power` is that of 1 - hl before v."""
    h, decay, r, size, new = _plane()
    kept, g2 = 1 - h * decay, size**2
    square = new[0] ** 2 + new[1] ** 2
    before, after = ((kept * a / h) ** 2 for a in (r**2, square))
    claimed = (
        kept**power * before + 2 * kept**4 * g2 + factor * h**2 * kept**2 * g2**2 / r**4
    )
    return identical(after, claimed, "v'")


def _direction() -> Evidence:
    """θ' is proportional to θ - η̃ g(θ): their slopes in the plane are equal."""
    h, decay, r, size, new = _plane()
    effective = h / ((1 - h * decay) * r**2)
    return identical(new[1], new[0] * (-effective * size), "θ' ∝ θ - η̃ g(θ)")


def _invariance(wrap) -> Evidence:
    """A generic quadratic through θ: ⟨g, w⟩ = 0 and g(cw) = g(w)/c."""
    loss = symbols_like(wrap(taylor_polynomial(2, 2)))
    w, c = symbol_vector("w", 2), sympy.Symbol("c", positive=True)
    at, scaled = (exactly(lambda f, x: f.gradient(x), loss, x) for x in (w, c * w))
    return identical(
        np.append(c * scaled - at, at @ w), np.zeros(3), "⟨g(w), w⟩ = 0, g(cw) = g(w)/c"
    )


@sphere_norm.control("without the G² term")
def _(ctx: Context) -> Evidence:
    return _norm(0, 4)


@sphere_norm.control("1 - hl in place of (1 - hl)⁴ before v")
def _(ctx: Context) -> Evidence:
    return _norm(1, 1)


@sphere_norm.control("a loss that sees the scale")
def _(ctx: Context) -> Evidence:
    return _invariance(lambda loss: loss)


# The flow on the sphere beside the optimiser.


def circle(p):
    """The minimisers (cos φ, sin φ, 0) of the valley on the sphere."""
    return jnp.stack([jnp.cos(p[0]), jnp.sin(p[0]), jnp.zeros_like(p[0])])


RATE, TAU, FROM = 0.5, 6.4, 0.5
SAMPLES = 1000  # of τ in [0, TAU]
DECAYS = 1.6e-3 * 0.5 ** np.arange(7)  # hl, and so steps of τ: 4, 8, ... a sample


@eqx.filter_jit
def sampled(step, x, count):
    """Positions after 0, count, ..., 1000 count steps; the count is data."""
    model = Training(spherical_valley())

    def one(_, state):
        x, carry = state
        new = step.step(model, 0.0, x, 1.0, None, carry)
        return new.y, new.carry

    def many(state, _):
        state = jax.lax.fori_loop(0, count, one, state)
        return state, state[0]

    start = (x, step.init(model, 0.0, x))
    return jnp.concatenate([x[None], jax.lax.scan(many, start, length=SAMPLES)[1]])


class SphereRun:
    """Gradient descent with weight decay on the sphere's valley, from φ = 1/2.

    Attributes:
        angle: φ at the samples, shape [1001].
        edge: η̃ λ/2, half the effective rate times e^{cos φ}.
        height: θ₃².
        decay: hl.
    """

    def __init__(self, decay: float) -> None:
        """Run it at hl = `decay`, from the flow's own σ."""
        height = np.sqrt(decay * variance(FROM))
        flat = np.sqrt(1 - height**2)
        direction = [flat * np.cos(FROM), flat * np.sin(FROM), height]
        norm = np.sqrt(RATE * np.exp(np.cos(FROM)) / (2 * (1 - decay)))  # η̃ λ = 2
        hyper = {"learning_rate": RATE, "weight_decay": decay / RATE}
        step = OptaxStep(WEIGHT_DECAY_SGD.optimizer, jax.tree.map(jnp.asarray, hyper))
        count = jnp.asarray(round(TAU / SAMPLES / decay))
        w = np.asarray(sampled(step, jnp.asarray(norm * np.array(direction)), count))
        square = np.sum(w**2, axis=1)
        self.decay = decay
        self.angle = np.arctan2(w[:, 1], w[:, 0])
        self.edge = RATE / ((1 - decay) * square) * np.exp(np.cos(self.angle)) / 2
        self.height = w[:, 2] ** 2 / square


def variance(angle: Any, square: float = 1.0, four: float = 4.0) -> Any:
    """The flow's θ₃² over hl at φ; with other factors, a wrong one."""
    return 2 / (four + square * np.sin(angle) ** 2)


def mean(observable: np.ndarray) -> float:
    """The mean under the window sin²(πτ/T): an oscillation's ends drop out."""
    window = np.sin(np.pi * np.linspace(0, 1, SAMPLES + 1)) ** 2
    return float(window @ observable / window.sum())


def runs(ctx: Context) -> list[SphereRun]:
    """The ladder of runs, made once."""
    levels = ctx.choose(5, 7)

    def made():
        return [SphereRun(decay) for decay in DECAYS[:levels]]

    return ctx.compiled(levels, made)


def path(speed) -> np.ndarray:
    """Samples of φ along φ' = speed(φ), by scipy to 1e-10."""
    from scipy.integrate import solve_ivp

    found = solve_ivp(
        lambda t, y: speed(y),
        (0.0, TAU),
        [FROM],
        t_eval=np.linspace(0.0, TAU, SAMPLES + 1),
        method="DOP853",
        rtol=1e-11,
        atol=1e-12,
    )
    return found.y[0]


def flow_angle(ctx: Context) -> np.ndarray:
    """φ of the flow at the samples."""
    flow = SharpnessReductionFlow(
        spherical_valley(), WeightDecayOscillation(), Chart(circle)
    )
    field = jax.jit(lambda y: flow.vector_field(0.0, y))
    return ctx.compiled("flow", lambda: path(lambda y: np.asarray(field(y))))


@claim(
    "central_flow.sphere-flow",
    title="Weight decay flattens a scale-invariant loss at the rate of its flow",
    source=LYU,
    statement=r"\frac{d\phi}{d\tau} = -\frac{2\,(\log\lambda)'}{4 + (\log\lambda)'^2},"
    r"\ \lambda = e^{\cos\phi},\ \tau = hlk:\quad"
    r" \|\phi_k - \phi(\tau)\|_{L^2(0, 6.4)} = O(hl)",
    hypotheses=(
        r"start at $\tilde\eta\lambda = 2$ with the oscillation's own $\theta_3^2 ="
        r" 2hl/(4 + |\nabla\log\lambda|^2)$",
    ),
    grade="measured",
    delta=0.75,
    unit="order in hl",
)
def sphere_flow(ctx: Context) -> Evidence:
    """The optimiser of optax from the balanced start, hl halved from 1.6e-3."""
    return _distance(ctx)


def _distance(ctx: Context, exact: Any = None) -> Evidence:
    """Order in hl of the root mean square of φ_k - φ(τ), under the window."""
    exact = flow_angle(ctx) if exact is None else exact
    found = runs(ctx)
    errors = np.sqrt([mean((run.angle - exact) ** 2) for run in found])
    note = f"h = {RATE}; last error {errors[-1]:.1e}"
    decays = [run.decay for run in found]
    return decide.order(1.0, decays, errors, floor=1e-9, note=note)


@sphere_flow.control("without the square of the gradient", expected=0.0)
def _(ctx: Context) -> Evidence:
    wrong = path(lambda y: variance(y, square=0.0) * np.sin(y))
    return _distance(ctx, exact=wrong)


def _ratio(ctx: Context, measure, **about) -> Evidence:
    """A mean of the runs over what it tends to, on every second rung of hl."""
    rungs = [measure(run) for run in runs(ctx)][::2]
    return decide.equal(1.0, decide.ladder(rungs), delta=ctx.delta, **about)


@claim(
    "central_flow.sphere-means",
    title="On the sphere weight decay sits at the edge, with the flow's variance",
    source=LYU,
    statement=r"\langle\tilde\eta\lambda\rangle \to 2,\quad \Bigl\langle"
    r"\theta_3^2\,\frac{4 + |\nabla\log\lambda|^2}{2hl}\Bigr\rangle \to 1,\quad"
    r" \langle\phi_k\rangle \to \langle\phi\rangle\qquad (hl \to 0)",
    hypotheses=("means over τ in [0, 6.4] under a smooth window",),
    grade="measured",
    delta=2e-3,
    quick_delta=2e-3,
    unit="mean over its limit",
)
def sphere_means(ctx: Context):
    """The effective sharpness, the variance and the angle of three runs."""
    yield _ratio(ctx, lambda run: mean(run.edge), note="η̃ λ/2")
    yield _height(ctx)
    yield _angle(ctx, flow_angle(ctx))


def _height(ctx: Context, **wrong: float) -> Evidence:
    def measure(run):
        return mean(run.height / (run.decay * variance(run.angle, **wrong)))

    return _ratio(ctx, measure, note="θ₃²/σ²")


def _angle(ctx: Context, path: np.ndarray) -> Evidence:
    return _ratio(ctx, lambda run: mean(run.angle) / mean(path), note="φ")


@sphere_means.control("φ without the square of the gradient")
def _(ctx: Context) -> Evidence:
    return _angle(ctx, path(lambda y: variance(y, square=0.0) * np.sin(y)))


@sphere_means.control("φ with 2 in place of 4")
def _(ctx: Context) -> Evidence:
    return _angle(ctx, path(lambda y: variance(y, four=2.0) * np.sin(y)))


@sphere_means.control("φ with λ in place of log λ")
def _(ctx: Context) -> Evidence:
    def speed(y):
        slope = np.exp(np.cos(y)) * np.sin(y)
        return 2 * slope / (4 + slope**2)

    return _angle(ctx, path(speed))


@sphere_means.control("θ₃² without the square of the gradient")
def _(ctx: Context) -> Evidence:
    return _height(ctx, square=0.0)
