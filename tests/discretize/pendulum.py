"""A split flow with exact parts, for tests of schemes."""

import jax.numpy as jnp

from flows import Flow, Part
from sde import LangevinState


class Drift(Part):
    """x' = v."""

    advances_time = True

    def vector_field(self, t, y):
        return LangevinState(y.velocity, jnp.zeros_like(y.velocity))

    def exact(self, t, y, h, noise=None):
        return y._replace(position=y.position + h * y.velocity)


class Force(Part):
    """v' = -sin x."""

    def vector_field(self, t, y):
        return LangevinState(jnp.zeros_like(y.position), -jnp.sin(y.position))

    def exact(self, t, y, h, noise=None):
        return y._replace(velocity=y.velocity - h * jnp.sin(y.position))


class Pendulum(Flow):
    """x'' = -sin x."""

    def vector_field(self, t, y):
        return LangevinState(y.velocity, -jnp.sin(y.position))

    def parts(self):
        return {"A": Drift(), "B": Force()}


def pendulum_start():
    return LangevinState(jnp.array([1.0]), jnp.array([0.3]))
