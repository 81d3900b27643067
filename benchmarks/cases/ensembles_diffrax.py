"""`sde.simulate` and `sde.simulate_coupled` beside `diffrax.diffeqsolve`.

The slow ways run fewer paths and steps than ours; figures are a step of a path.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import ensemble_contenders as other
from benchmarks.cases.ensembles import ours, require_same_law, speeds
from benchmarks.protocol import Protocol, Row, measure
from discretize import TamedEuler
from flows.problems import double_well
from sde import OverdampedLangevin, simulate_coupled

CASE = "ensembles: tamed Euler on a double well beside diffrax's Euler, float64"
COUPLED = "ensembles: step sizes on the same Brownian paths beside diffrax's tree"
SIZES = {  # tree, vmapped: paths, steps
    (False, False): (10_000, 1_000),
    (False, True): (2_000, 500),
    (True, False): (2_000, 100),
    (True, True): (1_000, 100),
}
RATIOS = (8, 4, 2, 1)


def beside_diffrax(protocol: Protocol) -> list[Row]:
    key, calls = jax.random.key(0), {}
    whole = (64, 10) if protocol.tiny else (10_000, 1_000)
    sizes = dict.fromkeys(SIZES, (8, 10)) if protocol.tiny else SIZES
    calls["ours"] = functools.partial(ours, "float32", *whole)
    for kind, size in sizes.items():
        calls[kind] = functools.partial(other.diffrax_euler, key, *size, *kind)
    found = measure(calls, protocol)
    for kind, (_, steps) in sizes.items():
        require_same_law(ours("float32", whole[0], steps), calls[kind]())
    rows = []
    for (tree, vmapped), (paths, steps) in sizes.items():
        brownian = "VirtualBrownianTree" if tree else "UnsafeBrownianPath"
        how = "vmapped" if vmapped else "batched state"
        rows.append(
            speeds(
                f"{brownian}, {how}",
                found["ours"],
                found[tree, vmapped],
                (whole[0] * whole[1], paths * steps),
                1 / 50 if tree and vmapped else None,
                f"diffrax: {paths:,} paths x {steps:,} steps",
                CASE,
            )
        )
    return rows


@functools.partial(jax.jit, static_argnums=(1, 2))
def tree_levels(key, paths: int, steps: int):
    """The same tree solved with every step size, state batched."""
    import diffrax

    fine = 0.01 / RATIOS[0]
    shape = jax.ShapeDtypeStruct((paths,), jnp.float64)
    path = diffrax.VirtualBrownianTree(0.0, fine * steps, fine / 2, shape, key)
    scale = np.sqrt(2 / other.BETA)

    def level(ratio):
        h = fine * ratio

        def step(k, x):
            b = x - x**3
            increment = path.evaluate(k * h, (k + 1) * h)
            return x + h * b / (1 + h * jnp.abs(b)) + scale * increment

        return jax.lax.fori_loop(0, steps // ratio, step, jnp.ones(paths))

    return jnp.stack([level(ratio) for ratio in RATIOS])


def coupled_ours(paths: int, steps: int):
    fine = 0.01 / RATIOS[0]
    levels = simulate_coupled(
        OverdampedLangevin(double_well(), 1 / other.BETA),
        jnp.ones(1),
        t1=fine * steps,
        scheme=TamedEuler(),
        h=[fine * ratio for ratio in RATIOS],
        key=0,
        paths=paths,
    )
    return jnp.stack([level.states.ravel() for level in levels])


def coupled(protocol: Protocol) -> list[Row]:
    size, small = ((8, 16), (8, 16)) if protocol.tiny else ((10_000, 800), (1_000, 80))
    calls = {
        "ours": functools.partial(coupled_ours, *size),
        "tree": functools.partial(tree_levels, jax.random.key(0), *small),
    }
    found = measure(calls, protocol)
    mine, theirs = coupled_ours(size[0], small[1]), np.asarray(calls["tree"]())
    require_same_law(mine[-1], theirs[-1])
    gaps = mine[:-1] - mine[1:], theirs[:-1] - theirs[1:]
    for a, b in zip(*gaps, strict=True):
        require_same_law(a, b)  # strong differences of neighbouring step sizes
    return [
        speeds(
            "tamed Euler, h = 0.01, 0.005, 0.0025, 0.00125",
            found["ours"],
            found["tree"],
            (size[0] * size[1], small[0] * small[1]),
            1 / 15,
            f"finest steps; the tree: {small[0]:,} paths x {small[1]:,} steps, "
            "in a loop without diffeqsolve",
            COUPLED,
        )
    ]


def rows(protocol: Protocol) -> list[Row]:
    return beside_diffrax(protocol) + coupled(protocol)
