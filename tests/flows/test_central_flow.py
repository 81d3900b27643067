"""Rules, the linear response at the edge, and the instantaneous central flow."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sympy as sp

from flows import BadInput, CentralFlow, GradientFlow, StableFlow, from_sympy, solve
from flows.central import (
    GradientDescent,
    Momentum,
    RMSProp,
    ScalarRMSProp,
    cold_block,
    complementarity,
    response,
    smat,
    svec,
    third_derivatives,
    velocity,
)

X, Y, Z = sp.symbols("x y z", real=True)

RULES = {
    "gradient descent": GradientDescent(0.3),
    "schedule": GradientDescent(lambda t: 0.3 / (1 + 0.1 * t)),
    "polyak": Momentum(0.3, 0.6),
    "ema": Momentum(0.3, 0.6, "ema"),
    "nesterov": Momentum(0.3, 0.6, "nesterov"),
    "scalar": ScalarRMSProp(0.3, 0.9, 0.02, 0.01),
    "rmsprop": RMSProp(0.3, 0.9, 0.02, 0.01),
}


@pytest.fixture(scope="module")
def bumpy():
    """A loss of three coordinates in which no third derivative vanishes."""
    f = (
        2 * X**2 * (1 + Z / 2)
        + 3 * Y**2
        + X * Y * Z
        + sp.sin(Y + Z)
        + sp.exp(X * Y / 3) * Z
    )
    return from_sympy(f, [X, Y, Z])


START = jnp.array([0.4, 0.1, -0.4])


def test_memory_and_preconditioner_are_those_of_optax_after_one_update():
    g = jnp.array([0.5, -2.0, 0.1])
    for eps, inside in ((0.01, True), (0.02, False)):
        optimizer = optax.rmsprop(0.3, 0.9, eps, 0.04, eps_in_sqrt=inside)
        u, _ = optimizer.update(g, optimizer.init(g))
        parts = {"eps_root": eps} if inside else {"eps": eps}
        rule = RMSProp(0.3, 0.9, initial=0.04, **parts)
        p = rule.preconditioner(0.0, rule.memory(g))
        np.testing.assert_allclose(-g / p, u, rtol=1e-14)


@pytest.mark.parametrize("name", RULES)
def test_slopes_of_the_preconditioner_by_differences(name):
    rule = RULES[name]
    nu = rule.memory(jnp.array([0.5, -2.0, 0.1]))
    by_time, by_memory = rule.slope(1.5, nu)
    h = 1e-5

    def p(t, shift):
        return rule.preconditioner(t, None if nu is None else nu + shift)

    np.testing.assert_allclose(
        by_time, (p(1.5 + h, 0.0) - p(1.5 - h, 0.0)) / (2 * h), atol=1e-9
    )
    if nu is not None:
        expected = (p(1.5, h) - p(1.5, -h)) / (2 * h)
        np.testing.assert_allclose(by_memory, expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_the_response_is_the_derivative_of_the_gap(name, bumpy):
    """d/dt Vᵀ(cP - H)V along the velocity, by central differences with V fixed."""
    rule = RULES[name]
    flow = CentralFlow(bumpy, rule)
    y, t, h = flow.start(START), 2.0, 1e-5
    block = cold_block(bumpy, y.position, rule.preconditioner(t, y.memory), 3)
    v = block.vectors
    third = third_derivatives(bumpy, y.position, v, jnp.array([True, True, True]))
    r = response(flow, t, y, bumpy.gradient(y.position), block, third)
    x = svec(jnp.array([[0.3, 0.1, 0.0], [0.1, 0.2, -0.05], [0.0, -0.05, 0.1]]))
    moved = velocity(flow, r, x)

    def gap(s):
        z = jax.tree.map(lambda a, b: a + s * b, y, moved)
        p = jnp.broadcast_to(rule.preconditioner(t + s, z.memory), (3,))
        return v.T @ (rule.edge * jnp.diag(p) - bumpy.hessian(z.position)) @ v

    expected = (gap(h) - gap(-h)) / (2 * h)
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(
        r.gap + smat(r.operator @ x), expected, atol=1e-7 * scale
    )


@pytest.mark.slow
def test_a_pair_that_is_not_live_is_left_out(bumpy):
    v = jnp.eye(3)
    full = third_derivatives(bumpy, START, v, jnp.array([True, True, True]))
    some = third_derivatives(bumpy, START, v, jnp.array([True, False, True]))
    kept = np.array([True, False, True, False, False, True])
    np.testing.assert_array_equal(some[~kept], 0.0)
    np.testing.assert_array_equal(some[kept], full[kept])
    # entry (0, 2) carries the weight √2
    expected = np.sqrt(2) * bumpy.third(START, v[0], v[2])
    np.testing.assert_allclose(full[2], expected, rtol=1e-14)


def at_the_edge(objective, rule_of):
    """A rule whose edge the start stands on: η scaled so that λ_max(P⁻¹H) = c."""
    rule = rule_of(1.0)
    memory = rule.memory(objective.gradient(START))
    top = cold_block(objective, START, rule.preconditioner(0.0, memory), 3).values[0]
    return rule_of(float(rule.edge / top))


@pytest.mark.slow
def test_gradient_descent_at_the_edge_has_its_closed_form(bumpy):
    rule = at_the_edge(bumpy, GradientDescent)
    flow = CentralFlow(bumpy, rule)
    found = complementarity(flow, 0.0, flow.start(START))
    _, u = np.linalg.eigh(np.asarray(bumpy.hessian(START)))
    u = jnp.asarray(u[:, -1])
    g, turn = bumpy.gradient(START), bumpy.third(START, u, u)
    variance = max(0.0, float(2 * -g @ turn / (turn @ turn)))
    assert variance > 0.1
    sigma = found.block.vectors @ found.covariance @ found.block.vectors.T
    np.testing.assert_allclose(sigma, variance * np.outer(u, u), atol=1e-9)
    eta = rule.learning_rate
    np.testing.assert_allclose(
        found.velocity.position, -eta * (g + variance / 2 * turn), atol=1e-9
    )


@pytest.mark.slow
def test_scalar_rmsprop_at_the_edge_has_its_closed_form(bumpy):
    """σ² of arXiv 2410.24206, with ν such that η S/√ν = 2."""
    b, eta = 0.9, 3.0
    g = bumpy.gradient(START)
    values, u = np.linalg.eigh(np.asarray(bumpy.hessian(START)))
    s, u = values[-1], jnp.asarray(u[:, -1])
    turn = bumpy.third(START, u, u)
    flow = CentralFlow(bumpy, ScalarRMSProp(eta, b))
    state = flow.start(START)._replace(memory=jnp.asarray((eta * s / 2) ** 2))
    top = b * (-g @ turn) + (1 - b) * (s**2 / 4 - g @ g / eta**2)
    below = b / 2 * turn @ turn + (1 - b) * s**2 / eta**2
    variance = float(top / below)
    assert variance > 0.01
    found = complementarity(flow, 0.0, state)
    sigma = found.block.vectors @ found.covariance @ found.block.vectors.T
    np.testing.assert_allclose(sigma, variance * np.outer(u, u), atol=1e-9)
    np.testing.assert_allclose(
        found.velocity.position, -2 / s * (g + variance / 2 * turn), atol=1e-9
    )
    # the ablated flow keeps the edge by ν alone: η S/√ν stays put to first order
    ablated = complementarity(CentralFlow(bumpy, flow.rule, ablated=True), 0.0, state)
    v = ablated.velocity
    np.testing.assert_allclose(v.position, -2 / s * g, atol=1e-9)
    growth = (turn @ v.position) / s - v.memory / (2 * state.memory)
    assert abs(growth) < 1e-8


@pytest.mark.slow
def test_below_the_edge_nothing_oscillates(bumpy):
    flow = CentralFlow(bumpy, RMSProp(1e-3, 0.9, initial=1.0))
    y = flow.start(START)
    found = complementarity(flow, 0.0, y)
    expected = flow.stable.vector_field(0.0, y)
    np.testing.assert_array_equal(found.covariance, 0.0)
    np.testing.assert_allclose(found.velocity.position, expected.position, rtol=1e-14)
    np.testing.assert_allclose(found.velocity.memory, expected.memory, rtol=1e-14)


@pytest.mark.slow
def test_the_generator_sees_the_oscillation(bumpy):
    rule = at_the_edge(bumpy, GradientDescent)
    flow = CentralFlow(bumpy, rule)
    y = flow.start(START)
    loss_rate = flow.generator(lambda t, y: bumpy.value(y.position))(0.0, y)
    # along the projected flow dL/dt = -|w'|²/η
    w = complementarity(flow, 0.0, y).velocity.position
    np.testing.assert_allclose(loss_rate, -(w @ w) / rule.learning_rate, rtol=1e-8)


@pytest.mark.slow
def test_the_stable_flow_of_descent_is_gradient_flow_in_steps(bumpy):
    eta = 0.05
    flow = StableFlow(bumpy, GradientDescent(eta))
    run = solve(flow, flow.start(START), 0.0, 10.0)
    other = solve(GradientFlow(bumpy), START, 0.0, 10.0 * eta)
    np.testing.assert_allclose(run.positions[-1], other.states[-1], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: GradientDescent(0.0), "learning_rate"),
        (lambda: GradientDescent(float("nan")), "learning_rate"),
        (lambda: Momentum(0.1, 1.0), "momentum"),
        (lambda: Momentum(0.1, 0.5, "heavy"), "form"),  # pyright: ignore
        (lambda: RMSProp(0.1, 0.0), "decay"),
        (lambda: ScalarRMSProp(0.1, 1.0), "decay"),
        (lambda: RMSProp(0.1, 0.9, eps=-1.0), "eps"),
    ],
)
def test_a_bad_rule_is_refused(make, said):
    with pytest.raises(BadInput, match=said):
        make()


def test_a_flow_without_memory_cannot_be_ablated(bumpy):
    with pytest.raises(BadInput, match="memory"):
        CentralFlow(bumpy, GradientDescent(0.1), ablated=True)
    with pytest.raises(BadInput, match="rule"):
        CentralFlow(bumpy, optax.sgd(0.1))  # pyright: ignore
