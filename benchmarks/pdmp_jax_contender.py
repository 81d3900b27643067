"""Zig-Zag and boomerang of the package pdmp-jax on a Gaussian, timed.

A script for an environment of its own, as the package pins an old jax:

    python -m venv FOLDER && FOLDER/bin/pip install pdmp-jax
    FOLDER/bin/python benchmarks/pdmp_jax_contender.py '{"sampler": "zigzag"}'

It needs nothing of this project. The one argument is JSON with any of the fields of
`DEFAULTS`; what it prints is JSON, `result` below. The target is a centred Gaussian of
unit variances with correlations a^|i-j|. The package runs one chain a call, a fixed
number of events; here the call is compiled once, and "batched" chains go through
`jax.vmap`, which is what it can do for an ensemble.
"""

import importlib
import importlib.metadata
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

DEFAULTS = {
    "sampler": "zigzag",  # or "boomerang"
    "size": 10,  # coordinates
    "correlation": 0.5,  # a
    "refreshment": 0.5,  # rate, boomerang only
    "events": 2000,  # a chain
    "chains": 64,
    "batched": True,  # chains in one vmapped call, or one after another
    "grid": 10,  # points of the grid from which the package bounds a rate
    "repeats": 3,
    "x64": False,  # the package's own default
}


def precision_of(size: int, a: float) -> np.ndarray:
    """The inverse of the matrix of correlations a^|i-j|: tridiagonal."""
    places = np.arange(size)
    return np.linalg.inv(a ** np.abs(places[:, None] - places[None, :]))


def sampler_of(options: dict) -> tuple:
    """The package's sampler, and a function (rng) -> start (x, v) in stationarity."""
    package = importlib.import_module("pdmp_jax")
    size = options["size"]
    precision = precision_of(size, options["correlation"])
    covariance, matrix = np.linalg.inv(precision), jnp.asarray(precision)
    shared = {"grid_size": options["grid"], "dim": size}
    zigzag = options["sampler"] == "zigzag"

    def gradient(x):
        return matrix @ x

    if zigzag:
        sampler = package.ZigZag(grad_U=gradient, **shared)
    else:
        rate = options["refreshment"]
        sampler = package.Boomerang(grad_U=gradient, refresh_rate=rate, **shared)

    def start(rng):
        x = rng.multivariate_normal(np.zeros(size), covariance)
        v = rng.choice([-1.0, 1.0], size) if zigzag else rng.standard_normal(size)
        return x, v

    return sampler, start


def averages(options: dict, out) -> tuple[np.ndarray, np.ndarray]:
    """Length of each chain in time, and its exact time average of x, [chains, n]."""
    t, x, v = (np.asarray(a, float) for a in (out.t, out.x, out.v))
    dt = np.diff(t, axis=1)[..., None]
    if options["sampler"] == "zigzag":
        pieces = dt * x[:, :-1] + dt**2 / 2 * v[:, :-1]
    else:
        pieces = np.sin(dt) * x[:, :-1] + (1 - np.cos(dt)) * v[:, :-1]
    length = t[:, -1] - t[:, 0]
    return length, pieces.sum(axis=1) / length[:, None]


def main(options: dict) -> dict:
    """Run, time, and say what came out."""
    sampler, start = sampler_of(options)
    rng = np.random.default_rng(0)
    points = [start(rng) for _ in range(options["chains"])]
    x, v = (jnp.asarray(np.stack(a)) for a in zip(*points, strict=True))

    def chain(x, v, seed):
        return sampler.sample_skeleton(options["events"], x, v, seed, verbose=False)

    batched = jax.jit(jax.vmap(chain))
    single = jax.jit(chain)

    def run(first: int):
        seeds = jnp.arange(first, first + options["chains"])
        if options["batched"]:
            return jax.block_until_ready(batched(x, v, seeds))
        outs = [single(a, b, s) for a, b, s in zip(x, v, seeds, strict=True)]
        return jax.block_until_ready(jax.tree.map(lambda *a: jnp.stack(a), *outs))

    cpu, wall, runs = [], [], []
    for repeat in range(options["repeats"] + 1):
        c, w = time.process_time(), time.perf_counter()
        out = run(repeat * options["chains"])
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - w)
        runs.append((averages(options, out), int(np.sum(out.error_bound))))
    length = np.concatenate([r[0][0] for r in runs[1:]])
    average = np.concatenate([r[0][1] for r in runs[1:]])
    seconds = float(np.median(cpu[1:]))
    # each coordinate has mean 0 and variance 1: n independent draws have 1/n
    effective = options["chains"] / float(np.mean(average**2))
    events = options["events"] * options["chains"]
    return {
        **options,
        "version": importlib.metadata.version("pdmp-jax"),
        "jax": jax.__version__,
        "cpu_seconds": seconds,
        "wall_seconds": float(np.median(wall[1:])),
        "first_call_cpu_seconds": cpu[0],
        "events_per_second": events / seconds,
        "chain_length": float(np.mean(length)),  # time
        "effective_samples": effective,  # of one run, all chains
        "effective_samples_per_second": effective / seconds,
        "bound_violations": sum(r[1] for r in runs[1:]),
    }


if __name__ == "__main__":
    given = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    unknown = set(given) - set(DEFAULTS)
    if unknown:
        sys.exit(f"unknown options {sorted(unknown)}; known: {sorted(DEFAULTS)}")
    asked = {**DEFAULTS, **given}
    if asked["x64"]:
        jax.config.update("jax_enable_x64", True)
    print(json.dumps(main(asked)))
