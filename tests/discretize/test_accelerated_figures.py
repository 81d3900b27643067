"""The numbers behind the figures of Nesterov's methods."""

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.special

from discretize import figures

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def closing():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
    plt.close("all")


def test_one_more_term_is_one_more_order():
    _, numbers = figures.nesterov_and_its_flow(time=3.0)
    slopes = {
        name: np.log2(numbers[name][:-1] / numbers[name][1:])[-1]
        for name in ("first", "second")
    }
    assert slopes["first"] == pytest.approx(1, abs=0.05)
    assert slopes["second"] == pytest.approx(2, abs=0.1)
    for root, steps in ((0.8, 4), (0.2, 15)):
        assert numbers[f"path_{root:g}"].shape == (steps + 1, 2)


def test_the_solved_gaps_are_bessel_functions():
    _, numbers = figures.accelerated_constants(time=10.0)
    t = numbers["times"]
    np.testing.assert_allclose(numbers["r1"], t**2 * scipy.special.j0(t) ** 2 / 2, 1e-5)
    np.testing.assert_allclose(numbers["r2"], np.sin(t) ** 2 / 2, 1e-5, 1e-9)
    closed = 2 * scipy.special.j1(t) ** 2
    np.testing.assert_allclose(numbers["r3"], closed, 1e-5, 1e-9)
    assert numbers["r4"].max() == pytest.approx(0.85615, rel=0.01)
    at = dict(
        zip(np.round(numbers["frictions"], 6), numbers["quadratics"], strict=True)
    )
    assert at[3.0] == pytest.approx(0.67713, rel=1e-4)
    assert at[5.0] == pytest.approx(1.03637, rel=1e-4)


def test_the_gradient_correction_stops_the_ringing():
    _, numbers = figures.heavy_ball_and_nesterov()

    def turns(name):
        return int(np.sum(np.diff(np.sign(numbers[name][:, 0])) != 0))

    assert turns("heavy") >= 8
    ring = {
        name: np.abs(numbers[name][600:, 0]).max() for name in ("heavy", "nesterov")
    }
    assert ring["nesterov"] < ring["heavy"] / 50
    assert numbers["nesterov_gaps"][-1] < 1e-9 < 1e-4 < numbers["heavy_gaps"][-1]
    assert "λ = 100 μ" in numbers.caption
    assert f"reaches {ring['heavy']:.1g} with heavy ball" in numbers.caption
    _, numbers = figures.heavy_ball_and_nesterov(strong=0.1)
    assert "λ = 10 μ" in numbers.caption
    late = np.abs(numbers["heavy"][600:, 0]).max()
    assert f"reaches {late:.1g} with heavy ball" in numbers.caption
    assert f"{numbers['nesterov_gaps'][-1]:.1g} with NAG-SC" in numbers.caption


def test_bregmans_flows_run_along_one_path_and_a_fixed_step_blows_up():
    _, numbers = figures.bregman_speeds()
    for p in (4, 6):
        np.testing.assert_allclose(numbers[f"path_{p}"], numbers["path_2"], atol=1e-6)
        np.testing.assert_allclose(numbers[f"times_{p}"] ** (p / 2), numbers["times_2"])
        assert not numbers[f"walked_{p}"][-1] < 100
    assert numbers["walked_2"].max() < 1
    assert "follows for p = 2, and blows up for p = 4, 6:" in numbers.caption


@pytest.mark.parametrize(
    ("step", "said"),
    # unstable where C p² t^{p-2} h² > 4 at t^{p/2} = 60: h > 0.129, 0.0435 (p = 4, 6)
    [
        (0.02, "follows for p = 2, 4, 6:"),
        (0.1, "follows for p = 2, 4, and blows up for p = 6:"),
    ],
)
def test_the_caption_tells_what_the_fixed_step_did(step, said):
    fig, numbers = figures.bregman_speeds(step=step)
    assert said in numbers.caption
    assert ("cannot follow" in fig.axes[1].get_title()) == ("blows" in said)
