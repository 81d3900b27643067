"""`sde.simulate` beside a scan that draws its normals as it goes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.protocol import Protocol, Row, measure, ratio
from discretize import Euler
from flows.problems import double_well, quadratic
from sde import Noise, OverdampedLangevin, simulate

CASE = "ensembles: sde.simulate beside a scan with jax.random.normal"
H, TEMPERATURE = 0.01, 0.25


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def scan(gradient, x, key, steps: int, dtype):
    """Euler-Maruyama on all paths at once; x has shape [paths]."""

    def body(x, k):
        xi = jax.random.normal(jax.random.fold_in(key, k), x.shape, dtype)
        return x - H * gradient(x) + scale * xi.astype(x.dtype), None

    scale = np.sqrt(2 * TEMPERATURE * H)
    return jax.lax.scan(body, x, jnp.arange(steps))[0]


def well(x):
    return x**3 - x


def linear(x):
    return x


def study(protocol: Protocol, name, objective, gradient, resolution: str) -> Row:
    paths, steps = (50, 10) if protocol.tiny else (10_000, 1_000)
    process = OverdampedLangevin(objective, TEMPERATURE)
    noise, key = Noise(resolution), jax.random.key(0)
    starts = jnp.ones((paths, 1))

    def ours():
        return simulate(
            process,
            starts,
            t1=H * steps,
            scheme=Euler(),
            h=H,
            key=key,
            paths=paths,
            noise=noise,
        ).states

    def other():
        return scan(gradient, starts[:, 0], key, steps, jnp.dtype(resolution).type)

    samples = measure({"ours": ours, "other": other}, protocol)
    _require_same_law(ours().ravel(), other())
    a, b = samples.values()
    speed, by_hand = (paths * steps / s.seconds / 1e6 for s in (a, b))
    return Row(
        CASE,
        f"{name}, {paths:,} paths x {steps:,} steps, {resolution} normals",
        "M steps/s",
        speed,
        by_hand,
        ratio(a.cpu, b.cpu),
        first=(a.first, b.first),
        busy=max(a.busy, b.busy),
        note="ratio of times",
    )


def _require_same_law(a, b) -> None:
    """Second moments within 6 standard errors: other draws, the same law."""
    a, b = np.asarray(a) ** 2, np.asarray(b) ** 2
    error = np.sqrt(a.var() / a.size + b.var() / b.size)
    if abs(a.mean() - b.mean()) > 6 * error:
        raise RuntimeError(f"second moments differ: {a.mean():.4f} and {b.mean():.4f}")


def rows(protocol: Protocol) -> list[Row]:
    found = []
    for resolution in ("float32", "float64"):
        found.append(study(protocol, "double well", double_well(), well, resolution))
        found.append(
            study(protocol, "Ornstein-Uhlenbeck", quadratic([1.0]), linear, resolution)
        )
    return found
