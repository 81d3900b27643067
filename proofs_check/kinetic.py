"""One step of a kinetic scheme on f = k x²/2, traced: its matrix, its moments."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from discretize import ABOBA, BAOAB, OABAO, OBABO, Splitting
from flows import Scheme
from flows.problems import quadratic
from flows.symbolic import equal_symbolically, exactly, symbol_vector, symbols_like
from sde import LangevinState, UnderdampedLangevin


class KineticStep(NamedTuple):
    """(x, v) -> next, linear in (x, v) and in independent standard normals.

    Attributes:
        stiffness: k, a positive symbol.
        friction: γ, a positive symbol.
        temperature: T, a positive symbol.
        mass: M, a positive symbol.
        h: the step, a positive symbol.
        state: symbols (x, v).
        normals: symbols of the draws.
        new: the next (x, v).
    """

    stiffness: Any
    friction: Any
    temperature: Any
    mass: Any
    h: Any
    state: tuple[Any, Any]
    normals: tuple[Any, ...]
    new: tuple[Any, Any]

    def moments(self, variances: tuple[Any, Any]) -> np.ndarray:
        """(E x², E xv, E v²) after a step from independent x, v of these variances."""
        table = dict(zip(self.state, variances, strict=True))
        table |= dict.fromkeys(self.normals, 1)
        x, v = self.new
        pairs = ((x, x), (x, v), (v, v))
        return np.array([second_moment(*p, table) for p in pairs], dtype=object)

    def matrix(self) -> Any:
        """The step's 2 x 2 matrix on (x, v), a sympy Matrix."""
        import sympy

        return sympy.Matrix(2, 2, lambda i, j: self.new[i].diff(self.state[j]))


def second_moment(a: Any, b: Any, variances: dict[Any, Any]) -> Any:
    """E[a b] for linear forms in independent centred variables of these variances."""
    return sum(a.diff(s) * b.diff(s) * v for s, v in variances.items())


def kinetic_step(scheme: Scheme) -> KineticStep:
    """A scheme's step on dx = v dt, M dv = -k x dt - γ M v dt + √(2γTM) dB, traced.

    Args:
        scheme: any scheme for underdamped Langevin dynamics with a symbolic face.

    Raises:
        NoSymbolicFace: a primitive of the step has no symbolic rule.
    """
    import sympy

    h = sympy.Symbol("h", positive=True)
    numeric = UnderdampedLangevin(quadratic([1.0]))
    model = symbols_like(numeric, matrix={"positive": True})
    zero = LangevinState(jnp.zeros(1), jnp.zeros(1))
    leaves, structure = jax.tree.flatten(scheme.noise_like(numeric, zero))
    count = [int(np.prod(draw.shape)) for draw in leaves]
    normals = symbol_vector("xi", sum(count))
    pieces = np.split(normals, np.cumsum(count)[:-1])
    draws = [p.reshape(d.shape) for p, d in zip(pieces, leaves, strict=True)]
    state = LangevinState(symbol_vector("x", 1), symbol_vector("v", 1))

    def step(model, y, h, noise):
        return scheme.step(model, 0.0, y, h, noise, None).y

    new = exactly(step, model, state, h, jax.tree.unflatten(structure, draws))
    return KineticStep(
        model.objective.matrix[0],
        model.friction,
        model.temperature,
        model.mass,
        h,
        (state.position[0], state.velocity[0]),
        tuple(normals),
        (new.position[0], new.velocity[0]),
    )


def variances_of(scheme: Splitting, step: KineticStep) -> tuple[Any, Any]:
    """The stationary variances of x and v that the four splittings are claimed to have.

    With s = 1 - h²k/(4M): BAOAB (T/k, sT/M), ABOBA (T/k, T/(sM)), OBABO (T/(sk), T/M),
    OABAO (sT/k, T/M).

    Args:
        scheme: one of the four constants of `discretize`.
        step: its traced step, for the symbols.
    """
    s = 1 - step.h**2 * step.stiffness / (4 * step.mass)
    wide = step.temperature / step.stiffness
    fast = step.temperature / step.mass
    table = {
        BAOAB.word: (wide, s * fast),
        ABOBA.word: (wide, fast / s),
        OBABO.word: (wide / s, fast),
        OABAO.word: (s * wide, fast),
    }
    return table[scheme.word]


def invariance(
    scheme: Splitting, claimed: Splitting | None = None, factor: Any = 1
) -> Any:
    """Whether one step maps the claimed centred Gaussian to itself.

    Args:
        scheme: the scheme that steps.
        claimed: the scheme whose claimed variances are tried (default: the same).
        factor: the variances after the step are compared with `factor` times those
            before it; 1 but in negative controls.

    Returns:
        The decision of E x² = Var x, E xv = 0, E v² = Var v.
    """
    step = kinetic_step(scheme)
    x, v = variances_of(claimed or scheme, step)
    expected = np.array([factor * x, 0 * x, factor * v], dtype=object)
    return equal_symbolically(step.moments((x, v)), expected)
