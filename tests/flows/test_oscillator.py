"""The damped oscillator's map beside 120 digits, its derivatives, its composition."""

import jax
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.oscillator import damped_oscillator

ARGUMENTS = ("curvature", "mass", "friction", "t")
CASES = {
    "real roots": (1.3, 0.1, 0.9, 0.7),
    "real roots, long": (1.3, 0.1, 0.9, 400.0),
    "real roots, brief": (1.3, 0.1, 0.9, 1e-6),
    "complex roots": (1.3, 0.7, 0.9, 2.1),
    "complex roots, long": (1.3, 0.7, 0.9, 300.0),
    "complex roots, brief": (1.3, 0.7, 0.9, 1e-5),
    "hardly damped": (2.0, 1.0, 1e-9, 40.0),
    "undamped": (2.0, 1.0, 0.0, 3.0),
    "critical": (1.0, 1.0, 2.0, 1.5),
    "critical, long": (1.0, 1.0, 2.0, 50.0),
    "just above critical": (1.0, 1.0, 2.0 * (1 + 1e-12), 1.5),
    "just below critical": (1.0, 1.0, 2.0 * (1 - 1e-12), 1.5),
    "between the two branches": (1.0, 1.0, 2.0 * (1 + 5e-3), 1.0),
    "hardly any mass": (1.3, 1e-8, 0.9, 0.7),
    "hardly any mass, brief": (1.3, 1e-8, 0.9, 1e-9),
    "flat": (0.0, 0.7, 0.9, 2.1),
    "flat, brief": (0.0, 0.7, 0.9, 1e-7),
    "flat, hardly any mass": (0.0, 1e-8, 0.9, 1.0),
    "flat, undamped": (0.0, 0.5, 0.0, 3.0),
    "nearly flat": (1e-12, 0.7, 0.9, 2.1),
    "nearly flat, nearly upwards": (-1e-12, 0.7, 0.9, 2.1),
    "upwards": (-1.3, 0.7, 0.9, 2.1),
    "upwards, hardly any mass": (-1.3, 1e-8, 0.9, 2.1),
    "rest at last": (1.3, 0.7, 0.9, 0.0),
}
POINTS = np.array(list(CASES.values())).T
NAMES = list(CASES)
SLOPED = ["real roots", "complex roots", "critical", "flat", "upwards", "undamped"]
SLOPED += ["just above critical", "hardly any mass"]  # where derivatives are looked at
MAP = jax.jit(damped_oscillator)  # compiled once, for as many points as there are cases
TANGENT = jax.jit(lambda p, dp: jax.jvp(damped_oscillator, p, dp)[1])
EPS = np.finfo(float).eps


def true_map(curvature, mass, friction, t):
    """From the two roots, 120 digits; a hair (1e-50) beside where they meet."""
    hair = mp.mpf(10) ** -50
    kappa = curvature if curvature else hair
    if friction**2 == 4 * kappa * mass:
        kappa *= 1 + hair
    root = mp.sqrt(mp.mpc(friction**2 - 4 * kappa * mass))
    slow, fast = (-friction + root) / (2 * mass), (-friction - root) / (2 * mass)
    a, b, gap = mp.exp(slow * t), mp.exp(fast * t), slow - fast
    xx, xv = (slow * b - fast * a) / gap, (a - b) / gap
    vv = (slow * a - fast * b) / gap
    entries = xx, xv, (1 - xx) / kappa, -kappa / mass * xv, vv, xv / mass
    return [mp.re(entry) for entry in entries]


def sensitivities(values):
    """Σ_p |p ∂/∂p| of each entry: what the rounding of the arguments alone costs."""
    step, here = mp.mpf(10) ** -30, true_map(*values)
    total = [mp.mpf(0)] * 6
    for k, value in enumerate(values):
        moved = list(values)
        moved[k] = value * (1 + step)
        there = true_map(*moved)
        total = [s + abs(b - a) / step for s, a, b in zip(total, here, there, strict=1)]
    return here, [float(s) for s in total]


@pytest.mark.parametrize("case", CASES)
def test_the_map_is_that_of_the_roots(case):
    """To 16 times what rounding the arguments and the result costs."""
    found = np.array(MAP(*POINTS))[:, NAMES.index(case)]
    with mp.workdps(120):
        true, moved = sensitivities([mp.mpf(v) for v in CASES[case]])
        errors = [float(abs(mp.mpf(a) - b)) for a, b in zip(found, true, strict=True)]
        sizes = [float(abs(b)) for b in true]
    # an entry that turns through 0 is known to the scale on which it turns
    allowed = 16 * EPS * (np.array(sizes) + np.array(moved)) + 1e-45  # the hair
    assert np.all(errors <= allowed), np.array(errors) / allowed


def test_the_textbook_formula_fails_where_ours_does_not():
    """e^{-gt} cosh(ωt): 0 · ∞ without mass, five digits lost near critical damping."""
    kappa, mass, alpha, t = CASES["hardly any mass"]
    g = alpha / (2 * mass)
    omega = np.sqrt(g * g - kappa / mass)
    with np.errstate(over="ignore", invalid="ignore"):
        naive = np.exp(-g * t) * (np.cosh(omega * t) + g / omega * np.sinh(omega * t))
    assert np.isnan(naive)
    assert np.all(np.isfinite(MAP(*POINTS)))
    kappa, mass, alpha, t = CASES["just above critical"]
    g = alpha / (2 * mass)
    omega = np.sqrt(g * g - kappa / mass)
    expanded = (np.exp((omega - g) * t) - np.exp((-omega - g) * t)) / (2 * omega)
    with mp.workdps(60):
        true = float(true_map(*map(mp.mpf, (kappa, mass, alpha, t)))[1])
    assert abs(expanded / true - 1) > 1e-11
    ours = float(MAP(*POINTS).xv[NAMES.index("just above critical")])
    assert abs(ours / true - 1) < 8 * EPS


def test_derivatives_are_those_of_the_roots_where_they_meet_too():
    points = POINTS[:, [NAMES.index(name) for name in SLOPED]]
    n = len(SLOPED)
    directions = np.kron(np.eye(4), np.ones(n))  # every point along every argument
    found = TANGENT(tuple(np.tile(points, 4)), tuple(directions))
    found = np.array(found).reshape(6, 4, n)
    step = mp.mpf(10) ** -20
    for i, name in enumerate(SLOPED):
        for k in range(4):
            with mp.workdps(120):
                up, down = ([mp.mpf(v) for v in CASES[name]] for _ in range(2))
                up[k], down[k] = up[k] + step, down[k] - step
                pairs = zip(true_map(*up), true_map(*down), strict=True)
                true = [float((a - b) / (2 * step)) for a, b in pairs]
            np.testing.assert_allclose(
                found[:, k, i],
                true,
                rtol=1e-9,
                atol=1e-9 + lost(name),
                err_msg=f"{name}: {ARGUMENTS[k]}",
            )


def lost(name):
    """By a derivative: the slow root knows of the mass through κm/α² alone."""
    kappa, mass, alpha, _ = CASES[name]
    return 4 * EPS * alpha**2 / (abs(kappa) * mass) if kappa else 0.0


def among_its_own(curvature, mass, friction, t):
    return damped_oscillator(curvature, mass, friction, t, among=curvature)


@pytest.mark.slow
def test_a_branch_chosen_for_all_is_the_one_chosen_by_each():
    """As scalars: complex roots alone, real roots alone, or both computed."""
    way = (1.0, 0.7, 0.3, 0.1)
    one = jax.jit(lambda *p: jax.jvp(among_its_own, p, way))
    values, ways = MAP(*POINTS), np.tile(np.array(way)[:, None], len(SLOPED) * 4)
    points = np.tile(POINTS[:, [NAMES.index(name) for name in SLOPED]], 4)
    slopes = TANGENT(tuple(points), tuple(ways))
    for name in CASES:
        found, slope = one(*CASES[name])
        other = [entry[NAMES.index(name)] for entry in values]
        # the branches round differently, by an angle's or an exponent's rounding
        size = 4 * EPS * (1 + max(map(abs, CASES[name])) ** 2)
        np.testing.assert_allclose(found, other, rtol=size, atol=size, err_msg=name)
        if name in SLOPED:
            true = [entry[SLOPED.index(name)] for entry in slopes]
            size = 1e-13 * (1 + np.max(np.abs(true))) + lost(name)
            np.testing.assert_allclose(slope, true, rtol=1e-9, atol=size, err_msg=name)


def test_every_curvature_counts_in_the_choice_of_a_branch():
    """One label turns, the other creeps: neither branch fits both."""
    both = np.array([1.3, 0.01])
    move = jax.jit(lambda k: damped_oscillator(k, 0.7, 0.9, 2.1, among=both).xx)
    found = [move(k) for k in both]
    with mp.workdps(60):
        true = [float(true_map(*map(mp.mpf, (k, 0.7, 0.9, 2.1)))[0]) for k in both]
    np.testing.assert_allclose(found, true, rtol=1e-14)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-2, 4),
    st.floats(1e-3, 2),
    st.floats(0, 3),
    st.floats(0, 3),
    st.floats(0, 3),
)
def test_two_times_one_after_the_other_are_their_sum(kappa, mass, alpha, s, t):
    times = np.resize([s, t, s + t], len(NAMES))
    m = np.array(MAP(*(np.full(len(NAMES), v) for v in (kappa, mass, alpha)), times))
    first, second, whole = (_matrix(*m[:, k]) for k in range(3))
    scale = np.abs(second) @ np.abs(first) + np.abs(whole)
    # rates reach √(2/0.001) = 45, so that rounding 6 units of time costs 6e-14
    assert np.all(np.abs(second @ first - whole) <= 1e-13 + 1e-12 * scale)


def _matrix(xx, xv, xf, vx, vv, vf):
    """The map of (x, v, force)."""
    return np.array([[xx, xv, xf], [vx, vv, vf], [0, 0, 1]])
