"""The numbers in the figures of stochastic optimisers."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from discretize.figures.stochastic_optimisers import square_root_rule, weak_order


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.slow
def test_slopes_of_the_three_models():
    _, numbers = weak_order(levels=3)
    slopes = {
        name: np.log2(numbers[name][-2] / numbers[name][-1])
        for name in ("flow", "first", "second")
    }
    assert slopes["flow"] == pytest.approx(1, abs=0.1)
    assert slopes["first"] == pytest.approx(1, abs=0.1)
    assert slopes["second"] == pytest.approx(2, abs=0.1)


def test_only_the_square_root_rule_stays_with_the_small_batch():
    _, numbers = square_root_rule(saves=2)
    base = numbers["base"][-1]
    assert numbers["rule"][-1] == pytest.approx(base, rel=0.01)
    assert numbers["linear"][-1] > 1.5 * base
    assert numbers["unchanged"][1] > 1.1 * numbers["base"][1]
    # the diffusions are the same curve, and RMSProp stays near its own
    np.testing.assert_allclose(
        numbers["rule_diffusion"], numbers["base_diffusion"], rtol=1e-7
    )
    np.testing.assert_allclose(numbers["base"], numbers["base_diffusion"], atol=5e-3)
