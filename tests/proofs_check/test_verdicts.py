import math

import pytest

from flows.errors import BadInput
from proofs_check import decide
from proofs_check.decide import Measurement
from proofs_check.evidence import (
    Equal,
    Evidence,
    Grade,
    Identity,
    Order,
    Range,
    UpperBound,
    Verdict,
)
from proofs_check.verdicts import (
    WORST_FIRST,
    Control,
    claim_verdict,
    disagreements,
    failed,
    is_separated,
    require_level,
    require_separated,
)


def measured(value, bias=0.01, delta=0.05, **about):
    return decide.equal(1.0, Measurement(value, bias=bias), delta=delta, **about)


HOLDS = measured(1.0)
REFUTED = measured(2.0)
UNDECIDED = measured(1.0, bias=0.5)
ERROR = measured(math.nan)
CAUGHT = Control(measured(2.0), "step above 2/L", expected=2.0)
MISSED = Control(measured(1.0), "step above 2/L")
VAGUE = Control(measured(1.0, bias=0.5), "step above 2/L")


@pytest.mark.parametrize(
    ("checks", "controls", "verdict"),
    [
        ([HOLDS], [CAUGHT], "holds"),
        ([HOLDS], [], "undecided"),
        ([], [CAUGHT], "undecided"),
        ([HOLDS, UNDECIDED], [CAUGHT], "undecided"),
        ([HOLDS], [CAUGHT, VAGUE], "undecided"),
        ([HOLDS], [CAUGHT, MISSED], "blind"),
        ([UNDECIDED], [MISSED], "blind"),
        ([HOLDS, REFUTED], [MISSED], "refuted"),
        ([REFUTED, ERROR], [MISSED], "error"),
        ([HOLDS], [Control(ERROR, "broken")], "error"),
    ],
)
def test_worst_first(checks, controls, verdict):
    found = claim_verdict(checks, controls)
    assert found.verdict == verdict
    assert bool(found.reasons) == (verdict != "holds")
    assert str(found).startswith(verdict)
    assert found.to_json()["verdict"] == verdict


def test_order_of_badness():
    assert [str(v) for v in WORST_FIRST] == [
        "error", "refuted", "blind", "undecided", "holds"
    ]  # fmt: skip
    # A claim that is skipped has no verdict of its evidence.
    assert {*WORST_FIRST, Verdict.SKIPPED} == set(Verdict)


def test_control_with_another_wrong_value_is_blind():
    control = Control(measured(2.0), "sign flipped", expected=3.0)
    assert control.verdict == "blind" and "not with the value 3" in control.reason
    assert claim_verdict([HOLDS], [control]).verdict == "blind"


def test_control_must_measure_its_value_to_delta():
    wide = Control(measured(2.0, bias=0.4), "sign flipped", expected=2.2)
    assert wide.verdict == "undecided"
    assert Control(measured(2.0, bias=0.4), "sign flipped").verdict == "holds"


def test_separation_rule():
    relation = Equal(1.0)
    assert is_separated(relation, 1.075, 0.05)
    assert not is_separated(relation, 1.07, 0.05)
    with pytest.raises(BadInput, match=r"1\.5 detectable errors"):
        require_separated(relation, 1.07, 0.05)
    weak = Control(measured(1.07), "a little off", expected=1.07)
    assert weak.verdict == "error"
    assert is_separated(Order(1.0), 1.5, 0.75) and not is_separated(Order(1.0), 1.3, 1)
    assert is_separated(Range(1, 2), 2.15, 0.05)
    assert not is_separated(Range(1, 2), 2.1, 0.05)
    assert is_separated(UpperBound(1.0), 1.001, 0.05)


def test_divergence_is_a_caught_control_where_expected():
    run_away = Evidence(
        Equal(1.0), math.inf, (math.inf, math.inf), 0.0, 0.05, Grade.ESTIMATED
    )
    assert Control(run_away, "step above 2/L", expected=math.inf).verdict == "holds"
    assert Control(run_away, "step above 2/L", expected=2.0).verdict == "blind"


def test_routes_that_exclude_each_other_are_an_error():
    a = measured(1.0, route="moments")
    b = measured(1.03, route="simulation")
    assert disagreements([a, b]) == [
        "routes 'moments' and 'simulation' exclude each other"
    ]
    assert claim_verdict([a, b], [CAUGHT]).verdict == "error"
    assert not disagreements([a, measured(1.015, route="simulation")])
    assert not disagreements([a, measured(1.03, route="moments")])
    assert not disagreements([a, measured(1.03, route="b", quantity="other")])
    proved, refuted = (
        Evidence(Identity(), s, None, 0, 0, Grade.PROVED, route=s)
        for s in ("proved", "refuted")
    )
    assert disagreements([proved, refuted])


def test_weakest_grade_and_exceptions():
    proved = Evidence(Identity(), "proved", None, 0, 0, Grade.PROVED)
    assert claim_verdict([proved, HOLDS], [CAUGHT]).grade is Grade.MEASURED
    assert claim_verdict([proved], [CAUGHT]).grade is Grade.PROVED
    assert failed(ZeroDivisionError("x")).reasons == ("ZeroDivisionError: x",)


def test_catalogue_level():
    require_level(1000)
    with pytest.raises(BadInput, match="at most 1000"):
        require_level(1001)
