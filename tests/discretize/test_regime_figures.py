"""The numbers behind the maps, rates and paths of inertial-Newton damping."""

import builtins
import importlib
import inspect
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from discretize import Regime, figures, regime_explorer, regimes
from discretize.figures.inertial_regimes import largest_stable
from flows import BadInput


def test_the_regime_map():
    """Window, limits and lines at α = 1, β = 0.1, against their formulas."""
    _, n = figures.regime_map(step=0.03, points=120)
    assert n["flow"].shape == n["euler"].shape == (120, 120)
    stiffness, beta = n["curvature"], n["hessian_damping"]
    d = 1 + beta[:, None] * stiffness
    spiral = d**2 < 4 * stiffness
    clear = np.abs(d**2 - 4 * stiffness) > 1e-12 * d**2
    assert np.all(((n["flow"] == Regime.SPIRAL) == spiral)[clear])
    np.testing.assert_array_equal(
        n["flow"] == Regime.SADDLE, spiral * 0 + stiffness < 0
    )
    # where the bold line ends stability: no stable code to its right
    stable = np.isin(n["euler"], [Regime.NODE, Regime.SPIRAL, Regime.FLIP])
    beyond = stiffness > n["largest_stable"][:, None]
    inside = (stiffness > 0) & (stiffness < n["largest_stable"][:, None])
    assert np.all(~stable[beyond]) and np.all(stable[inside])
    assert n["heavy_ball_step"] == 0.1
    # Nesterov: β = (1 + b)γ with b = 1 - αγ
    h = float(n["nesterov_step"])
    assert (2 - h) * h == pytest.approx(0.1, rel=1e-14)
    plt.close("all")


@pytest.mark.parametrize("friction", [0.1, 1.0, 4.0])
def test_the_largest_stable_curvature(friction):
    """Signs of rates beside the bold line; steps on both sides of β and of 2β."""
    damping = np.geomspace(0.02, 2, 9)[:, None]
    step = damping * np.geomspace(0.02, 60, 27)
    found = largest_stable(friction, damping, step)
    some = np.isfinite(found)
    assert np.any(some & (step > 2 * damping)) and np.any(some & (step < damping))
    for factor, stable in ((1 - 1e-6, True), (1 + 1e-6, False)):
        stiffness = factor * np.where(some, found, 1.0)
        rate = np.asarray(regimes(stiffness, friction, damping, step=step).rate)
        assert np.all((rate > 0)[some] == stable)
    # no stable curvature beyond it, nor at all where there is none
    above = np.where(some, found, 0.1) * np.array([1.01, 4.0, 1e3, 1e6])[:, None, None]
    assert np.all(regimes(above, friction, damping, step=step).rate < 0)


def test_the_map_reaches_to_its_line():
    """The step of the line lies inside the map, whatever β."""
    for step in (1e-3, 0.05):
        fig, n = figures.regime_map(hessian_damping=0.01, step=step, points=20)
        low, high = fig.axes[1].get_ylim()
        assert low < step < high and n["step"][0] == low
        plt.close(fig)
    for step in (-1.0, np.nan):
        with pytest.raises(BadInput, match="step"):
            figures.regime_map(step=step)


def test_rates_come_to_their_limits():
    _, n = figures.newton_like_rates()
    for beta in (0.03, 0.3, 3.0):
        assert n[f"beta_{beta:g}"][-1] == pytest.approx(1 / beta, rel=0.02)
        assert n[f"beta_{beta:g}"][0] == pytest.approx(0.01, rel=0.05)
    assert n["beta_0"][-1] == pytest.approx(0.5)  # heavy ball: α/2
    assert np.max(n["by_mass"]) == pytest.approx(2 * float(n["massless"]), rel=0.05)
    assert n["mass"][np.argmax(n["by_mass"])] == pytest.approx(
        float(n["best_mass"]), rel=0.05
    )
    plt.close("all")


@pytest.mark.slow
def test_paths_turn_or_do_not():
    """Paths against scipy's DOP853; sign changes of a coordinate tell spirals."""
    _, n = figures.spirals_and_nodes()
    cases = {
        "node": (lambda t: 2.0, 1.0),
        "spiral": (lambda t: 2.0, 0.1),
        "vanishing_1": (lambda t: 2 / t, 1.0),
        "vanishing_01": (lambda t: 2 / t, 0.1),
    }
    hessian = np.array([2.0, 4.0])
    for name, (alpha, beta) in cases.items():

        def field(t, y, alpha=alpha, beta=beta):
            x, v = y[:2], y[2:]
            return np.r_[v, -alpha(t) * v - beta * hessian * v - hessian * x]

        found = solve_ivp(
            field, (1, 13), [1, 1, 0, 0], "DOP853", n["times"], rtol=1e-10, atol=1e-13
        )
        np.testing.assert_allclose(n[name], found.y[:2].T, atol=1e-7)
        turns = np.sum(np.diff(np.sign(n[name][:, 0])) != 0)
        assert turns == 0 if name == "node" else turns >= 3
    plt.close("all")


def test_the_explorer_draws_what_its_sliders_say(monkeypatch):
    drawn = []

    def note(**values):
        drawn.append(values)
        return b"picture %d" % len(drawn)

    module = importlib.import_module("discretize.regime_explorer")
    monkeypatch.setattr(module, "_draw", note)
    explorer = regime_explorer(friction=0.5)
    *sliders, picture = explorer.children
    assert [s.value for s in sliders] == [0.5, 0.1, 0.05]
    assert (picture.value, len(drawn)) == (b"picture 1", 1)
    sliders[2].value = 0.2
    assert (picture.value, len(drawn)) == (b"picture 2", 2)
    assert drawn[-1]["step"] == pytest.approx(0.2)
    assert drawn[-1]["friction"] == 0.5
    with pytest.raises(BadInput, match="step γ"):
        regime_explorer(step=100.0)
    as_users_have_it = inspect.unwrap(regime_explorer)  # types: tests only
    for wrong in ("a", np.ones(2), np.nan):
        with pytest.raises(BadInput, match="friction"):
            as_users_have_it(friction=wrong)


def test_the_explorers_picture_is_the_map():
    """A PNG, another one when a slider moves, no figure left."""
    before = plt.get_fignums()
    explorer = regime_explorer()
    *sliders, picture = explorer.children
    first = picture.value
    image = plt.imread(io.BytesIO(first))
    assert image.shape[1] > 600 and image.std() > 0.1
    sliders[1].value = 1.0
    assert picture.value != first
    assert plt.get_fignums() == before


def test_without_ipywidgets_the_explorer_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "ipywidgets":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(BadInput, match="notebook"):
        regime_explorer()
