"""A claim runs, its controls are caught, and every way to fail has its own verdict."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from toys import TOYS, constant, euler_order, square, unit_rate

from flows.errors import BadInput, PrecisionError, UnstableStep
from proofs_check import (
    Equal,
    Grade,
    Order,
    UpperBound,
    Variation,
    Verdict,
    check,
    claim,
)


def make(run=None, **options):
    """A claim like one written in a notebook: no registry, no install."""

    def rate(ctx):
        return constant(ctx, 1.0)

    options = {"source": "me 2026", "relation": Equal(1.0), **options}
    return claim("note.rate", **options)(run or rate)


def with_control(made, value=2.0, **options):
    made.control("broken", **{"expected": value, **options})(
        lambda ctx: constant(ctx, value)
    )
    return made


def test_a_true_claim_with_caught_controls_holds():
    result = check(unit_rate)
    assert result.verdict is Verdict.HOLDS
    assert [c.caught for c in result.controls] == [True, True]
    assert len(result.checks) == 1
    assert (result.claimed, result.measured) == (1.0, pytest.approx(1.0))
    assert result.interval[0] < 1.0 < result.interval[1]
    assert (result.delta, result.unit, result.relation) == (1e-2, "1/time", "equal")
    assert result.reason == ""


def test_full_effort_runs_every_route_at_the_sharper_delta():
    result = check(unit_rate, effort="full")
    assert [c.name for c in result.checks] == ["main", "by the derivative at 0"]
    assert result.delta == 1e-3
    assert check(unit_rate, delta=5e-4).delta == 5e-4


def test_a_claim_in_a_notebook_needs_a_control_to_hold():
    assert check(make()).verdict is Verdict.UNDECIDED
    assert "no negative control" in check(make()).reason
    assert check(with_control(make())).verdict is Verdict.HOLDS


def test_further_controls_are_given_by_parameters():
    def rate(ctx):
        return constant(ctx, 2.0 * ctx.parameters.beta)

    made = make(rate, parameters={"beta": 0.5})
    result = check(made, controls={"half": {"beta": 0.25}})
    assert result.verdict is Verdict.HOLDS
    assert result.controls[0].measured == 0.5
    with pytest.raises(BadInput, match="no parameter 'gamma'; it has: beta"):
        check(made, controls={"half": {"gamma": 0.25}})


def test_the_worst_verdict_wins():
    refuted = with_control(make(lambda ctx: constant(ctx, 1.5)))
    assert check(refuted).verdict is Verdict.REFUTED
    wide = with_control(make(lambda ctx: constant(ctx, 1.0, half=0.1)))
    assert check(wide).verdict is Verdict.UNDECIDED
    blind = make()
    blind.control("nothing is broken")(lambda ctx: constant(ctx, 1.0))
    assert check(blind).verdict is Verdict.BLIND
    other = make()
    other.control("broken", expected=2.0)(lambda ctx: constant(ctx, 3.0))
    assert check(other).verdict is Verdict.BLIND


def test_two_routes_that_exclude_each_other_are_an_error():
    made = with_control(make(lambda ctx: constant(ctx, 1.0)))
    made.route("second")(lambda ctx: constant(ctx, 1.001))
    assert check(made, effort="quick").verdict is Verdict.HOLDS
    result = check(made, effort="full")
    assert result.verdict is Verdict.ERROR
    assert "exclude each other" in result.reason


def test_a_crash_is_one_row_with_the_last_lines_of_its_traceback():
    def rate(ctx):
        yield constant(ctx, 1.0)
        raise ZeroDivisionError("one over nothing")

    result = check(with_control(make(rate)))
    assert result.verdict is Verdict.ERROR
    assert [c.verdict for c in result.checks] == [Verdict.HOLDS, Verdict.ERROR]
    assert result.checks[1].error.endswith("ZeroDivisionError: one over nothing")
    assert "raise ZeroDivisionError" in result.checks[1].error


def test_an_exception_in_a_control_is_never_caught():
    made = make()

    @made.control("overflows", expected="diverged")
    def _(ctx):
        raise UnstableStep("step 3 > 2", step=3.0, limit=2.0)

    result = check(made)
    assert result.verdict is Verdict.ERROR
    assert not result.controls[0].caught
    assert "UnstableStep: step 3 > 2" in result.controls[0].error


def test_divergence_counts_only_where_it_was_declared():
    made = make()
    made.control("too large a step", expected="diverged")(lambda ctx: ctx.diverged())
    assert check(made).verdict is Verdict.HOLDS
    finite = make()
    finite.control("step", expected="diverged")(lambda ctx: constant(ctx, 9.0))
    assert check(finite).verdict is Verdict.BLIND
    undeclared = make()
    undeclared.control("step", expected=2.0)(lambda ctx: ctx.diverged())
    assert check(undeclared).verdict is Verdict.BLIND


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda ctx: [], "brings no evidence home"),
        (lambda ctx: [1.0], "yields float, not Evidence"),
        (lambda ctx: None, "NoneType"),
    ],
)
def test_what_is_not_evidence_is_an_error(run, message):
    result = check(make(run))
    assert result.verdict is Verdict.ERROR
    assert message in result.checks[0].error


def test_a_grade_weaker_than_the_declared_one_is_an_error():
    result = check(with_control(make(grade="proved")))
    assert result.verdict is Verdict.ERROR
    assert "declared proved, but the evidence is measured" in result.reason


def test_varied_parameters_make_a_table_that_names_the_failed_hypothesis():
    table = check(unit_rate, vary={"rate": [1.0, 1.00001, 2.0]})
    assert isinstance(table, Variation)
    verdicts = [r.verdict for r in table]
    assert verdicts == [Verdict.HOLDS, Verdict.HOLDS, Verdict.REFUTED]
    assert [len(r.failed_hypotheses) for r in table] == [0, 1, 1]
    assert "1.00001" in str(table)
    assert "<table>" in table._repr_html_()


def test_an_unstable_value_is_a_row_that_says_diverged():
    def rate(ctx):
        if ctx.parameters.eta > 2:
            raise UnstableStep("eta 2.1 > 2", step=2.1, limit=2.0)
        return constant(ctx, 1.0)

    made = with_control(make(rate, parameters={"eta": 0.1}))
    table = check(made, vary={"eta": [0.1, 2.1]})
    assert [r.verdict for r in table] == [Verdict.HOLDS, Verdict.ERROR]
    assert "diverged (UnstableStep: eta 2.1 > 2)" in str(table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effort": "slow"}, "'quick' or 'full'"),
        ({"seed": -1}, "seed must lie in"),
        ({"seed": True}, "whole number"),
        ({"delta": 0.0}, "positive finite"),
        ({"delta": float("nan")}, "positive finite"),
        ({"vary": {"eta": [1]}}, "no parameter 'eta'; it has: rate"),
        ({"vary": {"rate": "1.0"}}, "list of values for 'rate'"),
        ({"vary": {"rate": []}}, "no value for 'rate'"),
    ],
)
def test_bad_requests_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        check(unit_rate, **options)


def test_a_claim_for_full_runs_is_refused_at_quick():
    with pytest.raises(BadInput, match="effort='full' only"):
        check(square)
    assert check(square, effort="full").verdict is Verdict.HOLDS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id": "no blanks"}, "family.name"),
        ({"grade": "sure"}, "accepted: proved, certified"),
        ({"delta": -1.0}, "delta must be"),
        ({"checks": 0}, "at least 1"),
    ],
)
def test_bad_declarations_are_refused(options, message):
    with pytest.raises(BadInput, match=message):
        claim(**{"id": "a.b", "source": "me", **options})(lambda ctx: None)


def test_a_control_too_close_to_the_claim_is_refused_as_declared():
    made = make(relation=Equal(1.0), delta=0.01, quick_delta=0.05)
    with pytest.raises(BadInput, match=r"1\.5 detectable errors"):
        made.control("shy", expected=1.06)
    made.control("bold", expected=1.08)
    with pytest.raises(BadInput, match="expects 'far'"):
        made.control("words", expected="far")
    with pytest.raises(BadInput, match="named 'main' already"):
        made.route("main")


def test_float32_is_refused_with_the_lines_to_paste():
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(PrecisionError, match="jax_enable_x64"):
            check(unit_rate)
    finally:
        jax.config.update("jax_enable_x64", True)


def test_a_monte_carlo_claim_through_the_context():
    """False alarm 1e-9; a mean off by delta = 10 % is refuted with power 0.99."""
    seen = []

    @claim("note.mean", source="me", relation=Equal(1.0), delta=0.1)
    def mean(ctx):
        def sample(seed, n):
            seen.append((ctx.check, seed))
            return np.random.default_rng(seed).exponential(ctx.parameters.scale, n)

        return ctx.mean(sample)

    mean.parameters["scale"] = 1.0
    mean.control("scale doubled", expected=2.0, parameters={"scale": 2.0})
    result = check(mean)
    assert result.verdict is Verdict.HOLDS
    assert result.grade == "estimated"
    assert len({seed for _, seed in seen}) == len(seen)
    assert {name for name, _ in seen} == {"main", "scale doubled"}


def test_more_sampled_evidence_than_declared_is_an_error():
    def run(ctx):
        return [replace(constant(ctx, 1.0), grade=Grade.ESTIMATED)] * 2

    assert check(make(run)).verdict is Verdict.ERROR
    assert check(with_control(make(run, checks=2))).verdict is Verdict.HOLDS


def test_a_claim_without_a_level_may_not_sample():
    def run(ctx):
        return replace(constant(ctx, 1.0), grade=Grade.MEASURED)

    def sampled(ctx):
        return replace(constant(ctx, 3.0), grade=Grade.ESTIMATED)

    measured = make(run, grade="measured")
    assert measured.checks == 0
    measured.control("three", expected=3.0)(sampled)
    result = check(measured)
    assert result.verdict is Verdict.ERROR
    assert "holds no level" in result.controls[0].error
    estimated = make(run, grade="estimated")
    estimated.control("three", expected=3.0)(sampled)
    assert estimated.checks == 2
    assert check(estimated).verdict is Verdict.HOLDS


def test_results_show_statement_and_what_would_have_been_caught():
    shown = check(unit_rate)._repr_html_()
    assert "<math" in shown
    assert "would have caught 0.02 %" in shown
    assert "rate doubled" in shown
    assert "&lt;methods&gt;" in shown
    assert "<methods>" not in shown
    text = str(check(euler_order))
    assert "order 1" in text
    assert "control: Heun's method" in text
    assert "would have caught an order off by 0.27" in text
    assert "<math" in unit_rate._repr_html_()


def test_a_loose_bound_says_so():
    def rate(ctx):
        found = constant(ctx, 0.01)
        return replace(found, relation=UpperBound(1.0), detectable=0.99)

    assert "10 times sharper" in str(check(make(rate)))


def test_relations_of_orders_and_ids():
    assert euler_order.relation == Order(1.0)
    assert euler_order.family == "scheme"
    assert claim("a/b", source="me")(lambda ctx: None).family == "a"
    assert list(TOYS) == ["algebra.square", "scheme.euler-order", "toy.unit-rate"]
    assert unit_rate.source.label == "Euler, Heun, Runge 1768"
    assert unit_rate.checks == 4
