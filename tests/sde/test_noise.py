"""The generator's known answers, noise by name, and what its values depend on."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sde_helpers import EulerMaruyama

import flows
import sde
from flows import BadInput, Draw
from sde.noise import (
    as_key,
    as_noise,
    subkeys,
    threefry,
    uniform_of,
    uniforms,
)

PATHS = jnp.arange(1000, dtype=jnp.uint32)


@eqx.filter_jit
def block(noise, key, paths, step, draws, axis=0):
    return noise.block(key, paths, step, draws, axis)


@eqx.filter_jit
def pair(noise, key, paths, index, draws, axis=0):
    return noise.pair(key, paths, index, draws, axis)


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        (
            (0x13198A2E, 0x03707344),
            (0x243F6A88, 0x85A308D3),
            (0xC4923A9C, 0x483DF7A0),
        ),
    ],
)
def test_threefry_gives_the_known_answers_of_random123(key, counter, expected):
    words = threefry(*(tuple(map(jnp.uint32, pair)) for pair in (key, counter)))
    assert tuple(int(w) for w in words) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float64", "inversion-float32"])
def test_a_pair_is_the_blocks_of_two_steps_and_a_path_the_blocks_of_all(name):
    noise = as_noise(name)
    draws = (Draw("normal", (3,)), Draw("uniform", (2,)), Draw("bits", (2,)), None)
    both = pair(noise, 3, PATHS[:64], 5, draws)
    for step, half in zip((10, 11), both, strict=True):
        alone = block(noise, 3, PATHS[:64], step, draws)
        for a, b in zip(half[:3], alone[:3], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
        assert half[3] is alone[3] is None
    assert both[0][2].dtype == jnp.uint32
    f = flows.from_loss(lambda x: jnp.sum(x**2) / 2, jnp.zeros(3))
    model = sde.OverdampedLangevin(f)
    path = sde.draw_noise(
        EulerMaruyama(), model, jnp.zeros(3), 3, 12, path=7, noise=name
    )
    np.testing.assert_allclose(path[10], both[0][0][7], rtol=1e-6)
    np.testing.assert_allclose(path[11], both[1][0][7], rtol=1e-6)


def test_the_two_resolutions_are_roundings_of_one_variable():
    """A cell of float32 is 2⁻³² of the radius' word, 2⁻²⁴ of the angle's."""
    draw = Draw("normal", (300,))
    fine = np.asarray(block(sde.Noise("float64"), 1, PATHS, 4, draw))
    coarse = np.asarray(block(sde.Noise("float32"), 1, PATHS, 4, draw))
    # half a cell of the angle moves ξ by at most 6.8 · π 2⁻²⁴ = 1.3e-6, float32
    # arithmetic by 1e-6; near r = 0 the radius moves by √(2 · 2⁻²⁴) = 3.5e-4
    assert np.quantile(np.abs(coarse - fine), 0.999) < 2.3e-6
    assert np.max(np.abs(coarse - fine)) < 4e-4
    assert len(np.unique(fine)) == fine.size
    for way in ("inversion-float32", "inversion-float64"):
        other = np.asarray(block(as_noise(way), 1, PATHS, 4, draw))
        assert np.abs(np.corrcoef(other.ravel(), fine.ravel())[0, 1]) < 0.012  # 6.6 σ


def test_noise_goes_by_name():
    assert as_noise(None) == as_noise("float32") == sde.Noise()
    assert as_noise("inversion-float64") == sde.Noise("float64", "inversion")
    assert as_noise(sde.Noise("float64")) == as_noise("float64")
    for wrong in ("float16", 3, "Box-Muller"):
        with pytest.raises(BadInput, match="inversion-float32"):
            as_noise(wrong)
    with pytest.raises(BadInput, match="method"):
        sde.Noise(method="ziggurat")


def test_values_depend_on_key_path_step_and_component_alone():
    draws = {"a": Draw("normal", (3,)), "b": Draw("uniform", (2, 2))}
    whole = block(sde.Noise(), 5, PATHS, 11, draws)
    some = jnp.asarray([3, 999, 17], jnp.uint32)
    part = block(sde.Noise(), jax.random.key(5), some, 11, draws)
    wider = block(sde.Noise(), 5, PATHS, 11, {"a": Draw("normal", (9,)), "b": None})
    last = block(sde.Noise(), 5, PATHS, 11, draws, axis=-1)
    for name in draws:
        np.testing.assert_array_equal(whole[name][some], part[name])
        np.testing.assert_array_equal(np.moveaxis(last[name], -1, 0), whole[name])
    np.testing.assert_array_equal(wider["a"][:, :3], whole["a"])
    assert whole["b"].shape == (1000, 2, 2)
    assert float(whole["b"].min()) > 0 and float(whole["b"].max()) < 1


def test_leaves_of_one_step_are_different_draws():
    draws = (Draw("normal", (4,)), Draw("normal", (4,)), Draw("bits", (4,)))
    a, b, c = block(sde.Noise(), 0, PATHS, 0, draws)
    assert not np.any(np.asarray(a) == np.asarray(b))
    assert c.dtype == jnp.uint32 and len(np.unique(c)) > 3990


SCRIPT = """
import hashlib, jax, jax.numpy as jnp, numpy as np
import flows, sde
from flows import Draw
from sde.noise import as_key
ids = jnp.arange(64, dtype=jnp.uint32)
draws = (Draw("normal", (3,)), Draw("uniform", (2,)), Draw("bits", (2,)))
drawn = jax.jit(lambda ids: sde.Noise().block(as_key(2**40 + 3), ids, 9, draws))
out = drawn(ids)
text = b"".join(np.asarray(a).astype("f8").tobytes() for a in out)
print(hashlib.sha256(text).hexdigest(), jnp.asarray(0.0).dtype)
if jnp.asarray(0.0).dtype == jnp.float32:
    try:
        sde.Noise("float64").block(0, ids, 0, draws)
    except flows.PrecisionError:
        print("refused")
"""


@pytest.mark.slow
def test_no_flag_of_jax_changes_a_value():
    flags = [
        {"JAX_ENABLE_X64": "1"},
        {
            "JAX_ENABLE_X64": "0",
            "JAX_THREEFRY_PARTITIONABLE": "0",
            "JAX_DEFAULT_PRNG_IMPL": "rbg",
        },
    ]
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=os.environ | extra,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for extra in flags
    ]
    assert runs[0][1] == "float64" and runs[1][1:] == ["float32", "refused"]
    assert runs[0][0] == runs[1][0]


def test_keys_of_every_kind_are_accepted_and_wrong_ones_refused():
    data = jax.random.key_data(as_key(12))
    np.testing.assert_array_equal(data, [0, 12])
    np.testing.assert_array_equal(data, jax.random.key_data(jax.random.key(12)))
    np.testing.assert_array_equal(jax.random.key_data(as_key(data)), data)
    assert jax.random.key_data(as_key(jax.random.key(1, impl="rbg"))).shape == (2,)
    for wrong in (None, -1, 2**64, 1.5, "seed", True, jnp.zeros(3, jnp.uint32)):
        with pytest.raises(BadInput, match="key"):
            as_key(wrong)


def test_subkeys_and_uniforms_are_distinct():
    keys = subkeys(3, 0, 100)
    u = np.array([float(uniform_of(k)) for k in keys])
    assert len(np.unique(u)) == 100 and u.min() > 0 and u.max() < 1
    assert not np.any(np.isin(np.asarray(uniforms(3, 100)), u))


def test_draw_noise_has_the_steps_first_and_refuses_bad_requests():
    f = flows.from_loss(lambda x: jnp.sum(x**2) / 2, jnp.zeros(2))
    model, y = sde.OverdampedLangevin(f), jnp.zeros(2)
    xi = sde.draw_noise(EulerMaruyama(), model, y, 0, 5)
    assert xi.shape == (5, 2)
    ids = jnp.asarray([4], jnp.uint32)
    other = sde.draw_noise(EulerMaruyama(), model, y, 0, 5, path=4)
    at_two = block(sde.Noise(), 0, ids, 2, Draw("normal", (2,)))
    np.testing.assert_array_equal(other[2], at_two[0])
    for change in ({"steps": 0}, {"key": None}, {"path": -1}):
        wanted = {"key": 0, "steps": 5} | change
        with pytest.raises(BadInput):
            sde.draw_noise(EulerMaruyama(), model, y, **wanted)
    with pytest.raises(BadInput, match="resolution"):
        sde.Noise("float16")
