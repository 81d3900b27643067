"""Regimes of inertial-Newton modes, against eigenvalues of NumPy and mpmath."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from discretize import Regime, critical_mass, regime_boundaries, regimes
from discretize.regime_formulas import MANY
from flows import BadInput

N = 1000


def random_modes(seed=0, n=N):
    """λ of both signs, α, β, m and γ, log-uniform over three to six decades."""
    r = np.random.default_rng(seed)
    curvature = 10 ** r.uniform(-3, 3, n) * np.where(r.random(n) < 0.8, 1, -1)
    parameters = 10 ** r.uniform([-2, -2, -1, -2], [1, 1, 1, 0.7], (n, 4))
    return curvature, *parameters.T


def matrices(curvature, alpha, beta, m):
    """The linear (x, ψ) system, written out from its definition."""
    slow = alpha - m / beta
    rows = [[-(slow + beta * curvature) / m, -1 / (beta * m)], [-slow, -1 / beta]]
    return np.moveaxis(
        np.array([[np.broadcast_to(e, curvature.shape) for e in row] for row in rows]),
        -1,
        0,
    )


def sorted_roots(z):
    order = np.lexsort((-z.imag, -z.real), axis=-1)
    return np.take_along_axis(z, order, axis=-1)


def named(curvature, roots, discrete):
    """The regime by the eigenvalues alone, and whether they are far from any edge."""
    pair = np.abs(roots[:, 0].imag) > 0
    size = np.abs(roots)
    gap = np.abs(roots[:, 0] - roots[:, 1]) / np.max(np.abs(roots), axis=1)
    clear = gap > 1e-6
    if not discrete:
        names = np.where(pair, "SPIRAL", "NODE")
        return np.where(curvature < 0, "SADDLE", names), clear
    clear &= np.min(np.abs(size - 1), axis=1) > 1e-9
    clear &= np.min(size, axis=1) > 1e-9
    out = np.sum(size > 1, axis=1)
    flips = np.min(roots.real, axis=1) < 0
    stable = np.where(pair, "SPIRAL", np.where(flips, "FLIP", "NODE"))
    unstable = np.where(pair, "UNSTABLE_SPIRAL", "UNSTABLE_FLIP")
    names = np.where(out > 0, unstable, stable)
    return np.where(curvature < 0, np.where(out == 2, "SOURCE", "SADDLE"), names), clear


@pytest.mark.parametrize("discrete", [False, True])
def test_regimes_are_those_of_the_eigenvalues(discrete):
    curvature, alpha, beta, m, h = random_modes()
    found = regimes(curvature, alpha, beta, mass=m, step=h if discrete else None)
    a = matrices(curvature, alpha, beta, m)
    roots = sorted_roots(
        np.linalg.eigvals(np.eye(2) + h[:, None, None] * a if discrete else a)
    )
    names, clear = named(curvature, roots, discrete)
    assert np.mean(clear) > 0.99
    mine = np.array([Regime(int(c)).name for c in found.regime])
    np.testing.assert_array_equal(mine[clear], names[clear])
    expected = {"SADDLE", "NODE", "SPIRAL"}
    if discrete:
        expected |= {"FLIP", "UNSTABLE_SPIRAL", "UNSTABLE_FLIP", "SOURCE"}
    assert set(names[clear]) == expected
    # the backward error of eigvals is a few ulp of |A|; a gap divides it
    size = np.linalg.norm(a, axis=(1, 2)) * np.where(discrete, h, 1) + discrete
    gap = np.abs(roots[:, 0] - roots[:, 1])
    error = np.max(np.abs(np.asarray(found.eigenvalues) - roots), axis=1)
    bound = 50 * np.finfo(float).eps * size * np.maximum(1, size / gap)
    assert np.all(error[clear] < bound[clear])


def test_the_shift_of_beta_by_a_step_is_seen():
    """The window with β - γ in place of β, which a step might be thought to have."""
    curvature, alpha, beta, m, h = random_modes()
    keep = (beta > 1.5 * h) & (curvature > 0)
    wrong = regimes(curvature, alpha, np.where(keep, beta - h, beta), mass=m)
    right = regimes(curvature, alpha, beta, mass=m)
    assert np.mean(np.asarray(wrong.regime != right.regime)[keep]) > 0.02


@pytest.mark.parametrize("discrete", [False, True])
def test_the_nearest_boundary_is_one_and_is_nearest(discrete):
    curvature, alpha, beta, m, h = random_modes(1)

    def at(values):
        h_or_none = h if discrete else None
        return np.asarray(regimes(values, alpha, beta, mass=m, step=h_or_none).regime)

    found = regimes(curvature, alpha, beta, mass=m, step=h if discrete else None)
    boundary, distance = np.asarray(found.boundary), np.asarray(found.distance)
    np.testing.assert_allclose(
        distance, np.abs(curvature - boundary), rtol=1e-9, atol=1e-13
    )
    codes = np.asarray(found.regime)
    # no other regime nearer by: the whole interval has the regime of its middle
    for share in np.random.default_rng(2).uniform(-0.999, 0.999, 12):
        np.testing.assert_array_equal(at(curvature + share * distance), codes)
    # and another regime just beyond, where neighbours are not closer than that
    sign = np.sign(boundary - curvature)
    beyond = np.abs(boundary) * 1e-7 + 1e-9
    # at αβ ≈ m a spiral is a sliver that a step of 1e-7 may jump over
    wide = np.abs(alpha * beta - m) > 1e-6 * m
    assert np.mean(wide) > 0.99
    assert np.all((at(boundary + sign * beyond) != codes)[wide])


def test_large_maps_are_the_small_ones():
    """From `MANY` modes on the arrays come from calls of their own."""
    curvature, alpha, beta, m, h = random_modes(3, MANY)
    whole = regimes(curvature, alpha, beta, mass=m, step=h)
    few = slice(0, N)
    first = (a[few] for a in (curvature, alpha, beta))
    part = regimes(*first, mass=m[few], step=h[few])
    for name, a, b in zip(whole._fields, whole, part, strict=True):
        # multiply-adds may be fused, or not
        np.testing.assert_allclose(
            np.asarray(a)[few], b, rtol=1e-9, atol=1e-12, err_msg=name
        )
    assert sum(whole.counts().values()) == MANY


def test_roots_keep_their_digits_where_they_are_far_apart():
    """Against 50 digits: the slow root of a light mode, and roots of a saddle."""
    cases = [(2.0, 0.5, 1.0, 1e-14), (1e-12, 3.0, 0.1, 1.0), (-1e6, 1e-3, 1e-8, 1.0)]
    for curvature, alpha, beta, m in cases:
        with mpmath.workdps(50):
            c, a, b, k = map(mpmath.mpf, (curvature, alpha, beta, m))
            d = a + b * c
            root = mpmath.sqrt(d * d - 4 * k * c)
            exact = [float((-d + s * root) / (2 * k)) for s in (1, -1)]
        found = regimes(curvature, alpha, beta, mass=m)
        np.testing.assert_allclose(found.eigenvalues.real, exact, rtol=4e-16)


def test_two_modes_of_the_quadratic_x2_plus_2y2():
    """λ = 2 and 4: spirals at (α, β) = (2, 0.1), nodes at (2, 1)."""
    spirals = regimes(np.array([2.0, 4.0]), 2.0, 0.1)
    assert spirals.counts() == {"SPIRAL": 2}
    upper = [-1.1 + np.sqrt(0.79) * 1j, -1.2 + 1.6j]
    np.testing.assert_allclose(spirals.eigenvalues[:, 0], upper, rtol=1e-14)
    np.testing.assert_allclose(spirals.rate, [1.1, 1.2], rtol=1e-14)
    nodes = regimes(np.array([2.0, 4.0]), 2.0, 1.0)
    assert nodes.counts() == {"NODE": 2}
    exact = [[-2 + np.sqrt(2), -2 - np.sqrt(2)], [-3 + np.sqrt(5), -3 - np.sqrt(5)]]
    np.testing.assert_allclose(nodes.eigenvalues.real, exact, rtol=1e-14)
    window = regime_boundaries(2.0, 0.1)
    low, high = (100 * (1 + s * np.sqrt(0.8)) ** 2 for s in (-1, 1))
    np.testing.assert_allclose(
        [window.spiral_low, window.spiral_high], [low, high], rtol=1e-13
    )
    assert np.all(np.isnan(regime_boundaries(2.0, 1.0)[:2]))


@pytest.mark.parametrize(
    ("point", "limit"),
    [
        (lambda h, b: ((1 - b) / h, h), lambda h, b: (2 + 2 * b) / h**2),
        (
            lambda h, b: ((1 - b) / h, (1 + b) * h),
            lambda h, b: 2 / h**2 * (1 + b) / (1 + 2 * b),
        ),
    ],
    ids=["heavy ball", "nesterov"],
)
def test_the_edge_of_stability_of_momentum(point, limit):
    """The limits of optax's momentum that Jury's conditions give elsewhere."""
    h, momentum = 0.1, np.array([0.0, 0.5, 0.9, 0.99])
    alpha, beta = point(h, momentum)
    found = regime_boundaries(alpha, beta, step=h).period_two
    np.testing.assert_allclose(found, limit(h, momentum), rtol=1e-13)
    below = regimes(found * (1 - 1e-9), alpha, beta, step=h)
    above = regimes(found * (1 + 1e-9), alpha, beta, step=h)
    assert set(below.counts()) <= {"FLIP"}
    assert set(above.counts()) == {"UNSTABLE_FLIP"}


def test_edges():
    """Flat, double, neutral and undamped modes, flow and step."""
    flow = regimes(
        np.array([0.0, 1.0, 1.0, -1.0]),
        np.array([1.0, 2.0, 0.0, 0.0]),
        np.zeros(4),
    )
    names = ["FLAT", "DEGENERATE", "MARGINAL", "SADDLE"]
    assert [Regime(int(c)).name for c in flow.regime] == names
    np.testing.assert_allclose(
        flow.eigenvalues, [[0, -1], [-1, -1], [1j, -1j], [1, -1]], atol=0
    )
    # no friction and β = γ keep |z| = 1 exactly; αγ = 2 puts a root at -1
    step = regimes(
        np.array([1.0, 4.0, 0.0, 0.0, 0.0]),
        np.array([0.0, 0.0, 10.0, 20.0, 30.0]),
        0.1,
        step=0.1,
    )
    names = ["MARGINAL", "MARGINAL", "FLAT", "MARGINAL", "UNSTABLE_FLIP"]
    assert [Regime(int(c)).name for c in step.regime] == names
    np.testing.assert_allclose(step.rate[:2], 0, atol=1e-14)


def test_the_rate_of_a_step_is_that_of_its_iterates():
    """Growth of powers of the iteration matrix, for each kind of root."""
    curvature = np.array([0.1, 1.0, 300.0, 450.0, 3000.0, -2.0])
    alpha, beta, h = 1.0, 0.1, 0.05
    found = regimes(curvature, alpha, beta, step=h)
    a = np.eye(2) + h * matrices(curvature, alpha, beta, 1.0)
    radius = np.max(np.abs(np.linalg.eigvals(a)), axis=1)
    np.testing.assert_allclose(found.rate, -np.log(radius) / h, rtol=1e-11)
    assert len(found.counts()) >= 4


def test_a_critical_mass_doubles_the_rate_of_levenberg_marquardt():
    curvature, alpha, beta = np.array([0.1, 1.0, 50.0]), 0.5, 1.0
    best = np.asarray(critical_mass(curvature, alpha, beta))
    slow = curvature / (alpha + beta * curvature)
    found = regimes(curvature, alpha, beta, mass=best)
    np.testing.assert_allclose(found.rate, 2 * slow, rtol=1e-7)
    for factor in (0.9, 1.1, 1e-9):
        near = regimes(curvature, alpha, beta, mass=factor * best)
        assert np.all(near.rate < (1 - 1e-3) * 2 * slow)
    np.testing.assert_allclose(near.rate, slow, rtol=1e-6)


def test_squares_beyond_the_largest_float():
    """Modes whose (α + βλ)² overflows, or whose mλ does or vanishes, by hand."""
    #        λ, α, β, m: code, eigenvalues
    cases = {
        (1e155, 1.0, 1.0, 1.0): ("NODE", [-1, -1e155]),
        (1e10, 1.0, 1e160, 1.0): ("NODE", [-1e-160, -1e170]),
        (-1e200, 1.0, 1.0, 1.0): ("SADDLE", [1e200, -1]),
        (1e200, 1.0, 0.0, 1e200): ("SPIRAL", [1j, -1j]),
        (1e-200, 1e-200, 0.0, 1e-200): ("SPIRAL", [-0.5 + 0.75**0.5 * 1j] * 2),
        (1e200, 2e200, 0.0, 1e200): ("DEGENERATE", [-1, -1]),
    }
    found = regimes(*np.array([c[:3] for c in cases]).T, mass=[c[3] for c in cases])
    names = [Regime(int(c)).name for c in found.regime]
    assert names == [name for name, _ in cases.values()]
    roots = np.array([z for _, z in cases.values()])
    roots[4, 1] = roots[4, 0].conj()
    np.testing.assert_allclose(found.eigenvalues, roots, rtol=1e-14)
    assert critical_mass(1e155, 1.0, 1.0) == pytest.approx(2.5e154)
    np.testing.assert_array_equal(found.rate, -np.max(found.eigenvalues.real, axis=1))


def test_single_precision_keeps_its_range():
    """λ whose square is beyond float32: nodes of rate 1 and 1e-10."""
    with jax.enable_x64(False):
        found = regimes([1e20, 1e10], 1.0, [1.0, 1e10])
        assert found.rate.dtype == np.float32
        assert found.counts() == {"NODE": 2}
        np.testing.assert_allclose(found.rate, [1, 1e-10], rtol=1e-6)
        with pytest.raises(BadInput, match="below"):
            regimes(1e30, 1.0, 1e10)


def test_a_root_at_0_up_to_rounding_is_no_flip():
    """At λ = (m - γα)/(γ(β-γ)) a root of a step is 0, or rounding."""
    _, alpha, beta, _, h = random_modes(5)
    edge = np.asarray(regime_boundaries(alpha, beta, step=h).flip)
    few = edge[np.isfinite(edge)]
    assert few.size > 50
    at = [v[np.isfinite(edge)] for v in (alpha, beta)]
    step = h[np.isfinite(edge)]
    found = regimes(few, *at, step=step)
    error = np.abs(np.asarray(found.eigenvalues)[:, 1])
    assert np.max(error) < 1e-12
    near = error < 20 * np.finfo(float).eps
    assert np.sum(near) > 50 and np.any(found.eigenvalues[near, 1].real < 0)
    assert np.all((found.regime == Regime.NODE)[near])
    beyond = regimes([few * (1 - 1e-9), few * (1 + 1e-9)], *at, step=step).regime
    assert np.all(np.sum(beyond == Regime.FLIP, axis=0) == 1)


def test_traced_numbers_are_real():
    with pytest.raises(BadInput, match="complex"):
        jax.eval_shape(lambda c: regimes(c, 1.0, 0.1), np.ones(2, complex))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"friction": -0.1}, "friction"),
        ({"hessian_damping": -1.0}, "hessian_damping"),
        ({"mass": 0.0}, "mass"),
        ({"step": 0.0}, "step"),
        ({"curvature": np.nan}, "curvature"),
        ({"curvature": "steep"}, "curvature"),
        ({"curvature": 1 + 2j}, "complex"),
        ({"friction": jnp.array([1j])}, "complex"),
        ({"curvature": 10**400}, "curvature"),
        ({"curvature": 1e300, "hessian_damping": 1e10}, "below"),
        ({"curvature": 1e200, "step": 1e60}, "below"),
        ({"curvature": np.ones(3), "friction": np.ones(2)}, "broadcast"),
    ],
)
def test_the_door(arguments, word):
    given = {"curvature": 1.0, "friction": 0.5, "hessian_damping": 0.1} | arguments
    with pytest.raises(BadInput, match=word):
        regimes(**given)
