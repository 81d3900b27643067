"""Strong orders against the closed form on geometric Brownian motion, and the door."""

import jax.numpy as jnp
import numpy as np
import pytest

from discretize import BAOAB, Euler, Milstein, NormTaming, TamedEuler, strong_order
from discretize.order_fit import strong_slope
from flows import BadInput, NonFiniteState
from sde import ItoDiffusion, simulate

SIGMA = 0.5
PATHS = 1000
HS = 0.5 ** np.arange(3, 8)


def none(t, y):
    return jnp.zeros_like(y)


def linear(t, y):
    return SIGMA * y


BROWNIAN = ItoDiffusion(none, linear)


@pytest.fixture(scope="module")
def found():
    schemes = {"euler": Euler(), "milstein": Milstein()}
    return strong_order(
        BROWNIAN, schemes, jnp.ones(1), t1=1.0, hs=HS, key=7, paths=PATHS, refine=32
    )


def mean_square(name, h):
    """E|X_h(1) - X(1)|² of dX = σX dB from 1: e^{σ²} - (E factor²)^{1/h}, exact."""
    s = SIGMA**2
    factor = 1 + s * h + (s**2 * h**2 / 2 if name == "milstein" else 0)
    return np.exp(s) - factor ** (1 / h)


@pytest.mark.parametrize("name", ["euler", "milstein"])
def test_errors_are_those_of_the_closed_form(name, found):
    """6.1 standard errors, 1e-9 a level; sees 6.1 s.e. ≈ half of the mean square.

    The reference, Milstein's step at h/32, adds its own error, of 1/32 of Milstein's.
    """
    run = found[name]
    square = run.errors**2
    error = square.std(axis=0, ddof=1) / np.sqrt(PATHS)
    exact = mean_square(name, HS)
    slack = 6.11 * error + 2 * run.floor * np.sqrt(exact)
    assert np.all(np.abs(square.mean(axis=0) - exact) < slack)
    # negative control: the other scheme's law is not taken for this one's
    other = mean_square("euler" if name == "milstein" else "milstein", HS)
    assert np.all(np.abs(square.mean(axis=0) - other)[2:] > slack[2:])


def test_orders_are_one_half_and_one(found):
    assert found["euler"].interval[0] < 0.5 < found["euler"].interval[1]
    assert found["milstein"].interval[0] < 1 < found["milstein"].interval[1]
    assert found["euler"].interval[1] < found["milstein"].interval[0]
    assert "5 levels" in repr(found["euler"])


@pytest.mark.slow
def test_errors_are_those_of_simulated_paths_on_the_same_grid(found):
    """`simulate(..., h=h, grid=δ)` with the same key steps the same Brownian paths."""
    fine = HS[-1] / 32
    same = {"t1": 1.0, "key": 7, "paths": 50, "grid": fine}
    exact = simulate(BROWNIAN, jnp.ones(1), scheme=Milstein(), h=fine, **same).final
    for j, h in enumerate(HS[:2]):
        run = simulate(BROWNIAN, jnp.ones(1), scheme=Euler(), h=h, **same).final
        errors = np.abs(np.asarray(run - exact))[:, 0]
        np.testing.assert_allclose(found["euler"].errors[:50, j], errors, atol=1e-12)


def test_the_standard_error_sees_that_levels_share_their_paths():
    """Errors c h with one random c a path have slope 1 exactly: standard error 0."""
    rng = np.random.default_rng(1)
    shared = np.abs(rng.standard_normal((400, 1))) * HS
    slope, bias, error = strong_slope(HS, shared)
    assert slope == pytest.approx(1)
    assert max(bias, error) < 1e-12
    own = np.abs(rng.standard_normal((400, HS.size))) * HS
    assert strong_slope(HS, own)[2] > 0.005


def test_the_allowance_holds_what_a_reference_shifts_the_slope_by():
    """Errors c h measured against a reference that is off by 1 % of the finest."""
    shared = np.abs(np.random.default_rng(1).standard_normal((400, 1))) * HS
    unit = shared / HS / np.sqrt(np.mean((shared / HS) ** 2))
    floor = 0.01 * float(np.sqrt(np.mean(shared[:, -1] ** 2)))
    bias = strong_slope(HS, shared, floor=floor)[1]
    signs = np.where(np.arange(HS.size) < HS.size / 2, -1.0, 1.0)
    for shift in (np.ones(HS.size), -np.ones(HS.size), signs, -signs):
        moved = strong_slope(HS, shared + floor * shift * unit)[0]
        assert 1e-4 < abs(moved - 1) < 1.02 * bias  # its square is left out
        assert abs(moved - 1) > 0.2 * bias


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hs": [0.5, 0.25, 0.125]}, "four steps"),
        ({"hs": 0.3 * HS}, "divide"),
        ({"hs": [0.5, 0.25, 0.2, 0.1]}, "ratio"),
        ({"norm": "mean"}, "norm"),
        ({"refine": 5}, "even"),
        ({"schemes": BAOAB}, "part"),
    ],
)
def test_the_door(change, message):
    good = {"schemes": TamedEuler(), "hs": HS, "key": 0, "paths": 4, "t1": 1.0}
    with pytest.raises(BadInput, match=message):
        strong_order(BROWNIAN, y0=jnp.ones(1), **{**good, **change})


@pytest.mark.slow
def test_an_exploding_scheme_is_named_and_the_tamed_one_is_not():
    def cubic(t, y):
        return -(y**3)

    process = ItoDiffusion(cubic, linear)
    ladder = {"t1": 1.0, "hs": HS, "key": 0, "paths": 4, "refine": 4}
    ladder["reference"] = TamedEuler(NormTaming())
    tamed = TamedEuler(NormTaming())
    with pytest.raises(NonFiniteState, match="under plain"):
        both = {"tamed": tamed, "plain": Euler()}
        strong_order(process, both, jnp.full(1, 40.0), **ladder)
    kept = strong_order(process, tamed, jnp.full(1, 40.0), **ladder)
    assert np.all(np.isfinite(kept.errors))
