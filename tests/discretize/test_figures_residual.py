"""The numbers in the figures on residual networks with momentum."""

import numpy as np
import pytest

from discretize import figures
from discretize.figures.residual_networks import inversion_error_by_depth
from discretize.reflection import learn_reflection
from flows import BadInput

pytest.importorskip("matplotlib")


def draw(name, **options):
    import matplotlib.pyplot as plt

    figures.discover()
    fig, numbers = figures.FIGURES[name](**options)
    plt.close(fig)
    return numbers


@pytest.mark.slow
def test_paths_cross_with_momentum_and_not_without():
    found = draw("crossing_layers")
    plain, momentum = found["paths_0"], found["paths_0.9"]
    assert np.all(np.diff(plain, axis=1) > 0), "layers of slope below 1 keep the order"
    # the mean of x² is the least error of an increasing map
    least = np.mean(plain[0] ** 2)
    assert least <= found["losses"][0] < least * 1.001
    assert np.all(np.diff(momentum[-1]) < 0)
    assert found["losses"][1] < 1e-3


@pytest.mark.slow
def test_the_ring_stays_round_the_disc_without_momentum():
    found = draw("nested_rings")
    np.testing.assert_array_equal(found["windings"], [1, 0])
    assert np.all(found["accuracies"] > 0.95)


@pytest.mark.slow
def test_the_map_dips_to_the_least_multiplier():
    found = draw("least_multiplier_by_mass", points=20)
    assert np.all(np.diff(found["least"]) < 0)
    assert np.min(found["map_1"]) == pytest.approx(-0.61349860, abs=1e-4)
    assert found["least"][-1] == pytest.approx(-0.99501374, abs=1e-8)


@pytest.mark.slow
def test_errors_of_the_inverse_grow_with_the_depth():
    found = draw("inversion_error_by_depth", depths=(5, 60), size=4, momenta=(0.7,))
    first, last = found["errors_0.7"]
    # volumes in (x, v) grow by γ^-d a layer, so some error by γ^-N/2 or more
    assert first < 1e-13
    assert last > 1e-16 * 0.7**-30
    np.testing.assert_array_equal(found["exact"], [0, 0])


def test_no_momentum_is_left_out_for_want_of_colours():
    with pytest.raises(BadInput, match=r"number of momenta .* 1 to 6; got 7"):
        inversion_error_by_depth(momenta=(0.9,) * 7)


@pytest.mark.slow
def test_the_store_is_small_and_so_is_the_memory_of_a_gradient():
    options = {"momenta": (0.5, 0.9), "depth": 400, "depths": (50, 400), "batch": 512}
    found = draw("bit_store_memory", **options)
    np.testing.assert_allclose(found["bits"], -np.log2([0.5, 0.9]), rtol=0.1)
    plain, reversible = (found[f"memory_{k}"] for k in ("plain", "reversible"))
    # every layer's activations: at least 8 bytes for each of 4 · 512 entries
    assert plain[1] - plain[0] > 350 * 8 * 4 * 512
    # the store's words of 2 bytes, a few copies of them
    words = -(-(350 * np.log2(10 / 9)) // 16)
    assert reversible[1] - reversible[0] < 8 * words * 2 * 4 * 512
    assert reversible[1] < plain[1] / 20


@pytest.mark.parametrize("bad", [{"depth": 0}, {"cap": -1.0}, {"learning_rate": 0.0}])
def test_bad_numbers_stop_at_the_door(bad):
    with pytest.raises(BadInput, match=next(iter(bad))):
        learn_reflection(0.9, **bad)
