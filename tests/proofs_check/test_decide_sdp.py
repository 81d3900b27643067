"""The rule for worst cases by SDP, on planted numbers."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.errors import BadInput
from proofs_check import Grade, Verdict, decide
from proofs_check.decide import SdpSolution

EXACT = SdpSolution("optimal", primal=0.5, dual=0.5)
sizes = st.floats(1e-12, 1e-3)


def test_the_interval_holds_the_primal_and_the_dual_with_their_residuals():
    found = SdpSolution(
        "optimal",
        primal=0.4999,
        dual=0.5,
        slack=1e-5,
        trace=3.0,
        residuals=(1e-5, -2e-5),
        bounds=(1.0, 2.0),
        violation=1e-6,
    )
    assert found.error == pytest.approx(3e-5 + 1e-5 + 4e-5 + 1e-6)
    evidence = decide.sdp(0.5, found, delta=1e-3)
    half = found.error + 1e-4
    assert evidence.interval == pytest.approx((0.5 - half, 0.5 + half))
    assert evidence.interval[0] <= found.primal - found.error
    assert evidence.detectable == pytest.approx(2 * half / 0.5)
    assert evidence.verdict is Verdict.HOLDS
    assert evidence.grade is Grade.MEASURED


@given(sizes, sizes, sizes, st.sampled_from([-1.0, 1.0]), st.floats(-1.0, 1.0))
@settings(max_examples=40, deadline=None)
def test_a_planted_error_is_refuted_whatever_the_sign_of_the_bias(
    slack, residual, gap, sign, value
):
    """c shifted by 1.05 D S is refuted even when the value is off by all of b."""
    found = SdpSolution("optimal", value, value + gap, slack, 2.0, (residual,), (1.5,))
    claimed = value + gap + sign * (found.error + gap)  # at the interval's end
    evidence = decide.sdp(claimed, found, delta=1.0, scale=1.0)
    shifted = claimed + sign * 1.05 * evidence.detectable
    rounding = 1e-15
    if abs(found.error + gap) > rounding:
        wrong = decide.sdp(shifted, found, delta=1.0, scale=1.0)
        assert wrong.verdict is Verdict.REFUTED
    inside = decide.sdp(value + gap, found, delta=1.0, scale=1.0)
    assert inside.verdict is Verdict.HOLDS


def test_a_claim_of_zero_has_the_scale_one():
    tiny = SdpSolution("optimal", -1e-9, 1e-9, slack=1e-9, trace=2.0)
    assert decide.sdp(0, tiny, delta=1e-6).verdict is Verdict.HOLDS
    control = SdpSolution("optimal", 1.96e-5, 1.9607e-5, slack=1e-9, trace=2.0)
    assert decide.sdp(0, control, delta=1e-6).verdict is Verdict.REFUTED
    assert decide.sdp(0, control, delta=1e-6, scale=10.0).verdict is Verdict.REFUTED


def test_a_wide_interval_decides_nothing():
    rough = SdpSolution("optimal", 0.4, 0.6)
    assert decide.sdp(0.5, rough, delta=1e-2).verdict is Verdict.UNDECIDED


def test_an_unbounded_problem_refutes():
    found = decide.sdp(0.0, SdpSolution("unbounded", solver="SCS"), delta=1e-6)
    assert (found.verdict, found.measured) == (Verdict.REFUTED, math.inf)
    assert "unbounded (SCS)" in found.note


def test_another_status_hands_over_to_the_second_solver():
    failed = SdpSolution("optimal_inaccurate", 7.0, 9.0, solver="CLARABEL")
    found = decide.sdp(0.5, [failed, EXACT], delta=1e-6)
    assert (found.verdict, found.measured) == (Verdict.HOLDS, 0.5)
    assert decide.sdp(0.5, [EXACT, failed], delta=1e-6).verdict is Verdict.HOLDS
    other = SdpSolution("error: numerical trouble", solver="SCS")
    lost = decide.sdp(0.5, [failed, other], delta=1e-6)
    assert lost.verdict is Verdict.UNDECIDED
    assert "CLARABEL: optimal_inaccurate" in lost.reason
    assert "SCS: error: numerical trouble" in lost.reason


def test_nan_is_an_error():
    nan = SdpSolution("optimal", math.nan, 0.5)
    assert decide.sdp(0.5, nan, delta=1e-6).verdict is Verdict.ERROR
    wild = SdpSolution("optimal", 0.5, 0.5, slack=1e-9, trace=math.inf)
    assert decide.sdp(0.5, wild, delta=1e-6).verdict is Verdict.ERROR


def test_what_cannot_be_is_refused():
    with pytest.raises(BadInput, match="at least one solver"):
        decide.sdp(0.5, [], delta=1e-6)
    with pytest.raises(BadInput, match="one bound for each residual"):
        SdpSolution("optimal", 0.5, 0.5, residuals=(1e-9,))
    with pytest.raises(BadInput, match=">= 0"):
        SdpSolution("optimal", 0.5, 0.5, slack=-1e-9)
