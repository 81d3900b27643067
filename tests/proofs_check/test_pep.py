"""Worst cases by PEPit: peers, solvers that fail, problems without a bound."""

import functools
import operator

import pytest
import sympy as sp

from flows import AcceleratedFlow
from proofs_check import ClaimResult, Verdict, check, decide, extras
from proofs_check.claims import worst_cases_momentum
from proofs_check.energies import (
    accelerated_energy,
    accelerated_pair,
    at_rest,
    excess_pair,
    gradient_flow_pair,
    mechanical_pair,
)
from proofs_check.inner_products import lyapunov_pair
from proofs_check.pep import (
    REQUIRES,
    flow_worst_case,
    function_class,
    gradient_descent_worst_case,
    heavy_ball_worst_case,
    nesterov_worst_case,
    worst_case,
)

pytestmark = pytest.mark.skipif(
    bool(extras.missing(REQUIRES)), reason=extras.advice(REQUIRES)
)


def upper(attempts):
    return attempts[-1].dual + attempts[-1].error


def lower(attempts):
    return attempts[-1].primal - attempts[-1].error


@pytest.mark.parametrize("rate", [1.0, 1.7])
def test_gradient_descent_against_pepits_own_example(rate):
    from PEPit.examples.unconstrained_convex_minimization import wc_gradient_descent

    theirs, _ = wc_gradient_descent(
        2.0, rate / 2.0, 2, wrapper="cvxpy", solver="CLARABEL", verbose=-1
    )
    ours = gradient_descent_worst_case(2, smoothness=2.0, rate=rate)
    assert ours[0].dual == pytest.approx(theirs, rel=1e-6)
    assert len(ours) == 1
    exact = max(2.0 / (2 * (4 * rate + 1)), (1 - rate) ** 4)
    assert lower(ours) <= exact <= upper(ours)
    assert upper(ours) - lower(ours) < 1e-5


def test_the_strongly_convex_flow_against_pepits_own_example():
    from PEPit.examples.continuous_time_models import (
        wc_gradient_flow_strongly_convex,
    )

    theirs, _ = wc_gradient_flow_strongly_convex(
        0.7, wrapper="cvxpy", solver="CLARABEL", verbose=-1
    )
    ours = flow_worst_case(excess_pair(), "strongly_convex", normalisation="==", mu=0.7)
    assert ours[0].dual == pytest.approx(theirs, rel=1e-6)


def test_momentum_methods_against_pepits_own_examples():
    from PEPit.examples.unconstrained_convex_minimization import (
        wc_accelerated_gradient_convex_simplified,
        wc_heavy_ball_momentum,
    )

    about = {"wrapper": "cvxpy", "solver": "CLARABEL", "verbose": -1}
    theirs, _ = wc_accelerated_gradient_convex_simplified(0, 2.0, 3, **about)
    ours = nesterov_worst_case(3, smoothness=2.0)
    assert ours[0].dual == pytest.approx(theirs, rel=1e-6)
    theirs, _ = wc_heavy_ball_momentum(0.1, 1.0, 0.5, 0.6, 2, **about)
    ours = heavy_ball_worst_case(2, strong=0.1, smoothness=1.0, rate=0.5, momentum=0.6)
    assert ours[0].dual == pytest.approx(theirs, rel=1e-5)


def test_a_hessian_product_is_a_point_with_its_sign():
    """f + |v|²/2 falls along inertial Newton, however H v lies with <v, Hv> >= 0."""
    pair = mechanical_pair().at(friction=0.5, hessian_damping=0.3)
    exact = flow_worst_case(pair, "strongly_convex", mu=1.0, normalisation="==")
    # V' = -α|v|² - β⟨v, Hv⟩ is largest, 0, where v = 0.
    assert lower(exact) <= 0.0 <= upper(exact)
    rising = mechanical_pair().at(friction=-0.5, hessian_damping=0.25)
    found = flow_worst_case(rising, "strongly_convex", mu=1.0)
    # V' = (1/2 - 1/4)|v|² <= V/2 on V <= 1, attained with f - f* = 0.
    assert lower(found) <= 0.5 <= upper(found)


@pytest.mark.parametrize(("friction", "t"), [(2.9, 3.4), (2.5, 3.4), (5.0, 0.3)])
def test_too_little_friction_lets_the_energy_grow(friction, t):
    """The worst case of dV/dt over V <= 1 is max(0, (3 - r)/t)."""
    pair = accelerated_pair().at(friction=friction, t=t)
    found = decide.sdp(
        max(0.0, (3 - friction) / t), flow_worst_case(pair, "convex"), delta=1e-5
    )
    assert found.verdict is Verdict.HOLDS, str(found)


def test_the_first_order_solver_encloses_the_same_value():
    pair = gradient_flow_pair(sp.Rational(3, 2)).at(t=2.5)
    (found,) = flow_worst_case(pair, "convex", solvers=("SCS",))
    exact = (2**0.5 - 1) ** 2 / 7.5
    assert found.solver == "SCS"
    assert lower([found]) <= exact <= upper([found])


def test_a_solver_that_fails_hands_over_to_the_next():
    pair = gradient_flow_pair().at(t=2.5)
    found = flow_worst_case(pair, "convex", solvers=("ABSENT", "CLARABEL"))
    assert [s.status.split(":")[0] for s in found] == ["failed", "optimal"]
    alone = flow_worst_case(pair, "convex", solvers=("ABSENT",))
    evidence = decide.sdp(0, alone, delta=1e-6)
    assert evidence.verdict is Verdict.UNDECIDED
    assert "ABSENT" in evidence.reason


def test_heavy_ball_is_judged_by_the_solver_that_ended(monkeypatch):
    def verdict(*solvers):
        asked = functools.partial(heavy_ball_worst_case, solvers=solvers)
        monkeypatch.setattr(worst_cases_momentum, "heavy_ball_worst_case", asked)
        result = check(worst_cases_momentum.worst_heavy_ball)
        assert isinstance(result, ClaimResult)
        return result.verdict

    assert verdict("ABSENT", "CLARABEL") is Verdict.HOLDS
    assert verdict("ABSENT") is Verdict.UNDECIDED


def test_without_a_normalisation_a_false_claim_has_no_bound():
    pair = gradient_flow_pair(sp.Rational(3, 2)).at(t=2.5)

    def build(problem):
        x = problem.set_initial_point()
        slope, level = function_class("convex", problem).oracle(x)
        _, derivative = pair.on(level, {"e": x, "g": slope}, operator.mul)
        problem.set_performance_metric(derivative)

    evidence = decide.sdp(0, worst_case(build), delta=1e-6)
    assert evidence.verdict is Verdict.REFUTED
    assert evidence.measured == float("inf")


def test_mismatched_coefficients_never_hold():
    """Friction 2.9, but the energy of friction 3: <v, v> is left over in dV/dt."""

    def energy(flow, t, y):
        model = AcceleratedFlow(flow.objective, 3.0)
        return accelerated_energy(model, t, y)

    pair = lyapunov_pair(AcceleratedFlow, energy, at_rest).at(friction=2.9, t=3.4)
    found = decide.sdp(0, flow_worst_case(pair, "convex"), delta=1e-6)
    assert found.verdict in (Verdict.REFUTED, Verdict.UNDECIDED), str(found)
