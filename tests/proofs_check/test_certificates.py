"""Certificates of sign against forms and flows whose signs are known otherwise."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import flows
from flows.errors import BadInput
from flows.problems import quadratic
from proofs_check import Verdict
from proofs_check.certificates import (
    certificate,
    find_certificate,
    nonnegative,
    sum_of_squares,
)
from proofs_check.counterexamples import on_powers
from proofs_check.energies import accelerated_pair, mechanical_pair
from proofs_check.inequalities import (
    cocoercive,
    curved,
    growth,
    lipschitz,
    minimal,
    smooth,
    smooth_at_minimum,
    smooth_convex,
    square,
    strongly_convex,
)
from proofs_check.inner_products import gap_symbol, inner, squared

VECTORS = "egv"
PAIRS = [(a, b) for k, a in enumerate(VECTORS) for b in VECTORS[k:]]
GAP = gap_symbol()
EG, EE, GG, VV = (inner(*pair) for pair in ("eg", "ee", "gg", "vv"))
A, B = sp.symbols("a b", positive=True)
NONNEGATIVE = sp.Symbol("k", nonnegative=True)
FREE = sp.Symbol("x", real=True)


def form_of(matrix):
    """Σ M_ab ⟨a, b⟩ of a symmetric matrix."""
    return sum(
        (1 if a == b else 2) * matrix[VECTORS.index(a), VECTORS.index(b)] * inner(a, b)
        for a, b in PAIRS
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=9, max_size=9), st.booleans())
def test_squares_rebuild_the_form_and_have_its_signs(entries, definite):
    root = sp.Matrix(3, 3, entries)
    matrix = root.T * root + sp.eye(3) if definite else root + root.T
    form = sp.expand(form_of(matrix))
    squares, rest = sum_of_squares(form)
    again = rest + sum(pivot * s.expression for pivot, s in squares)
    assert sp.expand(again - form) == 0
    eigenvalues = np.linalg.eigvalsh(np.array(matrix.tolist(), float))
    if definite:
        assert rest == 0
        assert len(squares) == 3
        assert all(pivot > 0 for pivot, _ in squares)
    elif eigenvalues[0] < -1e-9:  # some pivot is negative, or a row has no square
        assert rest != 0 or min(pivot for pivot, _ in squares) < 0


def test_a_row_without_its_diagonal_is_left_over():
    squares, rest = sum_of_squares(VV + 2 * EG + GG, order="vge")
    assert [pivot for pivot, _ in squares] == [1, 1, -1]
    assert rest == 0
    squares, rest = sum_of_squares(VV + 2 * EG + GAP)
    assert [pivot for pivot, _ in squares] == [1]
    assert sp.expand(rest - 2 * EG - GAP) == 0
    squares, rest = sum_of_squares(VV + A + inner("v", "Hv"))
    assert [pivot for pivot, _ in squares] == [1]
    assert sp.expand(rest - A - inner("v", "Hv")) == 0
    assert sum_of_squares(5) == ([], 5)


def test_a_constant_is_left_over_and_refutes_nothing():
    """-1 <= 0 is true, though no sum of products and squares."""
    found = find_certificate(sp.Integer(-1), [])
    assert found.rest == 1
    assert found.decision.status == "undecided"
    assert find_certificate(sp.Integer(1), []).decision.status == "refuted"


@pytest.mark.parametrize("form", [EG**2, GAP * EG, VV / EE, GAP**2], ids=str)
def test_a_product_of_products_is_no_quadratic_form(form):
    with pytest.raises(BadInput, match="linear in inner products"):
        sum_of_squares(form)


def test_an_order_that_misses_a_vector_is_refused():
    with pytest.raises(BadInput, match="misses some of e, g"):
        sum_of_squares(EG + EE, order="vg")


SIGNS = {
    A + B * NONNEGATIVE: True,
    A**2 - 2 * A * B + B**2: True,
    (A - B) ** 2 / (A + B): True,
    A - B: False,
    -A / (1 + B): False,
    A**2 - A + 1: True,  # no root, by Sturm's count
    A**2 - 3 * A + 1: False,
    A**2 - 2 * sp.sqrt(2) * A + 1: False,  # negative at 1
    A**2 - 2 * sp.sqrt(2) * A + 3: False,  # positive, but Sturm counts over ℚ alone
    A**2 + sp.sqrt(2) * A: True,
    NONNEGATIVE**2 - NONNEGATIVE + 1: True,
    FREE: False,
    FREE**2 + 1: True,
    sp.Integer(0): True,
    sp.Integer(-1): False,
}


@pytest.mark.parametrize("expression", SIGNS, ids=str)
def test_signs_are_certain(expression):
    assert nonnegative(expression) is SIGNS[expression]


def test_the_multipliers_of_the_accelerated_flow_are_found():
    """By hand: V' = -(r-1) t (⟨e,g⟩ - F) - (r-3) t F."""
    t, s = sp.Symbol("t", positive=True), sp.Symbol("s", nonnegative=True)
    r = sp.Symbol("friction", positive=True)
    left = accelerated_pair().derivative
    found = find_certificate(left, [strongly_convex(), minimal()], {r: 3 + s})
    assert found.proved
    factors = {i.name: f for f, i in found.terms}
    assert set(factors) == {"convexity", "f* is the minimum"}
    assert sp.expand(factors["convexity"] - (2 + s) * t) == 0
    assert sp.expand(factors["f* is the minimum"] - s * t) == 0
    evidence = found.evidence()
    assert evidence.verdict is Verdict.HOLDS
    assert "[convexity]" in evidence.data["certificate"]
    assert r"\langle e, g\rangle" in evidence.note
    assert found._repr_latex_().startswith(r"$\displaystyle \dot V")
    text = str(found)
    assert "friction = s + 3" in text
    assert "s >= 0, t > 0" in text


def test_given_multipliers_that_do_not_match_are_refuted():
    t = sp.Symbol("t", positive=True)
    r = sp.Symbol("friction", positive=True)
    terms = [((r - 1) * t, strongly_convex()), ((r - 2) * t, minimal())]
    wrong = certificate(accelerated_pair().derivative, terms)
    assert wrong.decision.status == "refuted"
    assert wrong.evidence().verdict is Verdict.REFUTED
    negative = certificate(-VV + EE, [(1, square(v=1)), (-1, square(e=1))])
    assert negative.identity.proved
    assert not negative.proved


def test_a_counterexample_is_one_on_the_flow_itself():
    """E = f + |v|²/2 rises on the quadratic and the state that refute it."""
    pair = mechanical_pair()
    symbols = {s.name: s for s in pair.derivative.free_symbols}
    bound = sp.Symbol("bound", positive=True)
    table = {symbols["friction"]: symbols["hessian_damping"] * bound / 2}
    found = find_certificate(pair.derivative, [curved("v", -bound)], table)
    decision = found.decision
    assert decision.status == "refuted"
    assert decision.witness is not None
    assert decision.gap is not None
    value = {s.name: float(x) for s, x in decision.witness.items()}
    assert value["lambda"] >= -value["bound"]
    damping = value["hessian_damping"]
    flow = flows.InertialNewtonFlow(
        quadratic([value["lambda"]]), damping * value["bound"] / 2, damping
    )
    state = flows.PhaseState(jnp.array([value["e"]]), jnp.array([value["v"]]))

    def energy(t, y):
        return flow.objective.value(y.position) + jnp.sum(y.velocity**2) / 2

    slope = float(jax.jit(flow.generator(energy))(0.0, state))
    low, high = decision.gap
    assert slope > 0
    assert low - 1e-12 <= slope <= high + 1e-12


def test_a_function_that_only_convexity_allows_refutes():
    """2F <= ⟨e,g⟩ holds on quadratics, and fails on |x|."""
    left, using = 2 * GAP - EG, [strongly_convex(), minimal()]
    assert on_powers(left, [i.expression for i in using]) is None
    found = find_certificate(left, using)
    assert found.decision.status == "refuted"
    witness = found.decision.witness or {}
    assert witness[sp.Symbol("power of f")] == 1
    # With F >= |g|²/(2L) among the hypotheses |x| is no longer a witness.
    smoothness = sp.Symbol("L", positive=True)
    bounded = find_certificate(left, [*using, smooth_at_minimum(smoothness)])
    assert bounded.decision.status == "undecided"


EHE = inner("e", "He")
ON_POWERS = {
    "half the Hessian is too little": (2, 2 * EG - EHE, True),
    "as on quadratics, p = 4": (4, 2 * EG - EHE, False),
    "the slope 3 of the gradient, p = 4": (4, 2 * EHE - 5 * EG, True),
    "its square, p = 4": (4, 8 * GG - inner("He", "He"), False),
    "the square of 3, p = 4": (4, inner("He", "He") - 8 * GG, True),
    "no curvature, p = 1": (1, EHE, False),
    "no curvature against the gap, p = 1": (1, GAP - EHE, True),
    "largest at the kink, p = 1": (1, VV - EE, True),
}


@pytest.mark.parametrize("case", ON_POWERS.values(), ids=ON_POWERS)
def test_a_witness_is_one_on_the_power_itself(case):
    """The products again from derivatives of f = κ|x|^p/p, κ = λ|e|^{2-p}."""
    power, left, refuted = case
    found = on_powers(left, [], power)
    assert (found is not None) is refuted
    if found is None:
        return
    value = {s.name: x for s, x in (found.witness or {}).items()}
    assert value["power of f"] == power
    x = sp.Symbol("x", real=True)
    e, v = value["e"], value["v"]
    f = value["lambda"] * abs(e) ** (2 - power) * abs(x) ** power / power
    slope: Any = sp.diff(f, x)
    g, force = slope.subs(x, e), slope.diff(x).subs(x, e) * e  # and He
    table = {GAP: f.subs(x, e), EE: e**2, EG: e * g, GG: g**2, VV: v**2}
    table |= {EHE: e * force, inner("He", "He"): force**2}
    low, high = found.gap or (0, 0)
    assert 0 < low <= float(left.subs(table)) <= high


def test_e_is_not_zero_but_on_quadratics():
    """|v|² > |e|²/ε only near e = 0, where λ = κ|e|^{p-2} is no free number."""
    left = VV - 10**14 * EE
    found = on_powers(left, [])
    assert found is not None
    assert (found.witness or {})[sp.Symbol("e", real=True)] == 0
    assert on_powers(left, [], 4) is None


@pytest.mark.parametrize("bound", [smooth, lipschitz, smooth_at_minimum])
def test_a_hypothesis_about_a_minimum_excludes_maxima(bound):
    """-(f - f*) <= 0 is true in each class; a concave f has no minimum."""
    smoothness = sp.Symbol("L", positive=True)
    found = find_certificate(-GAP, [bound(smoothness)])
    assert found.decision.status != "refuted"
    # A true counterexample of the class is still found.
    assert find_certificate(GAP, [bound(smoothness)]).decision.status == "refuted"
    # Without a minimum x* is any stationary point.
    assert find_certificate(-GAP, []).decision.status == "refuted"


def test_convexity_and_smoothness_make_the_gradient_co_coercive():
    smoothness = sp.Symbol("L", positive=True)
    left = -cocoercive(smoothness).expression
    assert left == GG / smoothness - EG
    using = [smooth_convex(smoothness), smooth_at_minimum(smoothness)]
    assert find_certificate(left, using).proved
    # Of smoothness alone it is not true, nor with a larger constant.
    assert find_certificate(left, using[1:]).decision.status != "proved"
    better = -cocoercive(smoothness * sp.Rational(999, 1000)).expression
    assert find_certificate(better, using).decision.status == "refuted"


MU, L = sp.symbols("mu L", positive=True)
TRUE_ON_QUADRATICS = {
    "strongly convex": (strongly_convex(MU), MU, None),
    "growth": (growth(MU), MU, None),
    "convex and smooth": (smooth_convex(L), None, L),
    "co-coercive": (cocoercive(L), None, L),
    "smooth, at a minimum": (smooth_at_minimum(L), None, L),
    "smooth": (smooth(L), None, L),
    "lipschitz": (lipschitz(L), None, L),
    "curved": (curved("v", MU), MU, None),
}


@pytest.mark.parametrize("case", TRUE_ON_QUADRATICS.values(), ids=TRUE_ON_QUADRATICS)
def test_an_inequality_holds_exactly_for_its_class(case):
    """On f = λx²/2 each is >= 0 for λ at its bound, and < 0 beyond it."""
    inequality, least, most = case
    lam, e, v = 1.7, 0.6, -0.8
    table = {GAP: lam * e**2 / 2, EG: lam * e**2, GG: lam**2 * e**2, EE: e**2}
    table |= {VV: v**2, inner("v", "Hv"): lam * v**2}
    edge = least or most
    at = [
        float(inequality.expression.subs(table).subs(edge, lam * k))
        for k in (0.5, 1, 2)
    ]
    signs = at if least else at[::-1]
    assert signs[0] > 0 > signs[2]
    assert signs[1] == pytest.approx(0.0, abs=1e-15)


def test_squares_of_a_combination():
    assert sp.expand(square(v=2, e=-MU).expression - squared(v=2, e=-MU)) == 0
    moved = square(e=MU).subs({MU: 3})
    assert moved.vector == {"e": 3}
    assert jax.tree.leaves(moved.expression) == [9 * EE]
