"""Other ways to simulate a switching quadratic with momentum, each written with care.

x' = v, m v' = -κ(x - a_I) - αv, from rest at 0; the label is drawn afresh among the
others at the rate γ. Positions at the end, float64, shape [paths].
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from sde import draw_index_path, path_key

CENTRES = np.array([-1.0, 0.0, 1.5, 2.5])
KAPPA, MASS, FRICTION, RATE = 1.3, 0.7, 0.9, 2.0
DECAY = FRICTION / (2 * MASS)
TURN = math.sqrt(KAPPA / MASS - DECAY**2)


def numpy_all_paths(paths: int, end: float):
    """Jump by jump, all paths at once, with the closed form of these parameters."""
    rng = np.random.Generator(np.random.SFC64(0))
    label = rng.integers(0, 4, paths)
    x, v, left = np.zeros(paths), np.zeros(paths), np.full(paths, end)
    while np.any(left > 0):
        wait = np.minimum(rng.exponential(1 / RATE, paths), left)
        decay, angle = np.exp(-DECAY * wait), TURN * wait
        sine, cosine = np.sin(angle) / TURN, np.cos(angle)
        centre = CENTRES[label]
        u = x - centre
        x = centre + decay * ((cosine + DECAY * sine) * u + sine * v)
        v = decay * ((cosine - DECAY * sine) * v - KAPPA / MASS * sine * u)
        left -= wait
        label = (label + rng.integers(1, 4, paths)) % 4
    return x


def event_loop(paths: int, end: float):
    """Path by path, event by event, in plain Python with NumPy's generator."""
    rng = np.random.Generator(np.random.SFC64(0))
    final = np.empty(paths)
    for p in range(paths):
        label, x, v, left = rng.integers(0, 4), 0.0, 0.0, end
        while left > 0:
            wait = min(rng.exponential(1 / RATE), left)
            decay, angle = math.exp(-DECAY * wait), TURN * wait
            sine, cosine = math.sin(angle) / TURN, math.cos(angle)
            u = x - CENTRES[label]
            x = CENTRES[label] + decay * ((cosine + DECAY * sine) * u + sine * v)
            v = decay * ((cosine - DECAY * sine) * v - KAPPA / MASS * sine * u)
            left -= wait
            label = (label + rng.integers(1, 4)) % 4
        final[p] = x
    return final


@functools.partial(jax.jit, static_argnums=(2, 3))
def diffrax_declared(index, key, paths: int, events: int, end, tolerance):
    """One solve a path, vmapped; its jump times are declared, its labels looked up.

    The labels are those of `sde.simulate_skeletons` with the same key.
    """
    import diffrax

    centres = jnp.asarray(CENTRES)

    def solve(path):
        drawn = draw_index_path(index, path_key(key, path), t1=end, events=events)

        def field(t, y, labels):
            x, v = y
            centre = centres[labels[jnp.searchsorted(drawn.times, t, side="right")]]
            return v, -(KAPPA * (x - centre) + FRICTION * v) / MASS

        steps = diffrax.PIDController(rtol=tolerance, atol=tolerance)
        zero = jnp.zeros(())
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Tsit5(),
            0.0,
            end,
            None,
            (zero, zero),
            args=drawn.labels,
            stepsize_controller=diffrax.ClipStepSizeController(
                steps, jump_ts=drawn.times
            ),
            adjoint=diffrax.ForwardMode(),
            max_steps=None,
        ).ys[0][-1]

    return jax.vmap(solve)(jnp.arange(paths, dtype=jnp.uint32))
