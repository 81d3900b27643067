"""Objectives: derivatives against sympy, data as an argument, errors at the door."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from helpers import ModuleNet, small_net, tanh_loss

from flows import (
    BadInput,
    Data,
    Fact,
    Facts,
    GradientFlow,
    from_loss,
    from_sympy,
    parameters_of,
)
from flows.problems import Quadratic, quadratic

X, Y, Z, A = sp.symbols("x y z a", real=True)
EXPRESSIONS = [
    A * X**3 * Y + sp.sin(Y * Z) + X * Z**2,
    sp.exp(-A * X**2) * sp.cos(Y) + sp.log(2 + Z**2) + X * Y * Z,
    sp.sqrt(1 + X**2 + Y**2) + A * sp.tanh(Z - X),
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_derivatives_against_sympy(expression):
    f = from_sympy(expression, [X, Y, Z], {A: 0.7})
    rng = np.random.default_rng(1)
    coordinates = [X, Y, Z]
    exact = expression.subs(A, sp.Rational(7, 10))
    gradient = [sp.diff(exact, s) for s in coordinates]
    hessian = sp.hessian(exact, coordinates)
    run = jax.jit(
        lambda x, u, v: (f.value(x), f.gradient(x), f.hvp(x, v), f.third(x, u, v))
    )
    for _ in range(4):
        x, u, v = jnp.asarray(rng.uniform(-1.5, 1.5, (3, 3)))
        at = dict(zip(coordinates, x.tolist(), strict=True))
        along = sp.zeros(3)
        for c, s in zip(u.tolist(), coordinates, strict=True):
            along += c * sp.diff(hessian, s)
        expected = (
            float(exact.subs(at)),
            np.array([float(g.subs(at)) for g in gradient]),
            np.array(hessian.subs(at), float) @ v,
            np.array(along.subs(at), float) @ v,
        )
        for got, want in zip(run(x, u, v), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


def test_new_parameter_values_give_new_values_and_one_trace():
    f = from_sympy(A * X**2, [X], {A: 2.0})
    traces = []

    @eqx.filter_jit
    def value(f, x):
        traces.append(1)
        return f.value(x)

    x = jnp.array([3.0])
    assert value(f, x) == 18.0
    assert value(from_sympy(A * X**2, [X], {A: 5.0}), x) == 45.0
    assert len(traces) == 1
    by_parameter = jax.grad(
        lambda a: eqx.tree_at(lambda f: f.parameters["a"], f, a).value(x)
    )
    assert by_parameter(jnp.asarray(1.0)) == 9.0


def test_a_constant_and_a_loss_without_some_coordinate():
    f = from_sympy(X**2, [X, Y])
    np.testing.assert_array_equal(f.gradient(jnp.array([1.0, 5.0])), [2.0, 0.0])
    assert from_sympy(sp.Integer(3), [X]).value(jnp.ones(1)) == 3.0
    assert f.symbols == ("x", "y")


@pytest.mark.parametrize(
    ("expression", "symbols", "message"),
    [
        (A * X + Y, [X], "unknown symbols a, y"),
        (X, [], "non-empty sequence"),
        (X, [X, X], "repeated"),
        (X, [2 * X], "sequence of Symbols"),
        (sp.Matrix([X]), [X], "scalar sympy expression"),
        (X > 0, [X], "scalar sympy expression"),
        ("x +", [X], "not a sympy expression"),
        (object(), [X], "not a sympy expression"),
    ],
)
def test_bad_expressions_are_refused(expression, symbols, message):
    with pytest.raises(BadInput, match=message):
        from_sympy(expression, symbols)


def test_two_symbols_of_one_name_are_refused():
    with pytest.raises(BadInput, match="name"):
        from_sympy(X * sp.Symbol("x"), [X], {sp.Symbol("x"): 2.0})


@pytest.mark.parametrize("value", [np.nan, np.inf, "b", [1.0, 2.0]])
def test_a_bad_parameter_value_is_refused(value):
    with pytest.raises(BadInput, match="a"):
        from_sympy(A * X, [X], {A: value})


def test_an_expression_has_no_batches():
    with pytest.raises(BadInput, match="no data"):
        from_sympy(X**2, [X]).value(jnp.ones(1), jnp.arange(2))


def test_a_loss_with_data_against_a_plain_loss():
    f, params = small_net()
    x = f.ravel(params)
    data = f.data.tree
    assert f.size == x.size == 20
    assert f.value(x) == f.loss_of(params) == tanh_loss(params, data)
    gradient = jax.grad(tanh_loss)(params, data)
    np.testing.assert_array_equal(f.gradient(x), f.ravel(gradient))
    np.testing.assert_array_equal(
        f.ravel(f.params(x)), x
    )  # the user's own pytree and back


def test_the_full_gradient_is_the_mean_of_batch_gradients():
    f, params = small_net(rows=12)
    x = f.ravel(params)
    batches = jnp.arange(12).reshape(4, 3)
    one = jax.jit(jax.vmap(lambda b: f.gradient(x, b)))(batches)
    np.testing.assert_allclose(one.mean(0), f.gradient(x), rtol=1e-13, atol=1e-15)
    assert float(jnp.std(one, axis=0).max()) > 1e-3
    v = jnp.ones_like(x)
    hvps = jax.jit(jax.vmap(lambda b: f.hvp(x, v, b)))(batches)
    np.testing.assert_allclose(hvps.mean(0), f.hvp(x, v), rtol=1e-12, atol=1e-14)
    assert f.data.rows == 12


def test_new_data_of_the_same_shape_compiles_nothing():
    traces = []

    def loss(params, data):
        traces.append(1)
        return tanh_loss(params, data)

    base, params = small_net(rows=6)
    x = base.ravel(params)
    first = from_loss(loss, params, base.data.tree)
    gradient = eqx.filter_jit(lambda f, x: f.gradient(x))
    g = gradient(first, x)
    done = len(traces)
    other_data = jax.tree.map(lambda a: 2 * a, base.data.tree)
    other = eqx.tree_at(lambda f: f.data.tree, first, other_data)
    h = gradient(other, x)
    assert len(traces) == done
    np.testing.assert_allclose(
        h, other.ravel(jax.grad(tanh_loss)(params, other_data)), rtol=1e-12, atol=1e-14
    )
    assert float(jnp.max(jnp.abs(g - h))) > 1e-3


def test_data_is_an_argument_not_a_constant():
    f, params = small_net(rows=7)
    x = f.ravel(params)
    arrays, static = eqx.partition(f, eqx.is_array)
    closed = jax.make_jaxpr(lambda a, x: eqx.combine(a, static).value(x))(arrays, x)
    assert max((np.size(c) for c in closed.consts), default=0) <= 1


def test_data_is_shielded_from_differentiation():
    f, params = small_net()
    x = f.ravel(params)
    gradient = eqx.filter_grad(lambda f: f.value(x))(f)
    assert all(not np.any(a) for a in jax.tree.leaves(gradient.data))
    # Without the shield the same derivative is not zero.
    plain = jax.grad(lambda d: tanh_loss(params, d))(f.data.tree)
    assert any(np.any(a) for a in jax.tree.leaves(plain))


def test_parameters_of_tells_parameters_from_data():
    f, params = small_net()
    flow = GradientFlow(f)
    marks = parameters_of(flow)
    assert not any(jax.tree.leaves(marks))
    g = from_sympy(A * X**2, [X], {A: 2.0})
    both = (GradientFlow(g), flow, Data(jnp.ones(3)))
    inside, outside = eqx.partition(both, parameters_of(both))
    assert len(jax.tree.leaves(inside)) == 1
    x = jnp.array([3.0])

    def fall(inside):
        first, second, _ = eqx.combine(inside, outside)
        return first.vector_field(0.0, x)[0] + second.objective.value(f.ravel(params))

    by_a = jax.grad(lambda p: fall(p))(inside)[0].objective.parameters["a"]
    assert by_a == -6.0
    many = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), inside)
    np.testing.assert_allclose(np.diff(jax.vmap(fall)(many)), [-12.0])


def test_an_equinox_module_as_parameters():
    net = ModuleNet(jnp.ones((2, 3)) * 0.3, jnp.zeros(3))
    inputs = jnp.asarray(np.random.default_rng(0).standard_normal((5, 2)))

    def loss(net, inputs):
        return jnp.mean(jax.vmap(net)(inputs) ** 2)

    f = from_loss(loss, net, inputs)
    x = f.ravel(net)
    assert isinstance(f.params(x), ModuleNet)
    expected = eqx.filter_grad(loss)(net, inputs)
    np.testing.assert_allclose(f.gradient(x), f.ravel(expected), rtol=1e-14)


def test_float32_parameters_stay_float32():
    f, params = small_net(dtype=jnp.float32)
    x = f.ravel(params)
    for call in (f.value, f.gradient):
        assert jax.eval_shape(call, x).dtype == jnp.float32
    assert jax.eval_shape(f.hvp, x, x).dtype == jnp.float32
    assert jax.eval_shape(f.third, x, x, x).dtype == jnp.float32
    g, wide = small_net()
    np.testing.assert_allclose(f.gradient(x), g.gradient(g.ravel(wide)), atol=1e-6)


def scalar_loss(params):
    return jnp.sum(params["w"] ** 2)


@pytest.mark.parametrize(
    ("loss", "data", "message"),
    [
        (lambda p: p["w"], None, "one real number"),
        (lambda p: (jnp.sum(p["w"]), 1.0), None, "one real number"),
        (lambda p: jax.lax.complex(p["w"][0], p["w"][1]), None, "one real number"),
        (lambda p: 3, None, "one real number"),
        (lambda p: jnp.sum(p["w"]) > 0, None, "one real number"),
        (lambda p: None, None, "one real number"),
        (lambda p, d: jnp.sum(p["w"]), None, r"loss\(params\)"),
        (scalar_loss, jnp.ones(3), r"loss\(params, data\)"),
        (tanh_loss, (jnp.ones((3, 2)), jnp.ones(4)), "common leading axis"),
        (tanh_loss, (jnp.ones((3, 2)), jnp.asarray(1.0)), "common leading axis"),
        (lambda p, d: jnp.sum(p["w"]), {}, "common leading axis"),
        (lambda p, d: jnp.sum(p["w"]), jnp.asarray(1.0), "common leading axis"),
        (lambda p, d: jnp.sum(p["w"]), jnp.ones((0, 3)), "no rows"),
        (lambda p, d: jnp.sum(p["w"]), "text", "arrays"),
        (lambda p, d: jnp.sum(p["w"]), jnp.array([1.0, np.nan]), "data.*non-finite"),
    ],
)
def test_bad_losses_and_data_are_refused(loss, data, message):
    with pytest.raises(BadInput, match=message):
        from_loss(loss, {"w": jnp.ones(2)}, data)


def test_a_type_error_inside_the_loss_keeps_its_own_words():
    def loss(params):
        return params["w"] + "text"

    with pytest.raises(BadInput, match=r"text|str"):
        from_loss(loss, {"w": jnp.ones(())})


def test_batches_of_a_loss_without_data_are_refused():
    f = from_loss(scalar_loss, {"w": jnp.ones(2)})
    with pytest.raises(BadInput, match="no data"):
        f.value(jnp.ones(2), jnp.arange(1))


def test_quadratic_closed_forms_and_facts():
    rng = np.random.default_rng(2)
    m = rng.standard_normal((5, 5))
    a = m @ m.T
    a = (a + a.T) / 2
    f = quadratic(a)
    x, v = jnp.asarray(rng.standard_normal((2, 5)))
    np.testing.assert_allclose(f.value(x), 0.5 * x @ a @ x, rtol=1e-13)
    np.testing.assert_allclose(f.gradient(x), a @ x, rtol=1e-12)
    np.testing.assert_allclose(f.hvp(x, v), a @ v, rtol=1e-12)
    np.testing.assert_array_equal(f.third(x, v, v), np.zeros(5))
    eigenvalues = np.linalg.eigvalsh(a)
    assert f.facts.smoothness.value == pytest.approx(eigenvalues[-1], rel=1e-12)
    assert f.facts.strong_convexity.value == pytest.approx(eigenvalues[0], rel=1e-9)
    minimiser = jnp.asarray(f.facts.minimiser.value)
    np.testing.assert_array_equal(f.gradient(minimiser), np.zeros(5))
    assert f.value(minimiser) == f.facts.minimum.value
    diagonal = quadratic([1.0, 3.0])
    np.testing.assert_array_equal(diagonal.gradient(jnp.array([2.0, 2.0])), [2.0, 6.0])
    assert isinstance(diagonal, Quadratic)


def test_an_indefinite_quadratic_claims_no_minimum():
    facts = quadratic([-4.0, 1.0]).facts
    assert facts.smoothness.value == 4.0  # the largest |eigenvalue|
    assert facts.minimiser is None
    assert facts.minimum is None
    assert facts.strong_convexity is None


@pytest.mark.parametrize(
    "matrix",
    [[[1.0, 2.0], [0.0, 1.0]], [[1.0, 2.0]], [], [np.nan], 3.0, np.ones((1, 1, 1))],
)
def test_what_is_no_quadratic_is_refused(matrix):
    with pytest.raises(BadInput, match=r"spectrum|symmetric"):
        quadratic(matrix)


def test_facts_are_kept():
    facts = Facts(smoothness=Fact(2.0, "by hand"))
    assert from_sympy(X**2, [X], facts=facts).facts.smoothness == (2.0, "by hand")
    assert from_sympy(X**2, [X]).facts == Facts()


def test_a_position_of_the_wrong_length_is_refused():
    f = from_sympy(X**2 + Y, [X, Y])
    np.testing.assert_array_equal(f.ravel(jnp.ones(2)), [1.0, 1.0])
    for wrong in (jnp.ones(3), (jnp.ones(1), jnp.ones(1)), jnp.ones((2, 1))):
        with pytest.raises(BadInput, match="one vector of 2 floats"):
            f.ravel(wrong)
