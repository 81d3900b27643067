import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discretize.order_fit import fit_order
from flows.errors import BadInput
from proofs_check import decide
from proofs_check.evidence import Order, Verdict

LADDER = 0.25 * 0.5 ** np.arange(8)


def expansion(a, h=LADDER, p=1.0):
    return np.abs(h**p * (1 + sum(c * h ** (k + 1) for k, c in enumerate(a))))


def test_order_of_a_clean_error():
    errors = 3.0 * expansion((2.0,), p=2.0)
    found = decide.order(2, LADDER, errors)
    assert found.verdict == "holds"
    assert found.interval[0] < 2 < found.interval[1]
    assert decide.order(1.5, LADDER, errors).verdict == "refuted"
    assert decide.order(2.5, LADDER, errors).verdict == "refuted"
    assert fit_order(LADDER, errors).constant == pytest.approx(3.0, rel=1e-4)


@pytest.mark.slow
def test_order_rule_on_random_expansions():
    """e = h(1 + a1 h + a2 h^2 + a3 h^3), h = 1, 1/2, ..., 1/128, |a| <= 5.

    The rule has no luck in it: a wrong answer among 1,000 draws would show a rate above
    0.5 % with probability 0.99. Undecided is allowed in 20 % (13 % were found).
    """
    rng = np.random.default_rng(0)
    h = 0.5 ** np.arange(8)
    answers = {claim: [] for claim in (0.5, 1.0, 1.5)}
    for a in rng.uniform(-5, 5, (1000, 3)):
        fit = expansion(a, h)
        for claim, found in answers.items():
            found.append(decide.order(claim, h, fit).verdict)
    assert Verdict.REFUTED not in answers[1.0]
    assert answers[1.0].count(Verdict.HOLDS) > 800
    for claim in (0.5, 1.5):
        assert Verdict.HOLDS not in answers[claim]
        assert answers[claim].count(Verdict.REFUTED) > 800


def test_order_needs_the_same_answer_twice():
    errors = expansion((1.0,))
    assert decide.order(1, LADDER[:4], errors[:4]).verdict == "undecided"
    assert decide.order(1, LADDER[:5], errors[:5]).verdict == "holds"
    few = decide.order(1, LADDER[:3], errors[:3])
    assert few.verdict == "undecided" and few.interval is None


def test_half_power_expansion():
    errors = LADDER**0.5 * (1 + 0.5 * LADDER**0.5)
    assert decide.order(0.5, LADDER, errors, q=0.5).verdict == "holds"
    assert decide.order(1.0, LADDER, errors, q=0.5).verdict == "refuted"


def test_levels_below_the_floor_do_not_count():
    noise = 1e-6 * np.random.default_rng(3).uniform(-1, 1, 8)
    errors = np.abs(expansion((1.0,), p=2.0) + noise)
    fit = fit_order(LADDER, errors, floor=1e-6)
    assert fit.kept.tolist() == [True] * 5 + [False] * 3
    assert decide.order(2, LADDER, errors, floor=1e-6).verdict == "holds"
    assert fit_order(LADDER, errors).kept.all()
    nothing = decide.order(2, LADDER, np.zeros(8))
    assert nothing.verdict == "undecided" and "0 of 8" in nothing.obstacle


def test_rounding_of_the_levels_widens_the_interval():
    errors = expansion((1.0,))
    wide = fit_order(LADDER, errors, floor=errors * 5e-3)
    sharp = fit_order(LADDER, errors)
    gain = wide.half_width - sharp.half_width
    w = np.array([1, 3, 2])  # weights of the last three log2 errors in t
    assert gain == pytest.approx(w.sum() * 5e-3 / math.log(2), rel=1e-6)
    low = errors * (1 + 5e-3 * np.array([0, 0, 0, 0, 0, 1, -1, 1]))
    assert abs(fit_order(LADDER, low).slope - 1) <= wide.half_width


@settings(max_examples=60, deadline=None, derandomize=True)
@given(p=st.floats(0.3, 4), half=st.floats(1e-4, 0.2), sign=st.sampled_from([-1, 1]))
def test_planted_error_of_an_order(p, half, sign):
    """p moved by 1.05 D is refuted although the bias took its side."""
    for end in (-1, 1):
        interval = (p - end * half - half, p - end * half + half)
        detectable = 0.25 + 2 * half
        moved = Order(p + sign * 1.05 * detectable)
        assert moved.judge(p, interval, detectable, 0.75) is Verdict.REFUTED


def test_fit_reports_what_is_not_asymptotic():
    fit = fit_order(LADDER, 2 + np.cos(5 * np.arange(8)))
    assert not fit.asymptotic and fit.reason
    assert "(" in str(fit)
    assert fit_order(LADDER, expansion((1.0,))).asymptotic


@pytest.mark.parametrize(
    ("h", "errors", "message"),
    [
        ([1, 0.5, 0.3], [1, 1, 1], "one ratio"),
        ([1, 2, 4], [1, 1, 1], "strictly decreasing"),
        ([1, 0.5], [1, math.inf], "finite"),
        ([1, 0.5], [1, -1], "finite and >= 0"),
        ([1, 0.5], [1], "two vectors"),
    ],
)
def test_bad_ladders_are_refused(h, errors, message):
    with pytest.raises(BadInput, match=message):
        fit_order(h, errors)


def test_leading_constant():
    errors = 0.7 * expansion((1.0, 1.0))
    assert decide.leading_constant(0.7, LADDER, errors, 1).verdict == "holds"
    found = decide.leading_constant(0.7, LADDER, -errors, 1)
    assert found.verdict == "refuted"
    assert decide.leading_constant(0.75, LADDER, errors, 1).verdict == "refuted"
    assert found.data["kind"] == "constant"


def test_a_small_term_of_lower_order_is_plain_in_the_constant():
    """An h^(1/2) term that is 7 % of the finest error: slope rule or not, C fails."""
    tiny = 0.07 * LADDER[-1] ** 0.5
    errors = LADDER + tiny * LADDER**0.5
    found = decide.leading_constant(1.0, LADDER, errors, 1)
    assert found.verdict != "holds"


def test_constant_of_an_exact_power_has_rounding():
    found = decide.leading_constant(1 / 3, LADDER, LADDER**2 / 3, 2)
    assert found.verdict == "holds" and 0 < found.detectable < 1e-12


def strong_sample(rng, n, h, p, a=0.4):
    """Path errors with a shared and a private part, correlated between levels."""
    shared = np.abs(rng.standard_normal((n, 1)))
    private = np.abs(rng.standard_normal((n, h.size)))
    return h**p * (shared + 0.3 * private) * (1 + a * h**p)


def test_strong_order_holds_and_refutes():
    """At level 1e-9; rivals half an order off are refuted at every one of 20 seeds."""
    h = LADDER[:5]
    for seed in range(20):
        errors = strong_sample(np.random.default_rng(seed), 4000, h, 1.0)
        found = decide.strong_order(1, h, errors)
        assert found.verdict == "holds" and found.data["sufficient"]
        assert decide.strong_order(0.5, h, errors).verdict == "refuted"
        assert decide.strong_order(1.5, h, errors).verdict == "refuted"


def test_strong_order_standard_error_is_right():
    """Influence s.e. against the spread over 400 runs.

    The spread has relative s.d. 1/sqrt(800) = 3.5 %; the bound of 15 % is 4 s.d., so a
    false alarm is below 1e-4, and an s.e. off by 30 % is seen.
    """
    rng, h = np.random.default_rng(7), LADDER[:5]
    found = [
        decide.strong_order(1, h, strong_sample(rng, 500, h, 1.0)) for _ in range(400)
    ]
    slopes = np.array([e.measured for e in found])
    claimed = np.mean([e.data["standard_error"] for e in found])
    assert claimed == pytest.approx(np.std(slopes, ddof=1), rel=0.15)


def test_strong_order_undecided_and_error():
    h = LADDER[:5]
    few = strong_sample(np.random.default_rng(0), 20, h, 1.0)
    few[0] *= np.array([1.0, 40.0, 1.0, 90.0, 1.0])
    found = decide.strong_order(1, h, few)
    assert found.verdict == "undecided" and not found.data["sufficient"]
    few[3, 2] = math.nan
    found = decide.strong_order(1, h, few)
    assert found.verdict == "error" and "1 of 20" in found.fault
    with pytest.raises(BadInput, match="at least 4 levels"):
        decide.strong_order(1, h[:3], few[:, :3])


def weak_means(rng, p, n, h, coefficients=(1.0, 0.5, 0.3), noise=1.0):
    """Signed means with noise h/sqrt n, correlated between neighbouring levels."""
    signal = sum(c * h ** (p + k) for k, c in enumerate(coefficients))
    correlation = 0.5 ** np.abs(np.subtract.outer(range(h.size), range(h.size)))
    covariance = correlation * np.outer(h, h) * noise**2 / n
    return rng.multivariate_normal(signal, covariance), covariance


def test_weak_order_level_and_power():
    """Level 0.01, 300 runs for each true order, noise h/sqrt n.

    A refuted truth is expected in at most 1 % of runs; more than 10 of 300 has
    probability below 4e-4. A claim off by one never holds in 300 (rates above 1 % are
    seen with probability 0.95).
    """
    rng, h, runs = np.random.default_rng(11), 0.5 * 0.5 ** np.arange(5), 300
    for true, n in [(1, 1e5), (2, 1e8)]:
        counts = {claim: [] for claim in (true - 1, true, true + 1)}
        for _ in range(runs):
            means, covariance = weak_means(rng, true, n, h)
            for claim, found in counts.items():
                e = decide.weak_order(claim, h, means, covariance, alpha=0.01)
                found.append(e.verdict)
        assert counts[true].count(Verdict.REFUTED) <= 10
        assert counts[true].count(Verdict.HOLDS) > 0.9 * runs
        for wrong in (true - 1, true + 1):
            assert Verdict.HOLDS not in counts[wrong]
            assert counts[wrong].count(Verdict.REFUTED) > 0.9 * runs


def test_weak_order_intervals_name_the_orders_left():
    h = 0.5 * 0.5 ** np.arange(5)
    means, covariance = weak_means(np.random.default_rng(0), 1, 1e7, h)
    assert decide.weak_order(1, h, means, covariance).interval == (1.0, 1.0)
    assert decide.weak_order(2, h, means, covariance).interval == (-math.inf, 1.0)
    blurred = decide.weak_order(1, h, means, covariance * 1e6)
    assert blurred.verdict == "undecided"
    with pytest.raises(BadInput, match="positive definite"):
        decide.weak_order(1, h, means, np.ones((5, 5)))


def test_mean_errors_keep_the_covariance():
    rng = np.random.default_rng(5)
    errors = rng.standard_normal((4000, 1)) + 0.1 * rng.standard_normal((4000, 4))
    means, covariance = decide.mean_errors(errors)
    assert means.shape == (4,)
    assert covariance[0, 1] * 4000 == pytest.approx(1.0, rel=0.15)
