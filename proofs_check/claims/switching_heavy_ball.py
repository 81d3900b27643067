"""Heavy ball as a damped flow in steps: the map, schedules, areas, stability limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from discretize import (
    Euler,
    MomentumEuler,
    from_heavy_ball,
    momentum_schedules,
    prove,
    to_heavy_ball,
)
from discretize.jury import jury_conditions
from discretize.rows.damped import DAMPED_ROWS
from flows import DampedFlow, PhaseState, PowerSchedule
from flows.problems import quadratic
from flows.symbolic import exactly
from proofs_check import decide
from proofs_check.claim import Source, claim
from proofs_check.context import Context
from proofs_check.decide import GrowthRate
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.momentum_steps import (
    Slope,
    momentum_step,
    positive,
    quadratic_step,
)
from proofs_check.papers import losing_momentum

POLYAK = Source(
    title="Some methods of speeding up the convergence of iteration methods",
    authors="Boris T. Polyak",
    year=1964,
    location="heavy ball; the map to the damped flow's schemes is derived here",
)
STEPS = replace(
    POLYAK,
    location="heavy ball; areas and limits of the damped flow's schemes derived here",
)
LOSING = losing_momentum("losing momentum; the schedules for optax are derived here")
SCHEMES = {rule: MomentumEuler(rule) for rule in ("explicit", "exponential")}
IMPLICIT = MomentumEuler("implicit")


# The map.


@claim(
    "pdmp.heavy-ball-map",
    title="Heavy ball is semi-implicit Euler on the damped flow, exactly",
    source=POLYAK,
    statement=r"v \leftarrow \tfrac{m}{m+\alpha h} v - \tfrac{h}{m+\alpha h}\nabla f,"
    r"\ x \leftarrow x + h v\ \ \text{is heavy ball with}\ "
    r"h = \tfrac{\alpha\eta}{1-\beta},\ m = \tfrac{\alpha^2\eta\beta}{(1-\beta)^2}",
    hypotheses=(r"$0 < \beta < 1$, $\eta, \alpha > 0$", r"$v_0 = 0$", "any f"),
    grade="proved",
)
def heavy_ball_map(ctx: Context) -> Evidence:
    """Two traced steps of optax.sgd and of the scheme, with symbols throughout."""
    return decide.identity(prove(DAMPED_ROWS[0]), name="optax = implicit friction")


@heavy_ball_map.control("the mass of explicit friction")
def _(ctx: Context) -> Evidence:
    wrong = replace(DAMPED_ROWS[0], dynamics=DAMPED_ROWS[1].dynamics)
    return decide.identity(prove(wrong), name="optax = implicit friction")


@heavy_ball_map.route("explicit friction", grade="proved")
def _(ctx: Context) -> Evidence:
    """Its mass is α²η/(1-β)²."""
    return decide.identity(prove(DAMPED_ROWS[1]), name="optax = explicit friction")


@heavy_ball_map.route("exponential friction", grade="proved")
def _(ctx: Context) -> Evidence:
    """Its mass is -αh/ln β."""
    return decide.identity(prove(DAMPED_ROWS[2]), name="optax = exponential friction")


@heavy_ball_map.route("the inverse", grade="proved")
def _(ctx: Context) -> Evidence:
    """There and back is (η, β) for the three, and η/(1-β) = h/α."""
    eta, ratio, alpha = positive("eta r alpha")
    beta = 1 / (1 + ratio)

    def back(eta, beta, alpha):
        found = []
        for rule in ("implicit", "explicit", "exponential"):
            h, mass, friction = from_heavy_ball(eta, beta, alpha, rule)
            rate, kept = to_heavy_ball(h, mass, friction, rule)
            found += [rate, kept, rate / (1 - kept) * alpha / h]
        return jnp.stack(found)

    return identical(
        exactly(back, eta, beta, alpha),
        np.array(3 * [eta, beta, sympy.Integer(1)]),
        "(η, β, 1)",
    )


# A mass that changes.


@claim(
    "pdmp.losing-momentum-schedule",
    title="A decreasing mass needs optax's momentum to be β_k η_{k-1}/η_k",
    source=LOSING,
    statement=r"\beta_k = \tfrac{m_k}{m_k + \alpha h},\ \eta_k = \tfrac{h^2}{m_k +"
    r"\alpha h}:\quad \text{optax's momentum is}\ \beta_k\,\eta_{k-1}/\eta_k,"
    r"\quad \eta_k \to h/\alpha\ \text{as}\ m_k \to 0",
    hypotheses=(r"$m_k > 0$", r"$v_0 = 0$", "any gradients"),
    grade="proved",
)
def losing_momentum_schedule(ctx: Context) -> Evidence:
    """Three traced updates of optax against three steps; masses m(t) = m₀/(1 + t/τ).

    And the limit of η as m -> 0.
    """
    return _schedules("implicit")


def _schedules(rule: str, change: Any = lambda s, mass, h, alpha: s) -> Evidence:
    h, alpha, initial, scale, *g = positive("h alpha m_0 tau g_0 g_1 g_2")
    x = sympy.Symbol("x", real=True)

    def paths(h, alpha, initial, scale, x, g):
        mass = PowerSchedule(initial, scale, -1.0)
        schedules = momentum_schedules(mass, h, alpha, rule)
        optimizer = change(schedules, mass, h, alpha).optimizer()
        p = x[None]
        y, state = PhaseState(p, jnp.zeros_like(p)), optimizer.init(p)
        for k in range(3):
            updates, state = optimizer.update(g[k][None], state, p)
            p = p + updates
            loss = Slope(None, g[k][None], jnp.zeros((1, 1)), y.position)
            flow = DampedFlow(loss, mass, alpha)
            y = MomentumEuler(rule).step(flow, k * h, y, h, None, None).y
        return p[0], y.position[0]

    a, b = exactly(paths, h, alpha, initial, scale, x, np.array(g))
    left, right = [a], [b]
    if rule != "explicit":  # whose β_k leaves [-1, 1] before m_k is 0
        m = positive("m")

        def rate(h, m, alpha):
            return to_heavy_ball(h, m, alpha, rule).learning_rate

        eta = exactly(rate, h, m, alpha)
        left.append(sympy.limit(eta, m, 0, "+"))
        right.append(h / alpha)
    return identical(np.array(left), np.array(right), "optax = scheme, and lim η")


@losing_momentum_schedule.control("β_k itself")
def _(ctx: Context) -> Evidence:
    def plain(schedules, mass, h, alpha):
        def beta(k):
            m = mass(jnp.asarray(k).astype(float) * h)
            return m / (m + alpha * h)

        return schedules._replace(momentum=beta)

    return _schedules("implicit", plain)


for _name in ("explicit", "exponential"):

    @losing_momentum_schedule.route(f"{_name} friction", grade="proved")
    def _(ctx: Context, rule: str = _name) -> Evidence:
        """β_k η_{k-1}/η_k again; with explicit friction there is no limit m_k -> 0."""
        return _schedules(rule)


# Areas.


@claim(
    "pdmp.momentum-contracts-area",
    title="A momentum step shrinks every area by β, whatever the loss",
    source=STEPS,
    statement=r"\det \frac{\partial(x_{k+1}, v_{k+1})}{\partial(x_k, v_k)} = \beta^n"
    r"\quad\text{for any } f:\mathbb{R}^n\to\mathbb{R};\quad"
    r" \text{so complex roots have the modulus } \sqrt\beta",
    hypotheses=("f twice differentiable",),
    grade="proved",
)
def contracts_area(ctx: Context) -> Evidence:
    """Traced in two dimensions with any gradient and any Hessian at the point."""
    return _area(IMPLICIT)


def _area(scheme: Any) -> Evidence:
    m, alpha, h = positive("m alpha h")
    z = np.array(sympy.symbols("x_0 x_1 v_0 v_1", real=True))
    a, b, c, g, e = sympy.symbols("H_00 H_01 H_11 g_0 g_1", real=True)
    bend = np.array([[a, b], [b, c]])
    at = np.array(sympy.symbols("c_0 c_1", real=True))
    loss = (lambda s, b, c: Slope(None, s, b, c), np.array([g, e]), bend, at)
    new = momentum_step(scheme, loss, m, alpha, h, z)
    matrix = sympy.Matrix(list(new)).jacobian(list(z))
    rule = _rule(scheme)
    kept = exactly(lambda h, m, a: to_heavy_ball(h, m, a, rule).momentum, h, m, alpha)
    return identical(matrix.det(method="berkowitz"), kept**2, "det J = β²")


def _rule(scheme: Any) -> str:
    return getattr(scheme, "friction", "explicit")


@contracts_area.control("explicit Euler, whose determinant depends on the Hessian")
def _(ctx: Context) -> Evidence:
    return _area(Euler())


for _name, _scheme in SCHEMES.items():

    @contracts_area.route(f"{_name} friction", grade="proved")
    def _(ctx: Context, scheme: Any = _scheme) -> Evidence:
        """The same for the other two."""
        return _area(scheme)


# Stability limits.


def _limits(rule: str, k: Any, m: Any, a: Any) -> tuple[Any, Any]:
    """h* and minus the other root of p(-1), for implicit and explicit friction."""
    root = sympy.sqrt(a**2 + 4 * k * m)
    both = (a + root) / k, (root - a) / k
    return both if rule == "implicit" else both[::-1]


def _jury(scheme: Any) -> Any:
    k, m, a, h = positive("kappa m alpha h")
    matrix = quadratic_step(scheme, k, m, a, h)
    conditions = jury_conditions([sympy.Integer(1), -matrix.trace(), matrix.det()])
    return conditions, (k, m, a, h)


def _claimed(rule: str, names: Any, factor: Any) -> list[Any]:
    """The values p(1), p(-1), 1 - det, 1 + det, with the stability limit in p(-1)."""
    k, m, a, h = names
    if rule == "euler":
        edge = (k * (factor * h - a / k) ** 2 + 4 * m - a**2 / k) / m
        det = 1 - h / m * (a - factor * h * k)
        return [h**2 * k / m, edge, 1 - det, 1 + det]
    if rule == "exponential":
        kept = sympy.exp(-a * h / m)
        edge = (1 + kept) / a * (2 * a - factor * k * h * (1 - kept) / (1 + kept))
        return [h * (1 - kept) / a * k, edge, 1 - kept, 1 + kept]
    below, above = _limits(rule, k, m, a)
    whole = m + a * h if rule == "implicit" else m
    kept = m / whole if rule == "implicit" else 1 - a * h / m
    edge = k * (below * factor - h) * (h + above) / whole
    return [h**2 * k / whole, edge, 1 - kept, 1 + kept]


TITLES = {
    "implicit": r"h < \frac{\alpha + \sqrt{\alpha^2 + 4\kappa m}}{\kappa}",
    "explicit": r"h < \frac{-\alpha + \sqrt{\alpha^2 + 4\kappa m}}{\kappa}",
    "exponential": r"h\,\tanh\frac{\alpha h}{2m} < \frac{2\alpha}{\kappa}",
    "euler": r"h < \frac\alpha\kappa\ (\alpha^2 < 4\kappa m),\quad"
    r" h < \frac{\alpha - \sqrt{\alpha^2 - 4\kappa m}}{\kappa}\ \text{otherwise}",
}
NAMES = {
    "implicit": "Implicit friction is stable as m → 0 up to 2α/κ, like descent",
    "explicit": "Explicit friction has a stable step that shrinks like 2m/α",
    "exponential": "Exponential friction is stable up to h tanh(αh/2m) = 2α/κ",
    "euler": "Explicit Euler with momentum is stable only up to h = α/κ",
}
POINT = {"kappa": 1.3, "m": 0.7, "alpha": 0.9}


def _threshold(rule: str, point: dict) -> float:
    k, m, a = (point[n] for n in ("kappa", "m", "alpha"))
    if rule == "euler":
        gap = a * a - 4 * k * m
        return a / k if gap < 0 else (a - np.sqrt(gap)) / k
    if rule == "exponential":
        from scipy.optimize import brentq

        root: Any = brentq(lambda h: h * np.tanh(a * h / 2 / m) - 2 * a / k, 0.1, 100.0)
        return root
    root = np.sqrt(a * a + 4 * k * m)
    return (a + root) / k if rule == "implicit" else (root - a) / k


def _growth(ctx: Context, rule: str, point: dict, h: float) -> GrowthRate:
    """The log of the spectral radius of the step's own Jacobian, a unit of time."""
    scheme = Euler() if rule == "euler" else MomentumEuler(rule)

    def build():
        def step(z, mass, friction, h):
            flow = DampedFlow(quadratic([POINT["kappa"]]), mass, friction)
            y = PhaseState(z[:1], z[1:])
            y = scheme.step(flow, jnp.zeros(()), y, h, None, None).y
            return jnp.concatenate([y.position, y.velocity])

        return jax.jit(jax.jacfwd(step))

    jacobian = ctx.compiled(("jacobian", rule), build)
    values = (jnp.asarray(v) for v in (point["m"], point["alpha"], h))
    radius = np.max(np.abs(np.linalg.eigvals(jacobian(jnp.zeros(2), *values))))
    return GrowthRate(h, np.log(radius) / h, bias=1e-12)


def _stability_claim(rule: str) -> Any:
    scheme = Euler() if rule == "euler" else MomentumEuler(rule)

    @claim(
        f"pdmp.{rule}-{'momentum' if rule == 'euler' else 'friction'}-stability",
        title=NAMES[rule],
        source=STEPS,
        statement=r"\text{stable on}\ \kappa x^2/2 \iff " + TITLES[rule],
        hypotheses=(r"$\kappa, m, \alpha > 0$",),
        grade="proved",
        delta=1e-6,
        unit="h",
    )
    def stability(ctx: Context) -> Evidence:
        """Jury's conditions of the traced step, factorised: signs can be read off."""
        conditions, names = _jury(scheme)
        return identical(
            np.array(conditions),
            np.array(_claimed(rule, names, 1)),
            "Jury's conditions",
        )

    @stability.control("limit times 1 + 1/1000")
    def _(ctx: Context) -> Evidence:
        conditions, names = _jury(scheme)
        factor = 1 + sympy.Rational(1, 1000)
        return identical(
            np.array(conditions),
            np.array(_claimed(rule, names, factor)),
            "Jury's conditions",
        )

    points = [POINT, {**POINT, "m": 0.1}] if rule == "euler" else [POINT]
    for point in points:

        @stability.route(f"growth at m = {point['m']:g}", grade="measured")
        def _(ctx: Context, point: dict = point) -> Evidence:
            """The sign of the growth rate a little below and above the limit."""
            c = float(_threshold(rule, point))
            ends = decide.bracket_ends(c, 0.9 * ctx.delta)
            rates = [_growth(ctx, rule, point, h) for h in ends]
            return decide.threshold(c, rates, delta=ctx.delta, quantity="growth rate")

    return stability


STABILITY = tuple(_stability_claim(rule) for rule in TITLES)
