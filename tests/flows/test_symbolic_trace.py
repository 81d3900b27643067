"""Whole functions through the tracer: losses, derivatives, loops, errors."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

import flows
from flows.errors import BadInput, NoSymbolicFace
from flows.symbolic import numerically, symbol_vector, symbolically, trace

X = symbol_vector("x", 3)
V = symbol_vector("v", 3)
A, B = sp.symbols("a b", positive=True)
# Rounding of at most ~300 operations, amplified at most tenfold.
TOLERANCE = 300 * 10 * 2.0**-53


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)


def test_floats_become_the_rationals_they_stand_for():
    value = symbolically(lambda x: 0.1 * x + jnp.sqrt(2.0), A)
    assert value == A / 10 + sp.sqrt(2)


def test_python_floats_are_traced_before_they_are_added():
    # 0.1 + 0.2 is not 3/10 in floating point; traced, it is.
    result = trace(lambda a, b, x: (a + b) * x, 0.1, 0.2, A)
    assert result.exact
    assert result.value == sp.Rational(3, 10) * A


def test_inexact_constants_are_noted():
    result = trace(lambda x: x * np.pi, A)
    assert not result.exact
    assert "3.14159" in result.notes[0]
    assert trace(lambda x: x * 0.25, A).exact


def test_primitive_without_rule_on_numbers_is_evaluated_and_noted():
    def factor(x):
        return x * jnp.linalg.cholesky(jnp.array([[4.0]]))[0, 0]

    result = trace(factor, A)
    assert result.value == 2 * A
    assert not result.exact
    assert "cholesky" in result.notes[0]


def test_gradient_hessian_product_and_norm():
    def loss(x):
        return jnp.linalg.norm(x) ** 2 * x[0] + jnp.sum(jnp.where(x > 0, x, 0.0))

    quadratic = sp.Add(*(x**2 for x in X))
    gradient = symbolically(jax.grad(lambda x: jnp.sum(x * x) * x[0]), X)
    expected = [sp.diff(quadratic * X[0], x) for x in X]
    for g, e in zip(gradient, expected, strict=True):
        assert sp.expand(g - e) == 0
    hvp = symbolically(lambda x, v: jax.jvp(jax.grad(loss), (x,), (v,))[1], X, V)
    at = dict(zip([*X, *V], [0.5, 1.25, -2.0, 1.0, -0.75, 0.5], strict=True))
    x = jnp.array([0.5, 1.25, -2.0])
    v = jnp.array([1.0, -0.75, 0.5])
    close(numerically(hvp, at), jax.jvp(jax.grad(loss), (x,), (v,))[1])


def test_where_gives_a_piecewise_with_its_condition():
    value = symbolically(lambda x: jnp.where(x > 1, x, 0.0), A)
    assert value == sp.Piecewise((A, A > 1), (0, True))


def mlp(p, x):
    (w1, b1), (w2, b2) = p
    return jnp.tanh(x @ w1 + b1[None, :]) @ w2 + b2[None, :]


def filled(name, *shape):
    flat = symbol_vector(name, int(np.prod(shape)))
    return flat.reshape(shape)


def test_mlp_loss_gradient_and_hessian_product():
    data = np.arange(10.0).reshape(5, 2) / 8 - 0.5
    p = [
        (filled("w", 2, 4), filled("b", 4)),
        (filled("u", 4, 2), filled("c", 2)),
    ]
    q = [
        (filled("dw", 2, 4), filled("db", 4)),
        (filled("du", 4, 2), filled("dc", 2)),
    ]

    def loss(p):
        return jnp.mean(jnp.sum(mlp(p, data) ** 2, axis=-1))

    def both(p, q):
        return jax.grad(loss)(p), jax.jvp(jax.grad(loss), (p,), (q,))[1]

    result = trace(both, p, q)
    assert result.exact
    rng = np.random.default_rng(7)
    numbers = jax.tree.map(lambda s: rng.integers(-16, 16, s.shape) / 16.0, (p, q))
    pairs = zip(jax.tree.leaves((p, q)), jax.tree.leaves(numbers), strict=True)
    at = {s: v for a, b in pairs for s, v in zip(a.flat, b.flat, strict=True)}
    expected = both(*jax.tree.map(jnp.asarray, numbers))
    for got, want in zip(
        jax.tree.leaves(numerically(result.value, at)),
        jax.tree.leaves(expected),
        strict=True,
    ):
        close(got, want)


def test_vmap_jit_and_scan():
    def series(x):
        return jax.lax.scan(lambda c, k: (c * x + k, c), 1.0, jnp.arange(4.0))

    final, history = symbolically(jax.jit(series), A)
    assert sp.expand(final - (A**4 + A**2 + 2 * A + 3)) == 0
    assert history.shape == (4,)
    assert history[1] == A
    rows = symbolically(jax.vmap(lambda x: x[0] * x[1]), X[:2].reshape(1, 2))
    assert rows[0] == X[0] * X[1]


def test_logsumexp_softplus_and_gelu():
    functions = (jax.nn.logsumexp, jax.nn.softplus, jax.nn.gelu, jax.nn.softmax)
    x = jnp.array([0.5, -1.25, 2.0])
    for function in functions:
        value = symbolically(function, X)
        at = dict(zip(X, map(float, x), strict=True))
        close(numerically(value, at), function(x))


def test_integers_stay_integers_between_calls():
    count = symbolically(lambda c, x: (c + 1, x), np.array(3, np.int32), A)[0]
    assert count.dtype == np.int32
    assert count == 4
    kept = symbolically(lambda n, x: (n, None, "name", x), 5, A)
    assert kept == (5, None, "name", A)


def test_indices_and_loop_conditions_may_be_computed_from_integers():
    def pick(x, k):
        return (
            x[(k + 1) % 3]
            + jax.lax.while_loop(
                lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x[0]), (k, x[1])
            )[1]
        )

    value = symbolically(pick, X, jnp.array(1))
    assert value == X[2] + X[1] * X[0] ** 2


def test_random_numbers_from_a_key_are_numbers():
    key = jax.random.key(0)
    result = trace(lambda x: x * jax.random.uniform(key, ()), A)
    expected = float(jax.random.uniform(key, ()))
    assert not result.exact
    close(numerically(result.value, {A: 1}), expected)


def test_symbols_without_assumptions_are_read_as_real():
    x = sp.Symbol("x")
    value = symbolically(lambda x: jnp.sqrt(x * x) + x, x)
    assert value == sp.Abs(x) + x


def test_sympy_floats_are_made_exact():
    assert symbolically(lambda x: 2 * x, A + sp.Float(0.1)) == 2 * A + sp.Rational(1, 5)


def test_branches_on_numbers_and_on_symbols():
    def branch(p, x):
        return jax.lax.cond(p > 1, lambda z: z * z, lambda z: -z, x)

    assert symbolically(branch, 2.0, A) == A**2
    assert symbolically(branch, B, A) == sp.Piecewise((A**2, B > 1), (-A, True))


def test_several_cases():
    def cases(x):
        return jnp.select([x > 2, x > 1], [x, x * x], -x)

    value = symbolically(cases, A)
    for x in (0.5, 1.5, 2.5):
        assert numerically(value, {A: x}) == cases(jnp.array(x))

    def switch(x):
        k = jnp.where(x > 2, 2, jnp.where(x > 1, 1, 0))
        return jax.lax.switch(k, [lambda z: -z, lambda z: z * z, lambda z: z], x)

    assert numerically(symbolically(switch, A), {A: 1.5}) == 2.25


def test_runtime_checks_are_taken_as_passed():
    checked = symbolically(lambda x: eqx.error_if(x, x[0] < 0, "negative") * 2, X)
    assert list(checked) == [2 * x for x in X]


def test_methods_of_models_with_symbols():
    class Decay(eqx.Module):
        rate: jax.Array

        def field(self, t, y):
            return -self.rate * y + t

    model = flows.symbolic.symbols_like(Decay(jnp.asarray(1.0)))
    assert symbolically(model.field, A, B) == A - sp.Symbol("rate", real=True) * B


def test_float32_tracing_reads_float32_constants():
    with jax.enable_x64(False):
        assert symbolically(lambda x: x * 0.1, A) == A / 10


# -- refusals --------------------------------------------------------------------------


def test_unknown_primitive_is_named_with_function_and_line():
    def whiten(x):
        return jnp.linalg.cholesky(jnp.outer(x, x))

    with pytest.raises(NoSymbolicFace) as caught:
        symbolically(whiten, X)
    assert caught.value.primitive == "cholesky"
    assert "whiten" in str(caught.value)
    assert "test_symbolic_trace.py" in caught.value.source


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.arange(3.0)[x.astype(int)],
        lambda x: jax.lax.while_loop(lambda c: c < 10, lambda c: c * x, x),
        lambda x: jax.lax.fori_loop(0, 65, lambda i, c: c * x, x),
        lambda x: jax.lax.switch(x.astype(int), [jnp.sin, jnp.cos, jnp.tan], x),
        lambda x: jnp.sort(jnp.stack([x, 2 * x])),
    ],
)
def test_what_needs_a_symbols_value_is_refused(function):
    with pytest.raises((NoSymbolicFace, BadInput)):
        symbolically(lambda x: function(jnp.asarray(x)), A)


def test_unroll_moves_the_limit():
    def power(x):
        return jax.lax.fori_loop(0, 70, lambda i, c: c * x, x)

    with pytest.raises(NoSymbolicFace, match="unroll"):
        symbolically(power, A)
    assert symbolically(power, A, unroll=70) == A**71


def test_symbols_by_closure_are_refused_with_advice():
    with pytest.raises(BadInput, match="argument"):
        symbolically(lambda x: x * B, A)
    with pytest.raises(BadInput, match="argument"):
        symbolically(lambda x: x * jnp.sin(B), A)


def test_symbols_that_are_not_real_are_refused():
    with pytest.raises(BadInput, match="not real"):
        symbolically(lambda x: x, sp.Symbol("z", imaginary=True))


def test_complex_numbers_are_refused():
    with pytest.raises(NoSymbolicFace, match="complex"):
        symbolically(lambda x: jnp.real(x.astype(complex) * 1j), X)


def test_errors_of_the_traced_code_are_its_own():
    def broken(x):
        raise TypeError("of the user's making")

    with pytest.raises(TypeError, match="user's making"):
        symbolically(broken, A)


def test_numerically_wants_every_symbol():
    with pytest.raises(BadInput, match="b"):
        numerically(A + B, {A: 1})
    tree = {"n": 3, "e": A > B, "x": np.array([A, B], dtype=object)}
    out = numerically(tree, {A: sp.Rational(1, 2), B: 2})
    assert out["n"] == 3
    assert out["e"] is False
    np.testing.assert_array_equal(out["x"], [0.5, 2.0])


def test_a_number_that_is_never_read_makes_no_trace_inexact():
    def first(numbers):
        return 2 * numbers[0]

    assert trace(first, (0.5, np.pi)).exact
    assert not trace(first, (np.pi, 0.5)).exact
