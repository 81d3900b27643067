"""Momentum residual networks as schemes: semi-implicit Euler, heavy ball, the depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import sympy
from scipy.integrate import solve_ivp

from discretize import (
    MOMENTUM_RESNET,
    MomentumResNet,
    SemiImplicitEuler,
    as_momentum_resnet,
    prove,
)
from flows import MomentumResidualFlow, PhaseState
from flows.symbolic import exactly, symbol_vector
from proofs_check import decide
from proofs_check.claim import claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import vanishing
from proofs_check.papers import momentum_resnets
from proofs_check.step_ladders import ladder, order

X, V, H = sympy.symbols("x v h", real=True)
EPS = sympy.Symbol("epsilon", positive=True)
BENDS = symbol_vector("c", 4)


def _bent(c: Any, t: Any, x: Any) -> Any:
    """A field with a coefficient of every kind: c₀ + c₁ x + c₂ x² + c₃ t x."""
    return c[0] + c[1] * x + c[2] * x**2 + c[3] * t * x


@claim(
    "momentum_resnet.semi-implicit-euler",
    title="A momentum residual network is semi-implicit Euler on ε x'' + x' = F",
    source=momentum_resnets("first section, ε = 1/(1 - γ); with a step h derived here"),
    statement=r"\gamma = 1 - h/\varepsilon,\ f_n(x) = hF(nh, x),\ v_n = h\dot x_n:"
    r"\quad \dot x \mathrel{+}= \tfrac h\varepsilon(F - \dot x),\ x \mathrel{+}="
    r" h\dot x\ \Leftrightarrow\ v \leftarrow \gamma v + (1-\gamma)f_n(x),"
    r"\ x \leftarrow x + v",
    hypotheses=(r"$0 < h \le \varepsilon$", "a field of one variable, quadratic in x"),
    grade="proved",
)
def semi_implicit(ctx: Context) -> Evidence:
    """Two traced layers against two traced steps, all numbers symbols."""
    return _against_scheme(lambda h: h)


def _against_scheme(kick) -> Evidence:
    def network(c, x, v, h, eps):
        net = MomentumResNet(
            lambda p, x: kick(h) * _bent(c, p[0], x), jnp.zeros((2, 1)), 0.0
        )
        # γ is put in here: the constructor's door is for numbers
        net = eqx.tree_at(lambda n: n.momentum, net, 1 - h / eps)
        net = eqx.tree_at(lambda n: n.layers, net, jnp.stack([0 * h, h])[:, None])
        y = net(x, h * v)
        return y.position, y.velocity / h

    def scheme(c, x, v, h, eps):
        flow = MomentumResidualFlow(lambda t, x: _bent(c, t, x), 1.0)
        flow = eqx.tree_at(lambda f: f.mass, flow, eps)
        y = PhaseState(x, v)
        for t in (0 * h, h):
            y = SemiImplicitEuler().step(flow, t, y, h, None, None).y
        return y.position, y.velocity

    symbols = BENDS, X, V, H, EPS
    gaps = [
        sympy.together(a - b)
        for a, b in zip(
            exactly(network, *symbols), exactly(scheme, *symbols), strict=True
        )
    ]
    return vanishing(gaps, "layers - steps")


@semi_implicit.route("the row of the table, with layers -h∇f", grade="proved")
def _(ctx: Context) -> Evidence:
    """Steps of the scheme on the damped flow beside optax.sgd, all numbers symbols."""
    return decide.identity(prove(MOMENTUM_RESNET), name=MOMENTUM_RESNET.name)


@semi_implicit.control("layers h(1 + 1/1000) F")
def _(ctx: Context) -> Evidence:
    return _against_scheme(lambda h: h * 1001 / 1000)


@claim(
    "momentum_resnet.heavy-ball",
    title="With layers -∇f the network is optax.sgd(1 - γ, momentum=γ)",
    source=momentum_resnets("the recursion with v eliminated; derived here"),
    statement=r"x_{n+1} = x_n + \gamma(x_n - x_{n-1}) - (1-\gamma)\nabla f(x_n)",
    hypotheses=("$v_0 = 0$", "a cubic loss of one variable; two steps"),
    grade="proved",
)
def heavy_ball(ctx: Context) -> Evidence:
    """Two traced layers against two traced updates, γ, f and x symbols."""
    return _against_optax(lambda gamma: 1 - gamma)


def _against_optax(rate) -> Evidence:
    gamma = sympy.Symbol("gamma", positive=True)

    def slope(c, x):
        return c[0] + c[1] * x + c[2] * x**2

    def network(c, x, gamma):
        net = MomentumResNet(lambda p, x: -slope(c, x), jnp.zeros(2), 0.0)
        return eqx.tree_at(lambda n: n.momentum, net, gamma)(x).position

    def updates(c, x, gamma):
        optimizer = optax.sgd(rate(gamma), momentum=gamma)
        state = optimizer.init(x)
        for _ in range(2):
            moves, state = optimizer.update(slope(c, x), state)
            x = x + moves
        return x

    symbols = BENDS, X, gamma
    gap = sympy.expand(exactly(network, *symbols) - exactly(updates, *symbols))
    return vanishing(gap, "layers - updates")


@heavy_ball.control("learning rate 1, without the factor 1 - γ")
def _(ctx: Context) -> Evidence:
    return _against_optax(lambda gamma: 1.0)


# The depth limit, on a field of two variables.

START, MASS, TIME = np.array([1.0, -0.5]), 0.3, 2.0


def field(t: Any, x: Any) -> Any:
    """F = (sin x₂ - x₁, cos(x₁)/2 - x₂)."""
    del t
    return jnp.stack([jnp.sin(x[1]) - x[0], 0.5 * jnp.cos(x[0]) - x[1]])


def _precisely(flow: Any, y: np.ndarray) -> np.ndarray:
    """The flow's position at the end, by scipy on its own vector field."""
    phase = isinstance(flow, MomentumResidualFlow)
    rhs = jax.jit(
        lambda t, y: (
            jnp.concatenate(flow.vector_field(t, PhaseState(y[:2], y[2:])))
            if phase
            else flow.vector_field(t, y)
        )
    )
    found = solve_ivp(
        lambda t, y: np.asarray(rhs(t, y)),
        (0.0, TIME),
        y,
        method="DOP853",
        rtol=1e-12,
        atol=1e-13,
    )
    return found.y[:2, -1]


@eqx.filter_jit
def _output(net: MomentumResNet, x: Any) -> Any:
    return net(x).position


def _errors(ctx: Context, exact: np.ndarray, gamma: float | None = None):
    flow = MomentumResidualFlow(field, MASS)
    depths = 16 * 2 ** np.arange(ctx.choose(5, 8))
    errors = []
    for steps in depths:
        net = as_momentum_resnet(flow, int(steps), TIME)
        if gamma is not None:
            net = eqx.tree_at(lambda n: n.momentum, net, jnp.asarray(gamma))
        end = np.asarray(_output(net, jnp.asarray(START)))
        errors.append(np.linalg.norm(end - exact))
    return TIME / depths, np.array(errors)


@claim(
    "momentum_resnet.depth-limit",
    title="Deep momentum networks tend to ε x'' + x' = F, with order 1",
    source=momentum_resnets("the continuous model; the order measured here"),
    statement=r"|x_N - x(T)| = O(h),\quad h = T/N,\ \gamma = 1 - h/\varepsilon;\qquad"
    r" \gamma\ \text{fixed}:\ |x_N - \bar x(T)| = O(h),\ \dot{\bar x} = F(\bar x)",
    hypotheses=(r"$F$ smooth; $\varepsilon = 0.3$, $T = 2$", "$v_0 = 0$"),
    grade="measured",
    delta=0.75,
    unit="order in h (time unit of F)",
)
def depth_limit(ctx: Context) -> Iterator[Evidence]:
    """The error at T, for γ = 1 - h/ε and for a fixed γ."""
    flow = MomentumResidualFlow(field, MASS)
    at_rest = np.concatenate([START, 0 * START])
    ends = {"scaled": _precisely(flow, at_rest)}
    ends["fixed"] = _precisely(flow.limit(), START)
    for name, gamma in (("scaled", None), ("fixed", 0.5)):
        h, errors = _errors(ctx, ends[name], gamma)
        yield decide.order(1, h, errors, floor=1e-10, quantity=f"{name} momentum")


@depth_limit.route("the row of the table on a logistic loss", grade="measured")
def _(ctx: Context) -> Evidence:
    """Layers -h∇f at the mass 0.3, as optax.sgd, beside the damped flow at T = 4."""
    steps = 0.1 * 0.5 ** np.arange(ctx.choose(6, 7))
    return order(1, ladder(ctx, MOMENTUM_RESNET, steps, mass=0.3), "order in h")


@depth_limit.control("momentum fixed as the depth grows, against ε = 0.3", expected=0.0)
def _(ctx: Context) -> Evidence:
    flow = MomentumResidualFlow(field, MASS)
    exact = _precisely(flow, np.concatenate([START, 0 * START]))
    h, errors = _errors(ctx, exact, 0.5)
    return decide.order(1, h, errors, floor=1e-10)
