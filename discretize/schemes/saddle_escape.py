"""Gradient descent that gets away from saddles: by search, or by a random push."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from discretize.negative_curvature import escape_step, negative_curvature
from flows import Draw, GradientFlow, Scheme, Step
from flows.door import require_instance, require_number, require_whole
from flows.dynamics import parameter


class Escape(NamedTuple):
    """What a step of a descent that escapes saddles did.

    Attributes:
        escaped: whether it left a saddle in place of a step of descent.
        gradients: gradients that it took.
        curvature: the curvature found by its search (NaN where there was none).
    """

    escaped: Any
    gradients: Any
    curvature: Any


class CurvatureDescent(Scheme):
    r"""Gradient descent that searches for negative curvature where ∇f is small.

    Where |∇f(x)| > ε: x ← x - h∇f(x). Otherwise a `negative_curvature` search of T
    steps from a random direction, with smoothness 1/h and target √(ρε), T + 2 gradients
    in all; if it finds a curvature below -√(ρε)/4, an `escape_step` along it. If it
    finds none, the run is over, and x stays: up to bad luck no curvature there is below
    -√(ρε).

    Steps `flows.GradientFlow`; h <= 1/ℓ with ℓ the largest curvature. A step draws n
    standard normals (the search's start). Memory: whether the run is over.

    Reference: Zhang and Li, arXiv 2111.14069.

    Attributes:
        accuracy: ε > 0, in unit of a gradient.
        hessian_lipschitz: ρ > 0, Lipschitz constant of ∇²f.
        search: T, steps of a search (see `search_budget`).
        accelerated: whether the search has momentum.

    Raises:
        BadInput: a search that is no positive whole number, an accuracy or Lipschitz
            constant that is no positive number, or `accelerated` neither True nor
            False; on a step, a model that is no gradient flow.
    """

    order: ClassVar[int] = 1
    accuracy: Float[Array, ""] = eqx.field(converter=parameter)
    hessian_lipschitz: Float[Array, ""] = eqx.field(converter=parameter)
    search: int = eqx.field(static=True)
    accelerated: Any = eqx.field(static=True, default=False)

    def __check_init__(self):
        require_number("accuracy", self.accuracy, positive=True)
        require_number("hessian_lipschitz", self.hessian_lipschitz, positive=True)
        require_whole("search", self.search)
        require_instance(self.accelerated, bool, "accelerated is True or False")

    def noise_like(self, dynamics, y):
        """As many standard normals as there are coordinates."""
        del dynamics
        return Draw("normal", y.shape)

    def init(self, dynamics, t, y):
        """The run is not over."""
        del dynamics, t, y
        return jnp.asarray(False)

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One step of descent of size h, or one search."""
        del t
        require_instance(dynamics, GradientFlow, "CurvatureDescent steps GradientFlow")
        f, g = dynamics.objective, dynamics.objective.gradient(y)
        level = jnp.sqrt(self.hessian_lipschitz * self.accuracy)

        nothing = jnp.asarray(jnp.nan, y.dtype)

        def descend():
            return y - h * g, Escape(False, 1, nothing)

        def rest():
            return y, Escape(False, 0, nothing)

        def search():
            found = negative_curvature(
                f,
                y,
                noise,
                smoothness=1 / h,
                # H_r differs from H by ρ r/2, a two-hundredth of the target
                radius=level / (100 * self.hessian_lipschitz),
                steps=self.search,
                target=level if self.accelerated else None,
                at_x=g,
            )
            new = escape_step(
                y,
                g,
                found.direction,
                accuracy=self.accuracy,
                hessian_lipschitz=self.hessian_lipschitz,
            )
            good = found.curvature <= -level / 4
            done = Escape(good, 1 + found.gradients, found.curvature)
            return jnp.where(good, new, y), done

        small = jnp.linalg.norm(g) <= self.accuracy
        which = jnp.where(carry, 2, jnp.where(small, 1, 0))
        new, done = jax.lax.switch(which, (descend, search, rest))
        over = carry | (small & ~done.escaped)
        return Step(new, over, done)


class PerturbedDescent(Scheme):
    r"""Gradient descent with a random push where ∇f has been small for a while.

    Where |∇f(x)| <= ε and no push was given in the last `wait` steps, x ← x + ξ with ξ
    uniform in a ball of radius r; then, and elsewhere, x ← x - h∇f(x). The plainest way
    past a saddle, for comparison: along a curvature -γ the distance grows by 1 + hγ a
    step from a push of size r/√n.

    Steps `flows.GradientFlow`; a step draws n + 2 standard normals. Memory: steps since
    the last push.

    Reference: Jin, Ge, Netrapalli, Kakade and Jordan, "How to Escape Saddle Points
    Efficiently", 2017.

    Attributes:
        accuracy: ε > 0, in unit of a gradient.
        radius: r > 0 of the push (unit of x).
        wait: steps between pushes.

    Raises:
        BadInput: a wait that is no positive whole number, or an accuracy or radius that
            is no positive number; on a step, a model that is no gradient flow.
    """

    order: ClassVar[int] = 1
    accuracy: Float[Array, ""] = eqx.field(converter=parameter)
    radius: Float[Array, ""] = eqx.field(converter=parameter)
    wait: int = eqx.field(static=True)

    def __check_init__(self):
        require_number("accuracy", self.accuracy, positive=True)
        require_number("radius", self.radius, positive=True)
        require_whole("wait", self.wait)

    def noise_like(self, dynamics, y):
        """Two standard normals more than coordinates: n of n + 2 make a ball.

        The first n coordinates of a uniform point of the sphere of R^{n+2} are so.
        """
        del dynamics
        return Draw("normal", (y.shape[0] + 2,))

    def init(self, dynamics, t, y):
        """No push yet."""
        del dynamics, t, y
        return jnp.asarray(self.wait)

    def step(self, dynamics, t, y, h, noise, carry) -> Step:
        """One step of size h, a push before it where one is due."""
        del t
        require_instance(dynamics, GradientFlow, "PerturbedDescent steps GradientFlow")
        f, due = dynamics.objective, carry >= self.wait
        g = f.gradient(y)
        push = due & (jnp.linalg.norm(g) <= self.accuracy)
        inside = (noise / jnp.linalg.norm(noise))[: y.shape[0]]
        y = jnp.where(push, y + self.radius * inside, y)
        g = jnp.where(push, f.gradient(y), g)
        shown = Escape(push, 1 + push.astype(int), jnp.asarray(jnp.nan, y.dtype))
        return Step(y - h * g, jnp.where(push, 1, carry + 1), shown)
