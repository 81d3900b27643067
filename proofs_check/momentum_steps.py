"""Steps of momentum schemes traced with symbols, and what they leave invariant."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import sympy

from discretize.linearise import Quadratic
from flows import DampedFlow, Facts, Objective, PhaseState, Scheme
from flows.symbolic import exactly


def positive(names: str) -> Any:
    """Positive symbols."""
    return sympy.symbols(names, positive=True)


class Slope(Objective):
    """A loss known by its gradient at one point and its Hessian: ∇f(x) = g + H (x - c).

    Attributes:
        slope: g, shape [n].
        bend: H, shape [n, n].
        centre: c, shape [n].
    """

    facts: Any
    slope: Any
    bend: Any
    centre: Any

    @property
    def size(self) -> int:
        """Number n of coordinates."""
        return self.slope.shape[0]

    def value(self, x: Any, batch: Any = None) -> Any:
        """The quadratic with this gradient."""
        del batch
        u = x - self.centre
        return self.slope @ u + u @ self.bend @ u / 2

    def gradient(self, x: Any, batch: Any = None) -> Any:
        """The gradient g + H (x - c)."""
        del batch
        return self.slope + self.bend @ (x - self.centre)


def momentum_step(
    scheme: Scheme, objective: Any, mass: Any, friction: Any, h: Any, z: Any
) -> Any:
    """A step on the damped flow from z = (x, v), shape [2n]; expressions throughout.

    Args:
        scheme: a deterministic scheme.
        objective: parameters -> objective, and the parameters: (build, *values).
        mass: m.
        friction: α.
        h: step size.
        z: position and velocity, an object array of expressions.
    """
    build, *values = objective

    def step(values, mass, friction, h, z):
        n = z.shape[0] // 2
        mass, friction, h = (jnp.asarray(a, z.dtype) for a in (mass, friction, h))
        flow = DampedFlow(build(*values), mass, friction)
        y = PhaseState(z[:n], z[n:])
        y = scheme.step(flow, jnp.zeros((), z.dtype), y, h, None, None).y
        return jnp.concatenate([y.position, y.velocity])

    return exactly(step, values, mass, friction, h, z)


def _parabola(curvature: Any) -> Quadratic:
    return Quadratic(Facts(), jnp.asarray(curvature, float))


def quadratic_step(
    scheme: Scheme, curvature: Any, mass: Any, friction: Any, h: Any
) -> Any:
    """The matrix of a step on κx²/2 in the coordinates (x, v)."""
    z = np.array(sympy.symbols("x v", real=True))
    new = momentum_step(scheme, (_parabola, curvature), mass, friction, h, z)
    return sympy.Matrix(list(new)).jacobian(list(z)).applyfunc(sympy.cancel)


class NoisyLaw(NamedTuple):
    """Second moments of a step with a centre that moves.

    Attributes:
        position: Var x.
        velocity: Var v.
    """

    position: Any
    velocity: Any


def noisy_law(matrix: Any, kept: Any, spread: Any = 1) -> NoisyLaw:
    """Stationary variances of z ← a_k e + A (z - a_k e), e the first unit vector.

    The centre a_k has the variance s² and Cov(a_k, a_{k+j}) = s² ρ^j. With
    b = (I - A)e the equations are D = ρ(A D + s² b) for D = E[z a], and
    S = A S Aᵀ + A D bᵀ + b Dᵀ Aᵀ + s² b bᵀ.

    Args:
        matrix: A, of a step with the centre at 0; 1×1 or 2×2.
        kept: ρ.
        spread: s².
    """
    n = matrix.shape[0]
    push = (sympy.eye(n) - matrix)[:, 0]
    with_centre = _solved(sympy.eye(n) - kept * matrix, kept * spread * push)
    cross = matrix * with_centre * push.T
    source = cross + cross.T + spread * push * push.T
    system = sympy.eye(n * n) - sympy.kronecker_product(matrix, matrix)
    found = _solved(system, source.reshape(n * n, 1))
    return NoisyLaw(found[0], found[n * n - 1] if n > 1 else sympy.Integer(0))


def _solved(system: Any, right: Any) -> Any:
    """A linear system of rational functions, in their own field."""
    from sympy.polys.matrices import DomainMatrix

    both = DomainMatrix.from_Matrix(system.row_join(right)).to_field()
    n = system.shape[0]
    return both[:, :n].lu_solve(both[:, n:]).to_Matrix()
