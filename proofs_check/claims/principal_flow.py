"""The principal flow: exact on quadratics, where it turns, where it grows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from discretize import Euler, drift_adjusted, modified_terms
from flows import Flow, GradientFlow, PrincipalFlow, PrincipalState, reference
from flows.problems import quadratic, taylor_polynomial, wavy
from flows.symbolic import exactly, symbols_like
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.decide import GrowthRate
from proofs_check.evidence import Evidence
from proofs_check.identities import identical

ROSCA = Source(
    title="On a continuous time model of gradient descent dynamics and instability in "
    "deep learning",
    authors="Mihaela Rosca, Yan Wu, Chongli Qin and Benoit Dherin",
    year=2023,
    arxiv="2302.01952",
    location="the principal flow",
)

EQUATION = (
    r"\dot\theta = \sum_i\frac{\log(1-h\lambda_i)}{h\lambda_i}"
    r"(u_i^\top\nabla f)\,u_i"
)
PRODUCTS = np.array([0.27, 1.53, 2.16])
"""hλ of three modes: monotone, oscillating, oscillating and growing."""


class _RealLogarithm(Flow):
    """The principal flow with log|1 - hλ| alone: a negative control."""

    principal: PrincipalFlow

    def vector_field(self, t, y):
        """The field of a real state; its imaginary part dropped."""
        return PrincipalState(
            self.principal.vector_field(t, y).position, jnp.zeros_like(y.imaginary)
        )


def _end(flow, x, t1, rtol: float) -> PrincipalState:
    """The state at time t1 from the real start x."""
    run = reference(flow, PrincipalState(x, jnp.zeros_like(x)), t1, tolerance=rtol)
    return jax.tree.map(lambda a: np.asarray(a[-1]), run.states)


# Exact on quadratics.


@claim(
    "gradient_flow.principal-quadratic",
    title="On a quadratic the principal flow passes through gradient descent",
    source=ROSCA,
    statement=EQUATION + r":\quad \theta(kh) = \sum_i(1-h\lambda_i)^k u_i u_i^\top"
    r"\theta(0),\quad h\lambda_i\in\{0.27,\,1.53,\,2.16\}",
    hypotheses=(r"$f = \tfrac12 x^\top A x$", r"$h\lambda_i \ne 1$"),
    grade="measured",
    delta=1e-6,
    unit="the mode's amplitude after five steps, from 1",
)
def principal_quadratic(ctx: Context) -> Iterator[Evidence]:
    """The three modes after five steps, and their imaginary parts, by tolerance."""
    yield from _modes(ctx, PrincipalFlow, (0, 1, 2))


def _modes(ctx: Context, model, modes) -> Iterator[Evidence]:
    h = 0.3
    flow = model(quadratic(PRODUCTS / h), h)
    runs = [_end(flow, jnp.ones(3), 5 * h, rtol) for rtol in (1e-7, 1e-10, 1e-13)]
    for i in modes:
        value = decide.ladder([float(run.position[i]) for run in runs])
        exact = float((1 - PRODUCTS[i]) ** 5)
        name = f"hλ = {PRODUCTS[i]:g}"
        yield decide.equal(exact, value, delta=ctx.delta, quantity=name)
    if len(modes) > 1:
        left = [max(abs(run.imaginary)) for run in runs]
        zero = decide.ladder(left, bias=1e-9)
        yield decide.equal(
            0.0, zero, delta=ctx.delta, scale=1.0, quantity="imaginary part, largest"
        )


@principal_quadratic.control("the real logarithm log|1 - hλ|", expected=float(0.53**5))
def _(ctx: Context) -> Iterator[Evidence]:
    return _modes(ctx, lambda f, h: _RealLogarithm(PrincipalFlow(f, h)), (1,))


# Where it turns and where it grows.


def _rates(ctx: Context, claimed: float, measure) -> Evidence:
    """The sign of `measure` (hλ, rtol) at both ends of a bracket around `claimed`."""
    rates = []
    for a in decide.bracket_ends(claimed, ctx.delta):
        coarse, fine = (measure(a, rtol) for rtol in (1e-8, 1e-11))
        rates.append(GrowthRate(a, fine, bias=2 * abs(fine - coarse)))
    return decide.threshold(claimed, rates, delta=ctx.delta)


def _growth(real: bool):
    """Growth per step of |θ| over five steps on λx²/2, h = 0.3."""

    def rate(a, rtol):
        f = quadratic([a / 0.3])
        flow = GradientFlow(f) if real else PrincipalFlow(f, 0.3)
        if real:  # in the same state, its imaginary part left alone
            flow = _Still(flow)
        end = _end(flow, jnp.ones(1), 1.5, rtol)
        return float(np.log(np.hypot(end.position[0], end.imaginary[0]))) / 5

    return rate


class _Still(Flow):
    """A real flow in the state of the principal flow."""

    flow: Flow

    def vector_field(self, t, y):
        """The flow's field on the real part, 0 on the imaginary one."""
        return PrincipalState(
            self.flow.vector_field(t, y.position), jnp.zeros_like(y.imaginary)
        )


@claim(
    "gradient_flow.principal-edge",
    title="The principal flow's modes grow beyond the edge of stability hλ = 2",
    source=ROSCA,
    statement=EQUATION + r":\quad \mathrm{Re}\log(1-h\lambda) < 0 \iff"
    r" 0 < h\lambda < 2",
    hypotheses=(r"$f = \lambda x^2/2$, $\lambda > 0$",),
    grade="measured",
    delta=1e-3,
    unit="hλ (no unit)",
)
def principal_edge(ctx: Context) -> Evidence:
    """Growth of |θ| per step on both sides of hλ = 2."""
    return _rates(ctx, 2.0, _growth(real=False))


@principal_edge.control("gradient flow in its place, which never grows")
def _(ctx: Context) -> Evidence:
    return _rates(ctx, 2.0, _growth(real=True))


def _turn(model):
    """Share of a half turn in the complex plane, less 1/2, within one step."""

    def rate(a, rtol):
        end = _end(model(quadratic([a / 0.3]), 0.3), jnp.ones(1), 0.15, rtol)
        angle = np.arctan2(end.imaginary[0], end.position[0])
        return float(2 * angle / np.pi) - 0.5

    return rate


@claim(
    "gradient_flow.principal-turn",
    title="The principal flow leaves the real line beyond hλ = 1",
    source=ROSCA,
    statement=EQUATION + r":\quad \mathrm{Im}\log(1-h\lambda) = 0"
    r"\ (h\lambda < 1),\quad \pi\ (h\lambda > 1)",
    hypotheses=(r"$f = \lambda x^2/2$, $\lambda > 0$",),
    grade="measured",
    delta=1e-3,
    unit="hλ (no unit)",
)
def principal_turn(ctx: Context) -> Evidence:
    """The angle of θ at half a step, on both sides of hλ = 1: 0, or a quarter turn."""
    return _rates(ctx, 1.0, _turn(PrincipalFlow))


@principal_turn.control("the real logarithm log|1 - hλ|")
def _(ctx: Context) -> Evidence:
    return _rates(ctx, 1.0, _turn(lambda f, h: _RealLogarithm(PrincipalFlow(f, h))))


# Which terms of the modified equation it keeps.


@claim(
    "gradient_flow.principal-terms",
    title="On a quadratic f_j = -H^{j-1}∇f/j, the series of log(1 - hλ)/(hλ)",
    source=ROSCA,
    statement=r"f_j = -\tfrac1j H^{j-1}\nabla f,\quad"
    r" \frac{\log(1-a)}{a} = -\sum_{j\ge1}\frac{a^{j-1}}{j}",
    hypotheses=(r"$f$ a generic quadratic polynomial in two variables",),
    grade="proved",
)
def principal_terms(ctx: Context) -> Evidence:
    """The terms of the modified equation, traced with every coefficient a symbol."""
    return _log_series(ctx.choose(3, 4))


def _log_series(top: int, weight=lambda j: j) -> Evidence:
    polynomial = symbols_like(taylor_polynomial(2, 2))

    def difference(f):
        fields, x = modified_terms(Euler(), GradientFlow(f), top), jnp.zeros(2)
        power, gaps = f.gradient(x), []
        for j, field in enumerate(fields, start=1):
            gaps.append(weight(j) * field(0.0, x) + power)
            power = f.hvp(x, power)
        return jnp.concatenate(gaps)

    found = exactly(difference, polynomial)
    zero = np.zeros(found.shape, dtype=int).astype(object)
    return identical(found, zero, "j f_j + H^(j-1)∇f")


@principal_terms.control("1/j! in place of 1/j")
def _(ctx: Context) -> Evidence:
    return _log_series(3, weight=lambda j: (1, 2, 6)[j - 1])


# Off quadratics: the first term that it lacks.


class _Corrected(Flow):
    """The principal flow plus weight · h² T[g, g]/12."""

    principal: PrincipalFlow
    weight: jax.Array

    def vector_field(self, t, y):
        """The field, corrected on the real part."""
        f, h = self.principal.objective, self.principal.h
        g = f.gradient(y.position)
        field = self.principal.vector_field(t, y)
        extra = self.weight * h**2 / 12 * f.third(y.position, g, g)
        return field._replace(position=field.position + extra)


RATES = 0.1 * 0.5 ** np.arange(6)
START = jnp.array([1.2, 0.8])


def _defects(weight: float) -> np.ndarray:
    """x₁ - θ(h) after one step of gradient descent, shape [levels, 2]."""
    f, out = wavy(), []
    for h in RATES:
        flow = _Corrected(PrincipalFlow(f, h), jnp.asarray(weight))
        step = np.asarray(START - h * f.gradient(START))
        out.append(step - _end(flow, START, h, 1e-14).position)
    return np.array(out)


@claim(
    "gradient_flow.principal-local-order",
    title="Off quadratics the principal flow's defect is -(h³/12) ∇³f[∇f, ∇f]",
    source=ROSCA,
    statement=r"x_1 - \theta(h) = -\tfrac{h^3}{12}\,\nabla^3 f[\nabla f,\nabla f]"
    r" + O(h^4)",
    hypotheses=(r"$f$ smooth", r"$h\lambda_{\max} < 1$: the orbit stays real"),
    grade="measured",
    delta=0.75,
    unit="order in h (time unit: 1/curvature)",
)
def principal_local_order(ctx: Context) -> Iterator[Evidence]:
    """The order of one step's defect, and its leading constants."""
    defects = _defects(0.0)
    sizes = np.linalg.norm(defects, axis=1)
    yield decide.order(3, RATES, sizes, floor=1e-15)
    g = wavy().gradient(START)
    constants = -np.asarray(wavy().third(START, g, g)) / 12
    for i, c in enumerate(constants):
        yield decide.leading_constant(
            float(c),
            RATES,
            defects[:, i],
            3,
            delta=0.01,
            floor=1e-15,
            quantity=f"leading constant, coordinate {i}",
        )


@principal_local_order.control("-(h²/12)∇³f[∇f, ∇f] added to the field", expected=4.0)
def _(ctx: Context) -> Evidence:
    sizes = np.linalg.norm(_defects(-1.0), axis=1)
    return decide.order(3, RATES, sizes, floor=1e-15)


@claim(
    "gradient_flow.principal-corrected",
    title="With -(h²/12) ∇³f[∇f, ∇f] added the principal flow has local order 4",
    source=ROSCA,
    statement=r"\dot\theta = \text{principal flow} -"
    r" \tfrac{h^2}{12}\,\nabla^3 f[\nabla f,\nabla f]:\quad x_1 - \theta(h) = O(h^4)",
    hypotheses=(r"$f$ smooth", r"$h\lambda_{\max} < 1$: the orbit stays real"),
    grade="measured",
    delta=0.75,
    unit="order in h (time unit: 1/curvature)",
)
def principal_corrected(ctx: Context) -> Evidence:
    """The order of one step's defect."""
    sizes = np.linalg.norm(_defects(-1.0), axis=1)
    return decide.order(4, RATES, sizes, floor=1e-15)


@principal_corrected.control("the sign of the added term flipped", expected=3.0)
def _(ctx: Context) -> Evidence:
    sizes = np.linalg.norm(_defects(1.0), axis=1)
    return decide.order(4, RATES, sizes, floor=1e-15)


# The learning rate that its authors take from the drift.


@claim(
    "gradient_flow.drift-adjusted-rate",
    title="At an eigenvector the drift-adjusted learning rate is 2/λ^p: for p = 1 the "
    "edge of stability",
    source=dataclasses.replace(ROSCA, location="drift-adjusted learning rates (DAL-p)"),
    statement=r"h = \frac{2}{|\nabla^2 f\,\hat g|^p},\ \hat g = \nabla f/|\nabla f|,"
    r"\quad \nabla^2 f\,\hat g = \lambda\hat g:\quad h = 2/\lambda^p;\quad"
    r" p = 1:\ x - h\nabla f = -x\ \text{on } f = \tfrac\lambda2 x^2",
    hypotheses=(
        r"$x \ne 0$, $p = 1, 2$",
        r"$\lambda > 1$: $2/\lambda^p$ is below the clip, here 5",
    ),
    grade="proved",
)
def drift_adjusted_rate(ctx: Context) -> Iterator[Evidence]:
    """A step of the optimiser traced on a quadratic, both eigenvalues symbols."""
    yield _drift_adjusted(1, 1)
    yield _drift_adjusted(2, 2)


def _drift_adjusted(power: int, claimed: int, wide: bool = True) -> Evidence:
    import sympy

    beyond, other, x0 = sympy.symbols("s nu x_0", positive=True)
    lam = beyond + 1 if wide else sympy.Rational(1, 5)

    def step(matrix, x):
        f = dataclasses.replace(quadratic([1.0, 1.0]), matrix=matrix)
        optimizer = drift_adjusted(float(power), clip=5.0)
        moves, _ = optimizer.update(
            f.gradient(x), optimizer.init(x), x, value_fn=f.value
        )
        return x + moves

    matrix = np.array([lam, other], dtype=object)
    end = exactly(step, matrix, np.array([x0, sympy.Integer(0)], dtype=object))
    expected = np.array([x0 - 2 * lam * x0 / lam**claimed, 0], dtype=object)
    return identical(end, expected, f"x - (2/λ^{claimed}) λx, p = {power}")


@drift_adjusted_rate.control("p = 2 where p = 1 is claimed")
def _(ctx: Context) -> Evidence:
    return _drift_adjusted(2, 1)


@drift_adjusted_rate.control("λ = 1/5, where the rate is clipped")
def _(ctx: Context) -> Evidence:
    return _drift_adjusted(1, 1, wide=False)
