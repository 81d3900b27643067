"""Small schemes and processes that several test files share."""

import jax.numpy as jnp
import numpy as np

import flows
import sde
from flows import Draw, Scheme, Step


class Exact(Scheme):
    """The exact map of one part."""

    part: str = "O"

    def noise_like(self, dynamics, y):
        return {self.part: dynamics.parts()[self.part].noise_like(y)}

    def step(self, dynamics, t, y, h, noise, carry):
        part = dynamics.parts()[self.part]
        return Step(part.exact(t, y, h, noise[self.part]), carry)


class EulerMaruyama(Scheme):
    def noise_like(self, dynamics, y):
        return Draw("normal", (dynamics.brownian(y),))

    def step(self, dynamics, t, y, h, noise, carry):
        drift = dynamics.vector_field(t, y)
        return Step(y + h * drift + dynamics.noise(t, y, jnp.sqrt(h) * noise), carry)


class Age(sde.JumpProcess):
    """Age since the last renewal: x' = 1, rate x, back to 0; half-normal in the end."""

    closed_form: bool = True
    factor: float = 1.0  # of the bound; below 1 it is wrong

    def vector_field(self, t, y):
        return jnp.ones_like(y)

    def exact(self, t, y, h):
        return y + h if self.closed_form else None

    def rates(self, t, y):
        return y

    def jump(self, t, y, channel):
        return sde.Deterministic(jnp.zeros_like(y))

    def bound(self, t, y, horizon):
        return self.factor * (y[0] + horizon)


def switching_quadratics(centres, curvatures, rate, convention="never_repeat"):
    """α x' = -κ_I (x - a_I), α = 1, with a uniform label."""
    losses = flows.quadratic_sum(centres, curvatures)
    return switching(losses, rate, convention)


def switching(losses, rate, convention="never_repeat"):
    """α x' = -∇f_I(x), α = 1, with a uniform label."""
    index = sde.UniformIndex(losses.rows, rate, convention)
    return sde.StochasticGradientProcess(losses, index)


def dkw_distance(sample, cdf):
    """sup |F_n - F| of a continuous law."""
    x = np.sort(np.asarray(sample))
    f, n = cdf(x), len(x)
    up, low = np.arange(1, n + 1) / n - f, f - np.arange(n) / n
    return float(max(up.max(), low.max()))


def dkw_radius(n, alpha=1e-9):
    """P(sup |F_n - F| > radius) <= alpha (Massart); a law at twice it is refused."""
    return float(np.sqrt(np.log(2 / alpha) / (2 * n)))
