import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp

from discretize import (
    Euler,
    ImplicitEuler,
    ModifiedFlow,
    RungeKutta,
    SemiImplicitEuler,
    fit_order,
    modified_terms,
)
from flows import (
    BadInput,
    Flow,
    GradientFlow,
    ModifiedHeavyBallFlow,
    Part,
    from_sympy,
    iterate,
    solve,
)
from flows.symbolic import symbol_vector, symbolically
from sde import LangevinState, OverdampedLangevin

X, Y = sp.symbols("X Y", real=True)
LOSS = X**2 / 2 + (X * Y - 1) ** 2 / 4 + sp.sin(Y) / 3 + X**2 * Y / 5
START = jnp.array([1.2, 0.8])
STEPS = 0.1 / 2.0 ** np.arange(5)


def flow(loss=LOSS):
    return GradientFlow(from_sympy(loss, [X, Y]))


def traced_term(scheme, model, j, y):
    """f_j as expressions."""
    return symbolically(
        lambda model, y: modified_terms(scheme, model, j)[j - 1](jnp.asarray(0.0), y),
        model,
        y,
    )


def closed_forms(loss):
    """f_2, f_3, f_4 of explicit Euler on gradient flow, in g, H and T[u, v]."""
    z = (X, Y)
    g = sp.Matrix([sp.diff(loss, v) for v in z])
    h = sp.hessian(loss, z)

    def t(u, v):
        return sp.Matrix(
            [
                sum(
                    sp.diff(loss, p, q, r) * u[j] * v[k]
                    for j, q in enumerate(z)
                    for k, r in enumerate(z)
                )
                for p in z
            ]
        )

    return {
        2: -h * g / 2,
        3: -(h * h * g / 3 + t(g, g) / 12),
        4: -(h**3 * g / 4 + t(g, h * g) / 12 + h * t(g, g) / 12),
    }


QUARTIC = X**4 / 4 + X * Y**2 + X**2 * Y**2 / 3 - Y


@pytest.mark.parametrize(
    ("loss", "j"),
    [
        (QUARTIC, 2),
        (LOSS, 2),
        (QUARTIC, 3),
        (LOSS, 3),
        pytest.param(QUARTIC, 4, marks=pytest.mark.slow),
    ],
)
def test_closed_forms_of_explicit_euler(loss, j):
    """Exactly: -Hg/2, -(H²g/3 + T[g,g]/12), -(H³g/4 + T[g,Hg]/12 + H T[g,g]/12)."""
    y = symbol_vector("x", 2)
    found = traced_term(Euler(), flow(loss), j, y)
    expected = closed_forms(loss)[j].subs({X: y[0], Y: y[1]}, simultaneous=True)
    assert [sp.expand(a - b) for a, b in zip(found, expected, strict=True)] == [0, 0]


def test_the_third_term_is_no_gradient():
    """Its Jacobian's antisymmetric part is [H, T[g]]/12 up to sign, not 0."""
    y = symbol_vector("x", 2)
    f3 = sp.Matrix(list(traced_term(Euler(), flow(), 3, y)))
    curl = sp.diff(f3[0], y[1]) - sp.diff(f3[1], y[0])
    assert abs(float(curl.subs({y[0]: 1.2, y[1]: 0.8}))) > 1e-2


def global_errors(model_of, scheme=None, t1=1.0):
    """|x_n - x(t1)| of the scheme against a flow that may depend on h."""
    out = []
    scheme = scheme or Euler()
    for h in STEPS:
        steps = round(t1 / h)
        run = iterate(scheme, flow(), START, h=h, steps=steps, save="last")
        true = solve(
            model_of(jnp.asarray(h)),
            START,
            0.0,
            t1,
            solver=diffrax.Dopri8(),
            stepsize_controller=diffrax.PIDController(rtol=1e-13, atol=1e-13),
            saveat=diffrax.SaveAt(t1=True),
        )
        out.append(float(jnp.linalg.norm(run.positions[-1] - true.positions[-1])))
    return np.array(out)


FLOOR = 1e-12
"""Tolerance of the reference and rounding of at most 160 steps, with room."""


@pytest.mark.parametrize("terms", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_global_order_is_the_number_of_terms(terms):
    errors = global_errors(lambda h: ModifiedFlow(flow(), Euler(), h, terms))
    fit = fit_order(STEPS, errors, FLOOR)
    assert fit.asymptotic
    assert abs(fit.slope - terms) <= max(fit.half_width, 0.02)
    assert fit.half_width < 0.1


class FlippedSign(Flow):
    """The negative control: f₁ - h f₂."""

    flow: Flow
    h: jax.Array

    def vector_field(self, t, y):
        first, second = modified_terms(Euler(), self.flow, 2)
        return first(t, y) - self.h * second(t, y)


def test_a_wrong_sign_falls_back_to_order_one():
    fit = fit_order(STEPS, global_errors(lambda h: FlippedSign(flow(), h)), FLOOR)
    assert abs(fit.slope - 1) < 0.1 and fit.interval[1] < 1.5


def test_two_terms_are_the_flow_of_implicit_gradient_regularisation():
    """ModifiedHeavyBallFlow at momentum 0 is f₁ + η f₂, by another derivation."""
    eta = jnp.asarray(0.07)
    one = ModifiedFlow(flow(), Euler(), eta, 2)
    two = ModifiedHeavyBallFlow(flow().objective, eta, jnp.asarray(0.0))
    a, b = one.vector_field(0.0, START), two.vector_field(0.0, START)
    np.testing.assert_allclose(a, b, rtol=1e-13)
    assert np.max(np.abs(a - flow().vector_field(0.0, START))) > 1e-3


def test_a_method_of_order_two_has_no_second_term():
    @jax.jit
    def terms(y):
        fields = modified_terms(RungeKutta(diffrax.Heun()), flow(), 3)
        return [f(jnp.asarray(0.0), y) for f in fields]

    first, second, third = terms(START)
    np.testing.assert_allclose(first, flow().vector_field(0.0, START), rtol=1e-14)
    np.testing.assert_allclose(second, 0.0, atol=1e-14)
    assert np.max(np.abs(third)) > 1e-3


@pytest.mark.slow
def test_implicit_euler_turns_the_sign_of_the_second_term():
    """y₁ = y + h v(y₁) is the adjoint of explicit Euler: f₂ changes sign."""

    def second(scheme):
        field = modified_terms(scheme, flow(), 2)[1]
        return jax.jit(field)(jnp.asarray(0.0), START)

    np.testing.assert_allclose(second(ImplicitEuler()), -second(Euler()), rtol=1e-10)


class Oscillator(Flow):
    """x' = v, v' = -x."""

    def vector_field(self, t, y):
        return LangevinState(y.velocity, -y.position)


def test_symplectic_euler_keeps_a_modified_energy():
    """On named states: (x² + v²)/2 - h x v/2 is conserved by f₁ + h f₂ up to h²."""
    y = LangevinState(symbol_vector("x", 1), symbol_vector("v", 1))
    scheme = SemiImplicitEuler(("velocity", "position"))
    (x,), (v,) = y
    h = sp.Symbol("h", positive=True)
    field = symbolically(
        lambda y, h: ModifiedFlow(Oscillator(), scheme, h, 2).vector_field(0.0, y),
        y,
        h,
    )
    energy = (x**2 + v**2) / 2 - h * x * v / 2
    rate = sp.expand(
        sp.diff(energy, x) * field.position[0] + sp.diff(energy, v) * field.velocity[0]
    )
    assert rate.coeff(h, 0) == 0 and rate.coeff(h, 1) == 0
    # negative control: the bare field keeps x² + v² alone
    bare = sp.diff(energy, x) * v - sp.diff(energy, v) * x
    assert sp.expand(bare).coeff(h, 1) != 0


class Forced(Part):
    """x' = cos t - x."""

    def vector_field(self, t, y):
        return jnp.cos(t) - y


def test_fields_that_depend_on_time():
    """f₂ = -(∂ₜv + v'v)/2 of explicit Euler."""
    t, y = jnp.asarray(0.4), jnp.array([0.3])
    found = modified_terms(Euler(), Forced(), 2)[1](t, y)
    expected = -(-jnp.sin(t) - (jnp.cos(t) - y)) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_bad_input_is_refused():
    with pytest.raises(BadInput, match="1 to 8"):
        ModifiedFlow(flow(), Euler(), jnp.asarray(0.1), 0)
    with pytest.raises(BadInput, match="1 to 8"):
        modified_terms(Euler(), flow(), 9)
    noisy = OverdampedLangevin(flow().objective)
    with pytest.raises(BadInput, match="draws noise"):
        modified_terms(Euler(), noisy, 2)[1](jnp.asarray(0.0), START)
