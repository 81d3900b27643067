"""The numbers behind the figure of heavy ball's two scalings."""

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import halving_slopes

from discretize import figures


@pytest.mark.slow
def test_the_mass_decides_the_order_and_the_size_of_the_error():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        _, shown = figures.momentum_orders(levels=4)
    plt.close("all")
    # in √η, which is halved from one to the next
    np.testing.assert_allclose(halving_slopes(shown["inertial"])[-1], 1, atol=0.05)
    np.testing.assert_allclose(halving_slopes(shown["modified"])[-1], 2, atol=0.1)
    assert np.all(shown["descent"] > 15 * shown["massive"])
    assert shown["descent"][0] > 0.2  # as large as what is left of the way
