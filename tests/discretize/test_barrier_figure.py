"""The numbers of the figure of paths that cross a barrier."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from discretize import figures


@pytest.mark.slow
def test_mass_decides_who_crosses_and_switching_blurs_it():
    """With 64 paths a share of 0 or 1 for a chance of 1/2 has probability 5e-20."""
    _, shown = figures.barrier_crossing(paths=64, masses=3)
    plt.close("all")
    critical = shown["critical"]
    assert critical == pytest.approx(0.28408, abs=1e-5)
    for mass in (0.15, 0.28, 0.29, 0.6):
        path = shown[f"path_{mass:g}"]
        assert path[0] == 2 and (path.min() < 0) == (mass > critical)
        assert abs(path[-1] - np.sign(path[-1])) < 0.05
    flow = shown["path_0"]
    assert flow.min() >= 1 and np.all(np.diff(flow) <= 0)
    # the well of the tilted loss: x³ - x + 0.3 = 0, to the right of 1/√3
    floor = shown["floor"]
    assert floor**3 - floor + 0.3 == pytest.approx(0, abs=1e-12) and floor > 3**-0.5
    # masses 0.02, 0.31 and 0.6: light ones stay, heavy ones mostly cross
    for rate in ("0.5", "4"):
        share = shown[f"share_{rate}"]
        assert share[0] == 0 and 0 < share[1] < 1 and share[2] > 0.5
