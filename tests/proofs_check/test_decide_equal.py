import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flows.errors import BadInput
from proofs_check import decide
from proofs_check.decide import Measurement, critical
from proofs_check.evidence import Grade

sizes = st.floats(1e-3, 1e3)
relative = st.floats(1e-6, 0.5)


def test_critical_values():
    for alpha, z, one, t31, t63, t255, eps in [
        (1e-9, 6.109, 5.998, 8.61, 7.17, 6.35, 3.272),
        (2.5e-10, 6.327, 6.219, 9.16, 7.52, 6.59, 3.377),
        (1e-11, 6.807, 6.706, 10.49, 8.32, 7.14, 3.607),
    ]:
        assert critical.normal(alpha) == pytest.approx(z, abs=6e-4)
        assert critical.normal(alpha, 1) == pytest.approx(one, abs=6e-4)
        for dof, t in [(31, t31), (63, t63), (255, t255)]:
            assert critical.student(alpha, dof) == pytest.approx(t, abs=6e-3)
        assert critical.dkw(1, alpha) == pytest.approx(eps, abs=6e-4)
    assert critical.level(25, 4) == pytest.approx(1e-11)
    n = critical.sample_size(1.0, 0.1, 1.0, alpha=critical.level(looks=4))
    assert n == pytest.approx(7.5e3, rel=0.01)


def test_binomial_interval_covers():
    """Clopper-Pearson at level 0.01 covers with probability >= 0.99, exactly."""
    n = 40
    bounds = np.array([critical.binomial(k, n, 0.01) for k in range(n + 1)])
    for p in (0.001, 0.03, 0.5, 0.9):
        inside = (bounds[:, 0] <= p) & (p <= bounds[:, 1])
        assert stats.binom.pmf(np.arange(n + 1), n, p)[inside].sum() >= 0.99
    assert critical.binomial(0, n)[0] == 0 and critical.binomial(n, n)[1] == 1


def test_anytime_interval_is_wider_than_the_fixed_one():
    factor = critical.anytime(1000, 1000) * math.sqrt(1000)
    assert factor == pytest.approx(6.8, abs=0.1)
    with pytest.raises(BadInput, match="sampling cannot help"):
        critical.sample_size(1.0, 0.1, 1.0, bias=0.05)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(c=sizes, bias=relative, sign=st.sampled_from([-1, 1]))
def test_planted_error_equal_and_range(c, bias, sign):
    """A claim moved by 1.05 D S is refuted although the bias took its side."""
    for end in (-1, 1):
        m = Measurement(c * (1 - end * bias * (1 - 1e-9)), bias=bias * c)
        true = decide.equal(c, m, delta=1.0)
        assert true.verdict in ("holds", "undecided")
        shift = sign * 1.05 * true.detectable * c
        assert decide.equal(c + shift, m, delta=1.0, scale=c).verdict == "refuted"
        at_low = decide.within(c, 2 * c, m, delta=2.0)
        shift = 1.05 * at_low.detectable * 2 * c
        moved = decide.within(c + shift, 2 * c + shift, m, delta=2.0, scale=2 * c)
        assert at_low.verdict == "holds" and moved.verdict == "refuted"
        at_high = decide.within(0.0, c, m, delta=2.0)
        shift = -1.05 * at_high.detectable * c
        moved = decide.within(shift, c + shift, m, delta=2.0, scale=c)
        assert at_high.verdict == "holds" and moved.verdict == "refuted"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(c=sizes, bias=relative, slack=st.floats(0.0, 3.0))
def test_planted_error_bounds(c, bias, slack):
    """A bound made smaller (larger) by 1.05 slacks is refuted."""
    for end in (-1, 1):
        m = Measurement(c * (1 + end * bias), bias=bias * c)
        bound = c * (1 + slack) + 2 * bias * c
        found = decide.upper_bound(bound, m, delta=0.1)
        assert found.verdict == "holds"
        moved = bound * (1 - 1.05 * found.detectable) - 1e-9 * c
        assert decide.upper_bound(moved, m, delta=0.1, scale=c).verdict == "refuted"
        bound = c / (1 + slack) - 2 * bias * c
        found = decide.lower_bound(bound, m, delta=0.1, scale=c)
        assert found.verdict == "holds"
        moved = bound + 1.05 * found.detectable * c + 1e-9 * c
        assert decide.lower_bound(moved, m, delta=0.1, scale=c).verdict == "refuted"


def test_planted_error_with_noise():
    """Power 0.99 at error D S, false alarms at 0.01, over 20,000 synthetic means.

    False alarm of this test: below 1e-4 (the counts have 4 s.d. of room); it sees a
    power below 0.987 or a false-alarm rate above 0.013.
    """
    rng = np.random.default_rng(1)
    runs, alpha, se, c = 20_000, 0.01, 0.1, 3.0
    probe = decide.equal(c, Measurement(c, se), delta=1.0, alpha=alpha)
    shifted = c + probe.detectable * c
    m = c + se * rng.standard_normal(runs)
    half = probe.interval[1] - c
    alarms = np.mean(np.abs(m - c) > half)
    power = np.mean(np.abs(m - shifted) > half)
    assert abs(alarms - alpha) < 4 * math.sqrt(alpha * (1 - alpha) / runs)
    assert power > 0.99 - 4 * math.sqrt(0.99 * 0.01 / runs)
    for value in m[:200]:  # the arrays above are the rule itself
        refuted = decide.equal(c, Measurement(value, se), delta=1.0, alpha=alpha)
        assert (refuted.verdict == "refuted") == (abs(value - c) > half)


def test_ladder_of_a_second_order_value():
    values = [2.0 + 0.3 * h**2 for h in (0.1, 0.05, 0.025)]
    m = decide.ladder(values)
    assert abs(m.value - 2.0) <= m.bias
    found = decide.equal(2.0, m, delta=1e-3)
    assert found.verdict == "holds" and found.grade is Grade.MEASURED
    assert decide.equal(2.003, m, delta=1e-3).verdict == "refuted"
    assert decide.equal(2.0, m, delta=1e-5).verdict == "undecided"


def test_ladder_that_does_not_halve_is_undecided():
    found = decide.equal(5.0, decide.ladder([1.0, 1.5, 1.9]), delta=1.0)
    assert found.verdict == "undecided" and "does not converge" in found.obstacle
    further = decide.ladder([1.0, 1.0, 1.0], further=[[0.0, 0.1, 0.3]])
    assert decide.equal(1.0, further, delta=1.0).verdict == "undecided"
    assert decide.equal(1.0, decide.ladder([1, 1, math.nan]), delta=1.0).fault


def test_ladder_at_rounding_converges():
    value = 1 / 3
    wobble = np.nextafter(value, 1)
    m = decide.ladder([value, value, wobble])
    assert not m.obstacle
    assert decide.equal(value, m, delta=1e-12).verdict == "holds"
    assert decide.equal(value * (1 + 1e-13), m, delta=1e-12).verdict == "refuted"
    wide = decide.ladder([value] * 3, condition=1e6, further=[[1.0, 1.5, 1.6]])
    assert wide.bias == pytest.approx(0.1, rel=1e-6)
    with pytest.raises(BadInput, match="three values"):
        decide.ladder([1.0, 2.0])


def test_enclosure_is_certified():
    m = decide.enclosure(0.33, 0.34)
    found = decide.equal(1 / 3, m, delta=0.05)
    assert found.verdict == "holds" and found.grade is Grade.CERTIFIED
    assert found.interval[0] <= 0.33 and found.interval[1] >= 0.34
    assert decide.equal(0.35, m, delta=0.05).verdict == "refuted"
    with pytest.raises(BadInput, match="bounded enclosure"):
        decide.enclosure(0.0, math.inf)


def test_loose_bounds_are_said_in_words():
    m = Measurement(1.0)
    assert "10 times smaller" in decide.upper_bound(20.0, m, delta=0.1).note
    assert decide.upper_bound(5.0, m, delta=0.1).note == ""
    assert "10 times larger" in decide.lower_bound(0.05, m, delta=0.1).note
    assert decide.lower_bound(0.05, m, delta=0.1, note="worst").note[:6] == "worst;"


def test_bound_uses_one_side():
    m = Measurement(1.0, standard_error=0.01)
    lo, hi = decide.upper_bound(1.0, m, delta=0.1).interval
    assert hi - 1 == pytest.approx(5.998 * 0.01, rel=1e-3)
    assert 1 - lo == pytest.approx(5.998 * 0.01, rel=1e-3)
