import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flows.errors import BadInput
from proofs_check import decide
from proofs_check.decide import GrowthRate, Measurement, critical
from proofs_check.decide.law import law_sample_size
from proofs_check.decide.mean import Moments
from proofs_check.decide.threshold import samples_per_side
from proofs_check.evidence import Grade, Verdict


def test_law_level_and_power():
    """Level 0.01, 300 runs, Beta(1, 1) claimed; Beta(1.1, 1.1) is d = 0.0139 away.

    More than 10 false alarms in 300 at rate 0.01 has probability below 4e-4. With n
    for d at this level the power is 0.99 by theory; fewer than 290 refuted is seen as
    a loss of power to 0.97 or less.
    """
    rng, alpha, d = np.random.default_rng(2), 0.01, 0.0139
    grid = np.linspace(0, 1, 2001)
    gap = np.max(np.abs(stats.beta.cdf(grid, 1.1, 1.1) - grid))
    assert gap == pytest.approx(d, abs=1e-4)
    n = law_sample_size(d, alpha)
    kwargs = {"delta": d, "alpha": alpha}

    def run(sample):
        return decide.law("Beta(1, 1)", sample, lambda x: x, **kwargs).verdict

    true = [run(rng.random(n)) for _ in range(300)]
    wrong = [run(rng.beta(1.1, 1.1, n)) for _ in range(300)]
    assert true.count(Verdict.REFUTED) <= 10
    assert true.count(Verdict.HOLDS) == 300 - true.count(Verdict.REFUTED)
    assert wrong.count(Verdict.REFUTED) >= 290
    assert law_sample_size(d) == pytest.approx((4.90 / d) ** 2, rel=2e-3)


def test_law_with_atoms_faults_and_bias():
    sample = np.random.default_rng(0).integers(0, 2, 4000).astype(float)
    kwargs = {"delta": 0.2}

    def cdf(x):
        return np.where(x >= 1, 1.0, np.where(x >= 0, 0.5, 0.0))

    def left(x):
        return np.where(x > 1, 1.0, np.where(x > 0, 0.5, 0.0))

    assert decide.law("coin", sample, cdf, left_cdf=left, **kwargs).verdict == "holds"
    wrong = decide.law("coin", sample, cdf, **kwargs)  # an atom passed off as none
    assert wrong.verdict == "refuted"
    sample[7] = math.nan
    assert decide.law("coin", sample, cdf, **kwargs).verdict == "error"
    uniform = (np.arange(100) + 0.5) / 100
    sharp = decide.law("U", uniform, lambda x: x, delta=0.1)
    assert sharp.verdict == "undecided" and sharp.measured == pytest.approx(0.005)
    wide = decide.law("U", uniform, lambda x: x, delta=0.1, bias=0.1)
    assert wide.detectable == pytest.approx(sharp.detectable + 0.2)
    with pytest.raises(BadInput, match="probabilities"):
        decide.law("U", uniform, lambda x: 2 * x, delta=0.1)


def test_two_samples():
    """Level 0.01, 200 runs; the union of two radii is conservative."""
    rng = np.random.default_rng(4)

    def run(shift):
        x, y = rng.standard_normal(3000), shift + rng.standard_normal(2000)
        return decide.same_law("N", x, y, delta=0.145, alpha=0.01).verdict

    assert [run(0.0) for _ in range(200)].count(Verdict.HOLDS) >= 195
    # sup distance of N(0,1) and N(0.42,1) is 0.166 > 0.145
    assert [run(0.42) for _ in range(200)].count(Verdict.REFUTED) >= 190


def test_moments_stream_like_the_whole():
    x = np.random.default_rng(1).exponential(size=4000) + 1e3
    parts = Moments(1e3).add(x[:1000]).add(x[1000:])
    assert parts.mean == pytest.approx(np.mean(x), rel=1e-13)
    assert parts.variance == pytest.approx(np.var(x, ddof=1), rel=1e-10)
    assert parts.skewness == pytest.approx(stats.skew(x), rel=1e-8)
    with pytest.raises(BadInput, match="not finite"):
        parts.add([math.inf])


def test_mean_level_and_power_for_skewed_samples():
    """Exponential samples, n = 1600, level 0.01 in one look, 2,000 runs.

    False alarms: with the skewness correction at most 1 % by the normal theory; more
    than 39 of 2,000 has probability below 1e-4. Power at an error of D S is 0.99; below
    0.98 is seen.
    """
    rng, runs, n = np.random.default_rng(3), 2000, 1600
    x = rng.exponential(size=(runs, n))
    found = [
        decide.mean(1.0, decide.sample_moments(row), delta=1, looks=1, alpha=0.01)
        for row in x
    ]
    assert sum(e.verdict is Verdict.REFUTED for e in found) <= 39
    moved = [e for e in found if not e.interval[0] <= 1 + e.detectable <= e.interval[1]]
    assert len(moved) >= 0.98 * runs


def test_skewness_forbids_an_answer_on_few_samples():
    x = np.random.default_rng(0).exponential(size=400)
    found = decide.mean(5.0, decide.sample_moments(x), delta=1.0)
    assert found.verdict == "undecided" and "skewness" in found.obstacle
    assert found.grade is Grade.ESTIMATED


def test_samples_without_spread_or_not_finite():
    still = decide.mean(0.1, decide.sample_moments(np.zeros(500)), delta=1.0)
    assert still.verdict == "undecided" and "without spread" in still.obstacle
    lost = decide.mean(0.1, decide.sample_moments([1.0, math.inf, 2.0]), delta=1.0)
    assert lost.verdict == "error" and "1 of 3" in lost.fault


def test_replicas_use_student_and_need_64():
    x = np.random.default_rng(0).standard_normal(64) + 10
    m = decide.replica_mean(x)
    lo, hi = m.interval(1e-9)
    assert (hi - lo) / (2 * m.standard_error) == pytest.approx(7.17, abs=0.01)
    assert decide.replica_mean(x[:63]).obstacle


def test_batches_of_a_chain():
    """An AR(1) chain of correlation time (1 + a)/(1 - a) = 3 steps, 200 chains, 0.01.

    More than 9 false alarms in 200 at rate 0.0115 has probability below 4e-4.
    """
    from scipy.signal import lfilter

    rng = np.random.default_rng(8)
    noise = rng.standard_normal((200, 64 * 150))
    chains = lfilter([1.0], [1.0, -0.5], noise, axis=1)
    found = [decide.batch_mean(c, 3.0) for c in chains]
    alarms = 0
    for m in found:
        lo, hi = m.interval(0.01)
        alarms += not lo <= 0 <= hi
    assert not any(m.obstacle for m in found) and alarms <= 9
    assert decide.batch_mean(chains[0], 4.0).obstacle


def test_median_of_means_for_two_moments():
    """Student t with 2.5 degrees of freedom: no false alarm in 200 at level 0.01."""
    rng = np.random.default_rng(9)
    for _ in range(200):
        m = decide.median_of_means(rng.standard_t(2.5, 4000), alpha=0.01)
        assert abs(m.value) <= m.bias
    assert decide.median_of_means(np.ones(100)).obstacle
    x = rng.standard_normal(40_000)
    wide = decide.median_of_means(x).bias / decide.sample_moments(x).interval()[1]
    assert wide > 2


def test_proportion():
    assert decide.proportion(0.1, 1000, 10_000, delta=0.5).verdict == "holds"
    assert decide.proportion(0.1, 1000, 10_000, delta=0.05).verdict == "undecided"
    assert decide.proportion(0.2, 1000, 10_000, delta=0.5).verdict == "refuted"
    none = decide.proportion(1e-6, 0, 1000, delta=0.05, scale=1.0)
    assert none.verdict == "holds" and none.interval[0] == 0.0


def rates(claimed, delta, true, slope=1.0, se=0.0, rng=None):
    out = []
    for x in decide.bracket_ends(claimed, delta):
        g = slope * (x - true) + (se * rng.standard_normal() if rng else 0.0)
        out.append(GrowthRate(x, g, se))
    return out


@settings(max_examples=60, deadline=None, derandomize=True)
@given(c=st.floats(0.01, 100), delta=st.floats(1e-3, 0.5), s=st.sampled_from([-1, 1]))
def test_planted_error_of_a_threshold(c, delta, s):
    found = decide.threshold(c, rates(c, delta, c), delta=delta)
    assert found.verdict == "holds"
    moved = found.with_relation(type(found.relation)(c + s * 1.05 * delta * c))
    assert moved.verdict == "refuted"
    wrong = c * (1 + s * 1.05 * delta)
    assert decide.threshold(c, rates(c, delta, wrong), delta=delta).verdict == "refuted"


def test_threshold_with_noise():
    """Level 0.01, 300 runs: the truth is refuted at most 10 times (4e-4 at rate 0.01),
    a claim off by 2 d (d = delta/2) is refuted, one off by d is undecided or refuted.
    """
    rng, c, delta, alpha = np.random.default_rng(6), 2.0, 0.04, 0.01
    se = 0.5 / math.sqrt(samples_per_side(0.5, 1.0, c, delta, alpha))

    def run(true):
        found = rates(c, delta, true, se=se, rng=rng)
        return decide.threshold(c, found, delta=delta, alpha=alpha).verdict

    for true, verdict, least in [(c, "holds", 290), (c * 1.04, "refuted", 290)]:
        assert [run(true) for _ in range(300)].count(verdict) >= least
    assert [run(c * 1.02) for _ in range(300)].count("holds") <= 10


def test_threshold_brackets():
    falling = [GrowthRate(0.9, 1.0), GrowthRate(1.1, -1.0)]
    assert decide.threshold(1.0, falling, delta=0.3, rising=False).verdict == "holds"
    both_wrong = decide.threshold(1.0, falling, delta=0.3)
    assert both_wrong.verdict == "refuted"
    vague = [GrowthRate(0.9, -1.0, bias=2.0), GrowthRate(1.1, 1.0)]
    assert decide.threshold(1.0, vague, delta=0.3).verdict == "undecided"
    bisected = [GrowthRate(x, x - 1.01) for x in (0.9, 1.0, 1.02, 1.1)]
    found = decide.threshold(1.01, bisected, delta=0.1)
    assert found.interval == (1.0, 1.02) and found.verdict == "holds"
    nan = [GrowthRate(0.9, -1.0), GrowthRate(1.1, math.nan)]
    assert decide.threshold(1.0, nan, delta=0.3).verdict == "error"
    with pytest.raises(BadInput, match="both sides"):
        decide.threshold(2.0, falling, delta=0.3)


def test_exact_needs_rounding_and_a_moved_run():
    r = decide.rounding_allowance([1e-16, 3e-16])
    assert r == pytest.approx(3e-15)
    kwargs = {"rounding": r, "delta": 0.01}
    assert decide.exact([0, 2e-15], moved=1e-3, **kwargs).verdict == "holds"
    assert decide.exact([0, 4e-15], moved=1e-3, **kwargs).verdict == "refuted"
    assert decide.exact([0, 2e-15], moved=2e-13, **kwargs).verdict == "undecided"
    assert decide.exact([0, math.nan], moved=1.0, **kwargs).verdict == "error"
    assert decide.exact([0.0], rounding=0.0, moved=0.1, delta=0.1).verdict == "holds"
    x = np.arange(6.0).reshape(3, 2)
    assert decide.relative_distance(x, x + 1, 2.0).tolist() == [0.5] * 3


def test_a_clock_slip_is_seen():
    """Euler on x' = -x against its closed form, and one step late."""
    h, k = 0.1, np.arange(50)
    run = np.cumprod(np.concatenate([[1.0], np.full(49, 1 - h)]))
    exact, late = (1 - h) ** k, (1 - h) ** (k + 1)
    ulp = np.finfo(float).eps
    moved = np.max(decide.relative_distance((1 - 1.01 * h) ** k, exact))
    kwargs = {"rounding": decide.rounding_allowance([50 * ulp]), "delta": 0.01}
    for other, verdict in [(exact, "holds"), (late, "refuted")]:
        gap = decide.relative_distance(run, other)
        assert decide.exact(gap, moved=moved, **kwargs).verdict == verdict


def test_identity():
    def decision(status, witness=None):
        return SimpleNamespace(status=status, witness=witness)

    proved = decide.identity(decision("proved"), name="a = a")
    assert proved.verdict == "holds" and proved.grade is Grade.PROVED
    assert proved.detectable == 0
    assert decide.identity(decision("refuted", {"x": 1})).verdict == "refuted"
    assert decide.identity(decision("refuted")).verdict == "undecided"
    assert decide.identity(decision("undecided")).verdict == "undecided"
    with pytest.raises(BadInput, match="accepted"):
        decide.identity(decision("probably"))


def test_measurement_refuses_negative_widths():
    with pytest.raises(BadInput, match=">= 0"):
        Measurement(1.0, -0.1)
    assert critical.skewed(6.0, -2.0, 400) > 6.0
