"""Results as xarray datasets."""

import builtins

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ModuleNet

from flows import AdamState, BadInput
from flows.export import dataset

TIMES = np.array([0.0, 0.5])


def test_named_parts_become_variables():
    state = AdamState(jnp.ones((2, 3)), jnp.zeros((2, 3)), 2 * jnp.ones((2, 3)))
    data = dataset(TIMES, state)
    assert set(data.data_vars) == {"position", "first_moment", "second_moment"}
    assert data["second_moment"].dims == ("time", "second_moment_0")
    np.testing.assert_array_equal(data["second_moment"].sel(time=0.5), [2.0, 2.0, 2.0])


def test_a_users_parameters_become_variables():
    net = ModuleNet(jnp.ones((2, 3, 4)), jnp.zeros((2, 4)))
    data = dataset(TIMES, {"net": net, "scale": jnp.arange(2.0), "none": None})
    assert set(data.data_vars) == {"net.weight", "net.bias", "scale"}
    assert data["net.weight"].shape == (2, 3, 4)
    assert data["scale"].dims == ("time",)


def test_more_leading_axes():
    data = dataset(TIMES, jnp.ones((2, 5, 3)), ("time", "path"))
    assert data["position"].dims == ("time", "path", "position_0")


def test_a_missing_xarray_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "xarray":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadInput, match=r"flowtheory\[xarray\]"):
        dataset(TIMES, jnp.ones((2, 1)))
