"""A regime map of a million modes beside NumPy's batched eigenvalues."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.protocol import Protocol, Row, compared, measure, require_same
from discretize import Regime, regimes

CASE = "regime maps beside NumPy's eigvals of 2 x 2 matrices"


def modes(count: int):
    """λ of both signs, α, β and γ, log-uniform."""
    r = np.random.default_rng(0)
    curvature = 10 ** r.uniform(-3, 3, count) * np.where(r.random(count) < 0.8, 1, -1)
    alpha, beta, step = 10 ** r.uniform(
        [[-2], [-2], [-2]], [[1], [1], [0.7]], (3, count)
    )
    return curvature, alpha, beta, step


def by_eigenvalues(curvature, alpha, beta, step=None):
    """Codes and rates from eigenvalues of the linear (x, ψ) system or of its step."""
    a = np.empty((curvature.size, 2, 2))
    slow = alpha - 1 / beta
    a[:, 0, 0], a[:, 0, 1] = -slow - beta * curvature, -1 / beta
    a[:, 1, 0], a[:, 1, 1] = -slow, -1 / beta
    if step is not None:
        a *= step[:, None, None]
        a[:, [0, 1], [0, 1]] += 1
    z = np.linalg.eigvals(a)
    pair = z[:, 0].imag != 0
    if step is None:
        codes = np.where(pair, Regime.SPIRAL, Regime.NODE)
        codes = np.where(curvature < 0, Regime.SADDLE, codes)
        return codes, -np.max(z.real, axis=1)
    size = np.abs(z)
    largest = np.max(size, axis=1)
    flips = np.min(z.real, axis=1) < 0
    stable = np.where(pair, Regime.SPIRAL, np.where(flips, Regime.FLIP, Regime.NODE))
    unstable = np.where(pair, Regime.UNSTABLE_SPIRAL, Regime.UNSTABLE_FLIP)
    saddle = np.where(np.min(size, axis=1) > 1, Regime.SOURCE, Regime.SADDLE)
    codes = np.where(largest > 1, unstable, stable)
    return np.where(curvature < 0, saddle, codes), -np.log(largest) / step


def rows(protocol: Protocol) -> list[Row]:
    count = 1000 if protocol.tiny else 1_000_000
    curvature, alpha, beta, step = modes(count)
    on_device = [jnp.asarray(a) for a in (curvature, alpha, beta, step)]
    found = []
    for name, h, mine in (("flow", None, None), ("step", step, on_device[3])):

        def ours(h=mine):
            return regimes(*on_device[:3], step=h)

        def other(h=h):
            return by_eigenvalues(curvature, alpha, beta, h)

        samples = measure({"ours": ours, "other": other}, protocol)
        codes, rates = other()
        whole = jax.block_until_ready(ours())
        require_same(np.mean(np.asarray(whole.regime) == codes), 1.0, 1e-5)
        near = np.abs(rates) > 1e-6 * np.max(np.abs(rates))
        require_same(np.asarray(whole.rate)[near], rates[near], 1e-6)
        problem = f"{name}, {count:,} modes: codes, roots, rates (ours: boundaries too)"
        found.append(compared(CASE, problem, samples, target=1 / 20))
    return found
