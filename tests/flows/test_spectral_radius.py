"""The power method, and what stabilised solvers refuse."""

import jax.numpy as jnp
import numpy as np
import pytest

from flows import RKC2, ROCK4, BadInput
from flows.spectral_radius import spectral_radius

SOLVERS = [RKC2, ROCK4]


@pytest.mark.parametrize("cls", SOLVERS)
def test_bad_input(cls):
    for wrong in (
        {"safety": 0.9},
        {"safety": np.nan},
        {"every": 0},
        {"max_stages": 1},
        {"spectral_radius": -1.0},
        {"spectral_radius": np.inf},
        {"spectral_radius": "large"},
        {"spectral_radius": [1.0, 2.0]},
    ):
        with pytest.raises(BadInput):
            cls(**wrong)


# The power method.


def test_the_power_method_finds_the_largest_eigenvalue():
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.standard_normal((30, 30)))
    matrix = jnp.asarray(q @ np.diag(-np.geomspace(1, 200, 30)) @ q.T)
    y = jnp.asarray(rng.standard_normal(30))

    def field(y):
        return matrix @ y

    cold = spectral_radius(field, y, field(y), jnp.zeros(30))
    assert 0.9 * 200 < float(cold.value) <= 200 * (1 + 1e-6)
    warm = spectral_radius(field, y, field(y), cold.direction)
    assert float(cold.value) - 1e-6 <= float(warm.value) <= 200 * (1 + 1e-6)
    assert int(warm.evaluations) < int(cold.evaluations)
    flat = spectral_radius(lambda y: 0 * y, y, 0 * y, y)
    assert float(flat.value) == 0.0
