"""Several devices, and memory, each in a process of its own."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

SETTING = """
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np
import sde
from discretize import TamedEuler
from flows.problems import double_well

process = sde.OverdampedLangevin(double_well(), 0.25)
"""

DEVICES = """
statistics = sde.Statistics(
    {"x": lambda y: y, "bins": sde.Histogram(np.linspace(-2, 2, 41))}, times=[1.0]
)
asked = {"t1": 1.0, "scheme": TamedEuler(), "key": 3, "paths": 1001}
assert len(jax.devices()) == 4

def gap(a, b):
    leaves = [jax.tree.leaves(tree) for tree in (a, b)]
    return max(np.max(np.abs(np.asarray(x) - np.asarray(y))) for x, y in zip(*leaves))

def run(save, **more):
    return sde.simulate(process, jnp.ones(1), h=1 / 16, save=save, **asked, **more)

one, four = run("final"), run("final", devices="all", chunk=300)
assert run("final", devices=jax.devices()[:1]).paths == 1001
chunks = sde.chunks.Batches(1001, 302, "all")
assert chunks.chunk == 304 and len(chunks.place(np.zeros(304)).devices()) == 4
print(four.paths, gap(one.states, four.states))
one, four = run(statistics), run(statistics, devices=jax.devices())
print(sum(one.histogram("bins").inside[0]), gap(one.statistics, four.statistics))
one, four = (
    sde.simulate_coupled(process, jnp.ones(1), h=[1 / 8, 1 / 16], **asked, devices=d)
    for d in (None, "all")
)
print(len(four), gap(one.gaps.sup, four.gaps.sup))
"""

MEMORY = """
import resource, sys

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # MiB

edges = np.linspace(-3, 3, 601)

def run(paths):
    square = lambda y: y[0] ** 2
    asked = sde.Statistics({"square": square, "x": sde.Histogram(edges)}, [1.0])
    return sde.simulate(
        process,
        jnp.ones(1),
        t1=1.0,
        scheme=TamedEuler(),
        h=1 / 16,
        key=3,
        paths=paths,
        save=asked,
    )

run(10_000)
small = peak()
found = run(10_000_000)
large = peak()
assert found.paths == 10_000_000 and found.histogram("x").total()[0] == 10_000_000
print(small, large - small, found.estimate("square").standard_error[0])
"""


def run_python(code, flags=""):
    environment = os.environ | {"XLA_FLAGS": flags}
    done = subprocess.run(
        [sys.executable, "-c", SETTING + code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [[float(x) for x in line.split()] for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_states_on_four_devices_are_those_on_one():
    """To rounding: 16 steps of numbers of size 1, and sums over 1001 paths."""
    states, statistics, coupled = run_python(
        DEVICES, "--xla_force_host_platform_device_count=4"
    )
    assert states[0] == 1001 and states[1] <= 1e-14
    assert statistics[0] > 990 and statistics[1] <= 1e-11
    assert coupled[0] == 2 and coupled[1] <= 1e-14


@pytest.mark.slow
def test_ten_million_paths_in_bounded_memory():
    """Ten thousand paths and ten million with the same statistics.

    One number a path would be 76 MiB more; 40 are granted for what allocators keep.
    """
    ((small, more, error),) = run_python(MEMORY)
    assert 100 < small < 2000
    assert more < 40
    assert 1e-5 < error < 1e-3
