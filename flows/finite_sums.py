"""Finite sums f = (1/N) Σ_i f_i: losses side by side, and quadratics solved exactly."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.door import as_floats, require_instance
from flows.dynamics import parameter
from flows.errors import BadInput
from flows.objective import Facts, Objective
from flows.oscillator import damped_oscillator
from flows.phi_functions import expm1_over, phi_2
from flows.types import is_traced


def rows_of(objective: Any) -> int:
    """The number N of summands of a finite sum f = (1/N) Σ_i f_i.

    Raises:
        BadInput: an objective without data rows.
    """
    rows = objective.rows if isinstance(objective, Objective) else None
    if rows is None:
        raise BadInput(
            "a finite sum is asked for, as flows.from_loss(loss, params, data) or "
            "flows.finite_sum([f_1, f_2]); "
            f"{type(objective).__name__} has no rows to draw."
        )
    return rows


def row_batches(value: Any) -> Any:
    """Batches of rows, integers of shape [m, b]: of numpy, or of jax where traced.

    Raises:
        BadInput: no array of row indices: ragged or empty batches, other numbers.
    """
    try:
        array = jnp.asarray(value) if is_traced(value) else np.asarray(value)
    except (TypeError, ValueError) as error:
        raise BadInput(
            "batches hold row indices, shape [m, b], all of one size: leave a rest out "
            f"or fill it up; {error}"
        ) from None
    whole = jnp.issubdtype(array.dtype, jnp.integer)
    if array.ndim != 2 or not array.size or not whole:
        raise BadInput(
            "batches hold row indices, shape [m, b], one batch a row; got "
            f"{array.dtype} of shape {array.shape}."
        )
    return array


class FiniteSum(Objective):
    """The mean f = (1/N) Σ_i f_i of given losses (see `finite_sum`).

    Attributes:
        losses: f_1, ..., f_N, objectives of one size.
    """

    facts: Facts
    losses: tuple[Objective, ...]

    @property
    def size(self) -> int:
        """Number n of parameters."""
        return self.losses[0].size

    @property
    def rows(self) -> int:
        """Number N of losses."""
        return len(self.losses)

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """The mean of f_i(x) over the indices in `batch` (default: all)."""
        return self._mean(batch, lambda f: f.value(x))

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """The mean of ∇f_i(x) over the indices in `batch` (default: all)."""
        return self._mean(batch, lambda f: f.gradient(x))

    def _mean(self, batch: Any, of: Any) -> Any:
        if batch is not None and math.prod(np.shape(batch)) == 1:
            return self._one(batch, of)
        every = jnp.stack([of(f) for f in self.losses])
        return jnp.mean(every if batch is None else every[batch], axis=0)

    def _one(self, batch: Any, of: Any) -> Any:
        """Of one loss: the others are not evaluated, but where labels are mapped."""
        if is_traced(batch):
            branches = [functools.partial(of, f) for f in self.losses]
            return jax.lax.switch(jnp.reshape(batch, ()), branches)
        i = int(np.reshape(np.asarray(batch), ()))
        if not 0 <= i < self.rows:
            raise BadInput(f"batch holds indices 0, ..., {self.rows - 1}; got {i}.")
        return of(self.losses[i])


def finite_sum(losses: Any) -> FiniteSum:
    """The mean f = (1/N) Σ_i f_i of losses; `batch` then holds their indices.

    Args:
        losses: f_1, ..., f_N, a sequence of objectives of one size.

    Raises:
        BadInput: no losses, losses of different sizes, or what is no sequence of
            objectives.
    """
    if isinstance(losses, Objective):
        raise BadInput(
            f"finite_sum takes a sequence of losses; {type(losses).__name__} is one "
            "objective: one with data rows, or a quadratic_sum, is a finite sum as it "
            "stands."
        )
    losses = tuple(losses) if isinstance(losses, Iterable) else (losses,)
    for loss in losses:
        require_instance(
            loss,
            Objective,
            "the losses of a finite sum are objectives, as flows.from_loss(f, params)",
        )
    sizes = {f.size for f in losses}
    if len(sizes) != 1:
        raise BadInput(f"summands of one size, at least one; got sizes {sizes}.")
    return FiniteSum(Facts(), losses)


class QuadraticSum(Objective):
    r"""f = (1/N) Σ_i f_i, f_i(x) = ½ (x - a_i)ᵀ H_i (x - a_i) + c_iᵀ (x - a_i).

    H_i = U_i diag(κ_i) U_iᵀ may be singular or indefinite; the tilt c_i serves a slope
    along flat directions, where no centre is. Each summand's own gradient flow and its
    damped flow are known exactly.

    Attributes:
        centres: a_i, shape [N, n].
        curvatures: κ: one number for all, [N] (H_i = κ_i I) or [N, n].
        bases: U_i, orthogonal, shape [N, n, n]; None where the axes are eigenvectors.
        tilts: c_i, shape [N, n], or None for 0.
    """

    facts: Facts
    centres: Array = eqx.field(converter=parameter, metadata={"symbol": "a"})
    curvatures: Array = eqx.field(converter=parameter, metadata={"symbol": r"\kappa"})
    bases: Array | None = None
    tilts: Array | None = None

    @property
    def size(self) -> int:
        """Number n of coordinates."""
        return self.centres.shape[1]

    @property
    def rows(self) -> int:
        """Number N of summands."""
        return self.centres.shape[0]

    def curvature(self, i: Any) -> Any:
        """κ_i, a number or of shape [n]."""
        return self.curvatures if self.curvatures.ndim == 0 else self.curvatures[i]

    def value(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, ""]:
        """The mean of f_i(x) over the indices in `batch` (default: all)."""
        return self._mean(batch, lambda i: self._value(i, x))

    def gradient(self, x: Float[Array, " n"], batch: Any = None) -> Float[Array, " n"]:
        """The mean of H_i (x - a_i) + c_i over the indices in `batch`."""
        return self._mean(batch, lambda i: self._slope(i, x))

    def _mean(self, batch: Any, of: Any) -> Any:
        batch = jnp.arange(self.rows) if batch is None else batch
        if np.ndim(batch) == 0:
            return of(batch)
        if np.shape(batch)[0] == 1:
            return of(batch[0])
        return jnp.mean(jax.vmap(of)(batch), axis=0)

    def _value(self, i: Any, x: Any) -> Any:
        u = x - self.centres[i]
        z = self._into(i, u)
        bend = jnp.sum(self.curvature(i) * z * z) / 2
        return bend if self.tilts is None else bend + self.tilts[i] @ u

    def _slope(self, i: Any, x: Any) -> Any:
        pull = self.curvature(i) * self._into(i, x - self.centres[i])
        pull = self._out(i, pull)
        return pull if self.tilts is None else pull + self.tilts[i]

    def _into(self, i: Any, u: Any) -> Any:
        return u if self.bases is None else self.bases[i].T @ u

    def _out(self, i: Any, z: Any) -> Any:
        return z if self.bases is None else self.bases[i] @ z

    def _force(self, i: Any) -> Any:
        """-c_i among the eigenvectors, None where there is no tilt."""
        return None if self.tilts is None else self._into(i, -self.tilts[i])

    def summand_flow(self, i: Any, t: Any, x: Any, friction: Any = 1.0) -> Any:
        """The state after time t of α x' = -∇f_i(x) from x, exact.

        Args:
            i: the summand, an index in 0, ..., N - 1 that may be traced.
            t: duration, a number (time units).
            x: start, shape [n].
            friction: α, a number (time · curvature).

        Returns:
            x(t), shape [n].
        """
        a, z = self.centres[i], self._into(i, x - self.centres[i])
        rate = self.curvature(i) / friction
        z = jnp.exp(-rate * t) * z
        force = self._force(i)
        if force is not None:
            z = z + force / friction * expm1_over(-rate, t)
        return a + self._out(i, z)

    def summand_integral(self, i: Any, t: Any, x: Any, friction: Any = 1.0) -> Any:
        """∫₀ᵗ of the position along `summand_flow`, of the same arguments.

        Returns:
            ∫₀ᵗ x(s) ds, shape [n] (position · time).
        """
        a, z = self.centres[i], self._into(i, x - self.centres[i])
        rate = self.curvature(i) / friction
        total = expm1_over(-rate, t) * z
        force = self._force(i)
        if force is not None:
            total = total + force / friction * t * t * phi_2(-rate * t)
        return a * t + self._out(i, total)

    def summand_damped_flow(
        self, i: Any, t: Any, x: Any, v: Any, mass: Any, friction: Any
    ) -> tuple[Any, Any]:
        """The state after time t of m x'' + α x' = -∇f_i(x) from (x, v), exact.

        Args:
            i: the summand, an index in 0, ..., N - 1 that may be traced.
            t: duration, a number (time units).
            x: position at the start, shape [n].
            v: velocity at the start, shape [n].
            mass: m > 0, a number (time² · curvature).
            friction: α, a number (time · curvature).

        Returns:
            (x(t), v(t)), each of shape [n].
        """
        move = self._oscillation(i, mass, friction, t)
        z, w = self._into(i, x - self.centres[i]), self._into(i, v)
        position, velocity = move.xx * z + move.xv * w, move.vx * z + move.vv * w
        force = self._force(i)
        if force is not None:
            position = position + move.xf * force
            velocity = velocity + move.vf * force
        return self.centres[i] + self._out(i, position), self._out(i, velocity)

    def _oscillation(self, i: Any, mass: Any, friction: Any, t: Any) -> Any:
        among = self.curvatures
        return damped_oscillator(self.curvature(i), mass, friction, t, among=among)

    def summand_damped_integral(
        self, i: Any, t: Any, x: Any, v: Any, mass: Any, friction: Any
    ) -> Any:
        """∫₀ᵗ of the position along `summand_damped_flow`, of the same arguments.

        Returns:
            ∫₀ᵗ x(s) ds, shape [n] (position · time); None for a sum with tilts.
        """
        if self.tilts is not None:
            return None
        move = self._oscillation(i, mass, friction, t)
        z, w = self._into(i, x - self.centres[i]), self._into(i, v)
        # xx = xv' + (α/m) xv and m xf' = xv, so the integrals are xv + α xf and m xf
        total = (move.xv + friction * move.xf) * z + mass * move.xf * w
        return self.centres[i] * t + self._out(i, total)


def quadratic_sum(
    centres: Any, curvatures: Any = 1.0, *, tilts: Any = None
) -> QuadraticSum:
    """f_i(x) = ½ (x - a_i)ᵀ H_i (x - a_i) + c_iᵀ (x - a_i), i = 1, ..., N.

    Args:
        centres: a_i, shape [N, n].
        curvatures: one number κ (H_i = κ I), shape [N] (H_i = κ_i I), shape [N, n] (the
            diagonals) or [N, n, n] (symmetric matrices). Of either sign.
        tilts: c_i, shape [N, n]; None for 0.

    Numbers may be traced (under `jax.jit` or `jax.grad`), matrices may not: their
    eigenvectors are found beforehand.

    Raises:
        BadInput: shapes that do not fit, values that are not finite, matrices that are
            not symmetric.
    """
    a = _numbers("centres", centres)
    if a.ndim != 2 or not a.size or not _finite(a):
        raise BadInput(
            f"centres have shape [N, n], one finite row a summand; got shape {a.shape}."
        )
    n, d = a.shape
    h = _numbers("curvatures", curvatures)
    if h.shape not in ((), (n,), (n, d), (n, d, d)) or not _finite(h):
        raise BadInput(
            f"curvatures are finite, of shape [], [{n}], [{n}, {d}] or "
            f"[{n}, {d}, {d}]; got shape {h.shape}."
        )
    bases = None
    if h.ndim == 3:
        if is_traced(h):
            raise BadInput(
                "matrices of curvatures are not traced: build the sum outside of the "
                "transformation, or give their diagonals, shape [N, n]."
            )
        if not np.allclose(h, np.swapaxes(h, 1, 2), rtol=1e-12, atol=0):
            raise BadInput("the matrices of curvatures are symmetric.")
        h, bases = np.linalg.eigh((h + np.swapaxes(h, 1, 2)) / 2)
        bases = jnp.asarray(bases)
    if tilts is not None:
        tilts = _numbers("tilts", tilts)
        if tilts.shape != a.shape or not _finite(tilts):
            raise BadInput(f"tilts are finite, of the centres' shape {a.shape}.")
        tilts = jnp.asarray(tilts)
    return QuadraticSum(Facts(), jnp.asarray(a), jnp.asarray(h), bases, tilts)


def _numbers(name: str, value: Any) -> Any:
    """Floats of numpy, or of jax where they are traced."""
    return jnp.asarray(value, float) if is_traced(value) else as_floats(name, value)


def _finite(a: Any) -> bool:
    return is_traced(a) or bool(np.all(np.isfinite(a)))
