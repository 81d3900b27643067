"""A valley that narrows: exact orbits of optimisers at the edge of stability."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import sympy

from discretize import OptaxStep, Training
from discretize.jury import jury_conditions
from flows import CentralFlow, from_sympy, iterate
from flows.central import GradientDescent, solve_sections
from flows.problems import valley
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.decide import GrowthRate
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.momentum_optimisers import averaged
from proofs_check.papers import central_flows

COHEN = central_flows("the central flow; the example and its orbits are derived here")
MORE = 1 + sympy.Rational(1, 1000)
STATEMENT = r"L = s(z)\tfrac{x^2}{2} + f(z)"


def descent(eta):
    """Gradient descent."""
    return optax.sgd(eta)


def generic(s0: Any, amplitude: Any, slope: Any, descent: Any) -> Any:
    """S(z) = s0 + slope z + ..., f = -descent z + ...: cubic, about the orbit's z."""
    x, z = sympy.symbols("x z", real=True)
    names = sympy.symbols("s_0 s_1 s_2 s_3 f_1 f_2 f_3", real=True)
    s0_, s1, s2, s3, f1, f2, f3 = names
    loss = (s0_ + s1 * z + s2 * z**2 + s3 * z**3) * x**2 / 2
    made = from_sympy(
        loss - f1 * z + f2 * z**2 + f3 * z**3, [x, z], dict.fromkeys(names, 1.0)
    )
    values = {"s_0": s0, "s_1": slope, "f_1": descent}
    values = {s.name: values.get(s.name, s) for s in names}
    start = np.array([amplitude, sympy.Integer(0)], dtype=object)
    return _with(made, values), start


def _with(objective: Any, values: dict) -> Any:
    import equinox as eqx

    return eqx.tree_at(lambda o: o.parameters, objective, values)


# -- the orbit of gradient descent and of the mean of gradients -----------------


def image_of_step(build: Callable, hyper: dict, buffer: Any, f: Any, start: Any) -> Any:
    """Position and buffer after one traced step of optax from (start, buffer)."""

    def step(hyper, f, x, *buffers):
        optimizer = build(**hyper)
        leaves, tree = jax.tree.flatten(optimizer.init(x))
        given = iter(buffers)
        filled = [next(given) if _moves(a) else a for a in leaves]
        state = jax.tree.unflatten(tree, filled)
        updates, state = optimizer.update(f.gradient(x), state, x)
        new = [a for a in jax.tree.leaves(state) if _moves(a)]
        return optax.apply_updates(x, updates), new

    return exactly(step, hyper, f, start, *buffer)


def _moves(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating)


def same(found: Any, wanted: Any, name: str) -> Evidence:
    """Entry by entry."""
    a, b = (
        np.array([sympy.sympify(e) for e in np.ravel(side)]) for side in (found, wanted)
    )
    return identical(a, b, name)


def _orbit(factor: Any) -> Iterator[Evidence]:
    """The mirror image after one step, from x² = -2 f'/s' times `factor`²."""
    eta, s1, f1 = sympy.symbols("eta s_1 f_1", positive=True)
    beta = 1 / (1 + sympy.Symbol("r", positive=True))
    amplitude = factor * sympy.sqrt(2 * f1 / s1)
    mirror = np.array([-amplitude, 0], dtype=object)
    f, start = generic(2 / eta, amplitude, s1, f1)
    new, _ = image_of_step(descent, {"eta": eta}, (), f, start)
    yield same(new, mirror, "descent: (x, z*) ↦ (-x, z*)")
    threshold = 2 * (1 + beta) / ((1 - beta) * eta)
    f, start = generic(threshold, amplitude, s1, f1)
    buffer = np.array([-2 * amplitude / eta, 0], dtype=object)
    hyper = {"eta": eta, "beta": beta}
    new, (after,) = image_of_step(averaged, hyper, [buffer], f, start)
    yield same(new, mirror, "mean of gradients: (x, z*) ↦ (-x, z*)")
    yield same(after, -buffer, "mean of gradients: its buffer alternates")


@claim(
    "central_flow.valley-orbit",
    title="In a narrowing valley the central flow's σ² is an exact orbit of period 2",
    source=COHEN,
    statement=STATEMENT + r":\quad x \mapsto -x,\ z = z^*,\quad s(z^*) = cP,\quad"
    r" x^2 = \sigma^2 = -\frac{2 f'(z^*)}{s'(z^*)},\quad"
    r" L = f(z^*) + \tfrac12 cP\,\sigma^2\ \text{on it}",
    hypotheses=(
        r"$s'(z^*) > 0 > f'(z^*)$",
        r"gradient descent: $cP = 2/\eta$; mean of gradients:"
        r" $cP = 2(1+\beta)/((1-\beta)\eta)$; its loss is that of gradient descent",
    ),
    grade="proved",
    delta=1e-6,
    unit="x²",
)
def valley_orbit(ctx: Context) -> Iterator[Evidence]:
    """Optax's traced step on cubic s and f with symbols for coefficients.

    A step sees s, s' and f' at z* alone, so that cubics stand for every s and f.
    """
    yield from _orbit(1)
    eta, s1, f1, x = sympy.symbols("eta s_1 f_1 x", positive=True)
    f, start = generic(2 / eta, x, s1, f1)
    gain = exactly(lambda f, w: f.value(w) - f.value(jnp.zeros(2)), f, start)
    yield same(gain, x**2 / eta, "L on the orbit minus f(z*)")


@valley_orbit.control("amplitude times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return next(_orbit(MORE))


ETA = 0.1
VALLEY = {"sharpness": 20.0, "narrowing": 1.5, "descent": 0.3, "curvature": 0.8}


def run(build: Callable, hyper: dict, problem: Any, start: Any, steps: int) -> Any:
    """The iterates of optax from (x, z) = start, shape [steps + 1, 2]."""
    made = _BUILT.setdefault(build, lambda hyper: build(**hyper))
    found = iterate(
        OptaxStep(made, {k: jnp.asarray(v) for k, v in hyper.items()}),
        Training(problem),
        jnp.asarray(start),
        h=1.0,
        steps=steps,
        throw=False,
    )
    return np.array(found.positions)


_BUILT: dict[Callable, Callable] = {}


def _settled(ctx: Context, **changes: float) -> Evidence:
    """x² of gradient descent after 400, 600 and 800 steps, from off the orbit."""
    problem = valley(**{**VALLEY, **changes})
    x = run(descent, {"eta": ETA}, problem, [0.5, 0.1], 800)[:, 0]
    values = (x[[400, 600, 800]] ** 2).tolist()
    # rounding of each step is damped over some thirty
    return decide.equal(0.4, decide.ladder(values, condition=100), delta=ctx.delta)


@valley_orbit.route("gradient descent settles on it", grade="measured")
def _(ctx: Context) -> Evidence:
    return _settled(ctx)


@valley_orbit.control("descent away from the edge: a floor that falls back", expected=0)
def _(ctx: Context) -> Evidence:
    return _settled(ctx, descent=-0.3)


@valley_orbit.route("the complementarity problem", grade="measured")
def _(ctx: Context) -> Iterator[Evidence]:
    """A central flow from below the edge: σ² and z after it is met, by tolerance."""
    import diffrax

    problem = valley(**{**VALLEY, "sharpness": 19.9})
    flow = CentralFlow(problem, GradientDescent(ETA))
    sigma, depth = [], []
    for tolerance in (1e-6, 1e-8, 1e-10):
        found = solve_sections(
            flow,
            flow.start(jnp.zeros(2)),
            0.0,
            100.0,
            stepsize_controller=diffrax.PIDController(tolerance, tolerance),
        )
        sigma.append(float(found.aux.variance[-1]))  # pyright: ignore
        depth.append(float(found.positions[-1, 1]))
    z = 0.1 / 1.5
    exact = 2 * (0.3 - 0.8 * z) / 1.5
    for name, known, values in (("σ²", exact, sigma), ("z*", z, depth)):
        measured = decide.ladder(values, condition=100.0)
        yield decide.equal(known, measured, delta=ctx.delta, quantity=name)


# -- whether the orbit attracts ---------------------------------------------------


def _conditions(factor: Any) -> Iterator[Evidence]:
    """Jury's conditions on the Jacobian of the traced step, x ↦ -x undone."""
    eta, a, k, s1 = sympy.symbols("eta a k sigma", positive=True)
    f, start = generic(2 / eta, s1, a, a * s1**2 / 2)
    f = _with(f, {**f.parameters, "s_2": 0, "s_3": 0, "f_2": k / 2, "f_3": 0})

    def jacobian(eta, f, x):
        return jax.jacfwd(lambda x: x - eta * f.gradient(x))(x)

    j = sympy.Matrix(exactly(jacobian, eta, f, start))
    j = sympy.diag(-1, 1) * j
    gain = factor * eta**2 * a**2 * s1**2
    trace = same(j.trace(), 2 - eta * k, "trace = 2 - η k")
    yield same(j.det(), 1 - eta * k + gain, "det = 1 - η k + η² a² σ²")
    yield trace
    found = jury_conditions([1, -j.trace(), j.det()])
    wanted = [gain, 4 - 2 * eta * k + gain, eta * k - gain]
    yield same(found[:3], wanted, "conditions: σ ≠ 0, 2 η k < 4 + η²a²σ², η a²σ² < k")


@claim(
    "central_flow.valley-stability",
    title="The orbit attracts where the floor's damping beats the oscillation's gain",
    source=COHEN,
    statement=STATEMENT + r",\ s = 2/\eta + az,\ f' (0) = -d,\ f'' = k:\quad"
    r"\text{attracting} \iff \eta a^2\sigma^2 < k\ \text{and}"
    r"\ 2\eta k < 4 + \eta^2a^2\sigma^2,\quad \sigma^2 = 2d/a",
    hypotheses=(r"gradient descent", r"$a, d > 0$"),
    grade="proved",
    delta=0.01,
    quick_delta=0.1,
    unit="k / (η a² σ²)",
)
def valley_stability(ctx: Context) -> Iterator[Evidence]:
    """Trace and determinant of the traced step, turned round; Jury's conditions."""
    yield from _conditions(1)


@valley_stability.control("gain times 1 + 1/1000")
def _(ctx: Context) -> Evidence:
    return next(_conditions(MORE))


def _growth(eta: float, curvature: float, steps: int) -> GrowthRate:
    """Growth per step of a disturbance of 1e-9 of the orbit, for k = `curvature`."""
    problem = valley(2 / eta, 1.5, 3.0, curvature)
    orbit = np.asarray(problem.orbit(2 / eta).position)
    x = run(descent, {"eta": eta}, problem, orbit + np.array([1e-9, 0]), steps)
    x[1::2, 0] *= -1
    # the linear step multiplies this form, det[v, Mv], by its determinant
    gap = x - orbit
    far = np.any(np.abs(gap) > 1e-3, axis=1)  # no longer linear
    steps = int(np.argmax(far)) - 1 if far.any() else steps
    gap = gap[: steps + 1]
    form = gap[:, 0] ** 2 + gap[:, 1] ** 2
    form += curvature / (1.5 * orbit[0]) * gap[:, 0] * gap[:, 1]
    size = 0.5 * np.log(form)
    half, middle = steps // 2, 3 * steps // 4
    rate = (size[-1] - size[half]) / (steps - half)
    late = (size[-1] - size[middle]) / (steps - middle)
    return GrowthRate(curvature, rate, bias=2 * abs(rate - late))


def _threshold(ctx: Context, factor: float) -> Evidence:
    eta = 0.1
    claimed = factor * eta * 1.5**2 * (2 * 3.0 / 1.5)
    ends = decide.bracket_ends(claimed, ctx.delta)
    steps = ctx.choose(1000, 20000)
    rates = [_growth(eta, k, steps) for k in ends]
    return decide.threshold(
        claimed, rates, delta=ctx.delta, rising=False, quantity="growth rate over k"
    )


@valley_stability.route("growth of a disturbance", grade="measured")
def _(ctx: Context) -> Evidence:
    return _threshold(ctx, 1.0)


@valley_stability.control("η a² σ²/2 for the gain")
def _(ctx: Context) -> Evidence:
    return _threshold(ctx, 0.5)


def _distance(ctx: Context, curvature: float) -> Evidence:
    """Largest distance to the orbit over the last 100 of 800 steps."""
    problem = valley(20.0, 1.5, 0.3, curvature)
    orbit = np.asarray(problem.orbit(2 / ETA).position)
    x = np.abs(run(descent, {"eta": ETA}, problem, [0.5, 0.1], 800)[-100:])
    gap = float(np.max(np.linalg.norm(x - np.abs(orbit), axis=1)))
    return decide.upper_bound(
        1e-9, decide.Measurement(gap, bias=1e-15), delta=ctx.delta, unit="distance"
    )


@valley_stability.route("distance to the orbit after 700 steps", grade="measured")
def _(ctx: Context) -> Evidence:
    return _distance(ctx, 0.8)


@valley_stability.control("a floor without curvature, k = 0")
def _(ctx: Context) -> Evidence:
    return _distance(ctx, 0.0)
