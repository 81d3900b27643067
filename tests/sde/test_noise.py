"""The generator's known answers, its statistics, and what its values depend on."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from sde_helpers import EulerMaruyama, dkw_distance, dkw_radius

import flows
import sde
from flows import BadInput, Draw
from sde.noise import as_key, subkeys, threefry, uniform_of, uniforms

PATHS = jnp.arange(1000, dtype=jnp.uint32)


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


def test_normals_are_normal():
    """DKW at false alarm 1e-9: n = 10⁶ refuses every law further than 0.0066."""
    z = np.asarray(sde.Noise().block(1, PATHS, 0, Draw("normal", (1000,)))).ravel()
    radius = dkw_radius(z.size)
    assert dkw_distance(z, norm.cdf) < radius
    assert dkw_distance(z, norm(scale=1.03).cdf) > radius  # control, at distance 0.0072
    assert np.abs(z).max() < 5.3


def test_normals_of_float64_resolution_are_normal():
    z = np.asarray(sde.Noise("float64").block(1, PATHS, 0, Draw("normal", (300,))))
    assert dkw_distance(z.ravel(), norm.cdf) < dkw_radius(z.size)
    assert len(np.unique(z)) == z.size  # 2⁵² values; float32 ones repeat
    coarse = np.asarray(sde.Noise().block(1, PATHS, 0, Draw("normal", (300,))))
    assert len(np.unique(coarse)) < z.size
    # the two resolutions are roundings of one variable
    assert np.max(np.abs(coarse - z)[np.abs(z) < 4]) < 1e-3


def test_neighbours_are_uncorrelated():
    """|r| √n is standard normal: beyond 6.2 once in 10⁹; n = 10⁶ sees |r| > 0.0125."""
    draw = Draw("normal", (500,))

    def z(step):
        return np.asarray(sde.Noise().block(7, PATHS, step, draw))

    a, b = z(3), z(4)
    pairs = {
        "step": (a, b),
        "path": (a[:-1], a[1:]),
        "component": (a[:, :-1], a[:, 1:]),
        "squares": (a**2 - 1, b**2 - 1),
        "key": (a, np.asarray(sde.Noise().block(8, PATHS, 3, draw))),
    }
    for name, (u, v) in pairs.items():
        r = np.mean(u * v) / np.sqrt(np.mean(u**2) * np.mean(v**2))
        assert abs(r) * np.sqrt(u.size) < 6.2, name


def test_values_depend_on_key_path_step_and_component_alone():
    draws = {"a": Draw("normal", (3,)), "b": Draw("uniform", (2, 2))}
    whole = sde.Noise().block(5, PATHS, 11, draws)
    some = jnp.asarray([3, 999, 17], jnp.uint32)
    part = sde.Noise().block(jax.random.key(5), some, 11, draws)
    wider = sde.Noise().block(5, PATHS, 11, {"a": Draw("normal", (9,)), "b": None})
    last = sde.Noise().block(5, PATHS, 11, draws, axis=-1)
    for name in draws:
        np.testing.assert_array_equal(whole[name][some], part[name])
        np.testing.assert_array_equal(np.moveaxis(last[name], -1, 0), whole[name])
    np.testing.assert_array_equal(wider["a"][:, :3], whole["a"])
    assert whole["b"].shape == (1000, 2, 2)
    assert float(whole["b"].min()) > 0 and float(whole["b"].max()) < 1


def test_leaves_of_one_step_are_different_draws():
    draws = (Draw("normal", (4,)), Draw("normal", (4,)), Draw("bits", (4,)))
    a, b, c = sde.Noise().block(0, PATHS, 0, draws)
    assert not np.any(np.asarray(a) == np.asarray(b))
    assert c.dtype == jnp.uint32 and len(np.unique(c)) > 3990


SCRIPT = """
import hashlib, jax, jax.numpy as jnp, numpy as np
import flows, sde
from flows import Draw
from sde.noise import as_key
ids = jnp.arange(64, dtype=jnp.uint32)
draws = (Draw("normal", (3,)), Draw("uniform", (2,)), Draw("bits", (2,)))
out = sde.Noise().block(as_key(2**40 + 3), ids, 9, draws)
text = b"".join(np.asarray(a).astype("f8").tobytes() for a in out)
print(hashlib.sha256(text).hexdigest(), jnp.asarray(0.0).dtype)
if jnp.asarray(0.0).dtype == jnp.float32:
    try:
        sde.Noise("float64").block(0, ids, 0, draws)
    except flows.PrecisionError:
        print("refused")
"""


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
    at_two = sde.Noise().block(0, ids, 2, Draw("normal", (2,)))
    np.testing.assert_array_equal(other[2], at_two[0])
    for change in ({"steps": 0}, {"key": None}, {"path": -1}):
        wanted = {"key": 0, "steps": 5} | change
        with pytest.raises(BadInput):
            sde.draw_noise(EulerMaruyama(), model, y, **wanted)
    with pytest.raises(BadInput, match="resolution"):
        sde.Noise("float16")
