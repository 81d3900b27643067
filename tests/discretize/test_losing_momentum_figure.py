"""The numbers behind the figure of momentum kept and lost."""

import numpy as np
import pytest

from discretize import figures


@pytest.mark.slow
def test_momentum_crosses_the_barrier_and_lost_in_time_it_stays():
    """60 paths a curve: the shares are 0, 0.79 and 1 by 400, twelve s.e. apart."""
    _, numbers = figures.losing_momentum(paths=60)
    assert numbers["deep_none"] == 0
    assert 0.5 < numbers["deep_kept"] < 0.95
    assert numbers["deep_lost"] == 1
    shallow, deep = -0.152469, -0.352386  # F at its minima
    assert numbers["none"][-1] == pytest.approx(shallow, abs=0.01)
    assert numbers["lost"][-1] == pytest.approx(deep, abs=0.01)
    assert shallow - 0.05 > numbers["kept"][-1] > deep + 0.01
    for name in ("none", "kept", "lost"):
        assert numbers[name][0] == pytest.approx(4 - 2 + 0.2)
    beta, eta = numbers["beta"], numbers["eta"]
    assert np.all(np.diff(beta) < 0) and np.all(np.diff(eta) > 0)
    np.testing.assert_allclose(eta, 1 - beta, rtol=1e-14)  # η/(1 - β) = h/α, h = 1
    assert beta[0] == pytest.approx(8 / 9)
