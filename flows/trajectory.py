"""Trajectories: times, states, and the curves that people ask of them."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flows.dynamics import Dynamics
from flows.errors import BadInput
from flows.types import Scalar, is_traced


@eqx.filter_jit
def _losses(dynamics, positions):
    return jax.lax.map(dynamics.objective.value, positions)


@eqx.filter_jit
def _gradient_norms(dynamics, positions):
    def norm(x):
        return jnp.linalg.norm(dynamics.objective.gradient(x))

    return jax.lax.map(norm, positions)


class Trajectory(eqx.Module):
    """A solved or iterated path. A pytree, so it passes through jit, vmap and grad.

    Attributes:
        times: shape [times], in the dynamics' unit of time.
        states: the state pytree with a leading axis of length [times].
        dynamics: the model that moved.
        aux: what each step had to show (fixed-step runs), or None.
        end: why the run ended, in words.
        stats: counts of the solver (steps, rejected steps, ...).
        solution: diffrax's own `Solution`, for its dense output and statistics.
    """

    times: Float[Array, " times"]
    states: Any
    dynamics: Dynamics
    aux: Any = None
    end: str = eqx.field(static=True, default="")
    stats: dict[str, Any] = eqx.field(default_factory=dict)
    solution: Any = None

    @property
    def positions(self) -> Float[Array, "*batch times n"]:
        """The parameters x along the path (with a leading axis for a batch of runs)."""
        if jnp.ndim(self.times) > 1:
            return eqx.filter_vmap(lambda run: run.positions)(self)
        return jax.vmap(self.dynamics.position)(self.states)

    @property
    def loss(self) -> Float[Array, "*batch times"]:
        """f(x(t)) at the saved times (with a leading axis for a batch of runs)."""
        _objective(self.dynamics)
        if jnp.ndim(self.times) > 1:  # each run has its own model
            return eqx.filter_vmap(lambda run: run.loss)(self)
        return _losses(self.dynamics, self.positions)

    @property
    def gradient_norm(self) -> Float[Array, "*batch times"]:
        """|∇f(x(t))| at the saved times (Euclidean), likewise."""
        _objective(self.dynamics)
        if jnp.ndim(self.times) > 1:
            return eqx.filter_vmap(lambda run: run.gradient_norm)(self)
        return _gradient_norms(self.dynamics, self.positions)

    def state_at(self, t: Scalar) -> Any:
        """The state at time t: a saved one, or by dense output where it was kept.

        Raises:
            BadInput: t is no saved time and the run holds no dense output, or this is
                a batch of runs.
        """
        self._require_one("a state at one time")
        times = np.asarray(self.times)
        if times.size == 0:
            raise BadInput(f"the run holds no saved time; it {self.end}.")
        k = int(np.argmin(np.abs(times - t)))
        scale = max(1.0, float(np.max(np.abs(times))))
        if abs(times[k] - t) <= 1e-9 * scale:
            return jax.tree.map(lambda a: a[k], self.states)
        dense = getattr(self.solution, "interpolation", None)
        if dense is not None and times[0] <= t <= times[-1]:
            return self.solution.evaluate(t)
        raise BadInput(
            f"t = {t} was not saved: ask for saveat=diffrax.SaveAt(ts=...) or "
            f"SaveAt(dense=True); the nearest saved time is {times[k]:.6g} of "
            f"[{times[0]:.6g}, {times[-1]:.6g}]."
        )

    def params_at(self, t: Scalar) -> Any:
        """The user's parameter pytree at time t (see `state_at`)."""
        x = self.dynamics.position(self.state_at(t))
        return _objective(self.dynamics).params(x)

    def plot(self, ax: Any = None, *, curve: str = "loss", **style: Any) -> Any:
        """Draw a curve against time into `ax` (a new figure's where None).

        Args:
            ax: matplotlib axes; no global style is touched.
            curve: "loss" or "gradient_norm".
            style: passed to `ax.plot`.

        Returns:
            The axes.

        Raises:
            BadInput: another curve, or a model without an objective.
        """
        from flows.drawing import axes

        self._require_one("a curve")
        labels = {"loss": r"loss $f$", "gradient_norm": r"$|\nabla f|$"}
        if curve not in labels:
            raise BadInput(f"curve is one of {', '.join(labels)}; got {curve!r}.")
        values = np.asarray(getattr(self, curve))
        ax = axes(ax)
        style.setdefault("label", type(self.dynamics).__name__)
        ax.plot(np.asarray(self.times), values, **style)
        ax.set(xlabel="time $t$", ylabel=labels[curve])
        return ax

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` with the state's parts over (time, component)."""
        from flows.export import dataset

        self._require_one("a dataset")
        return dataset(self.times, self.states)

    def _require_one(self, what: str) -> None:
        if jnp.ndim(self.times) > 1:
            raise BadInput(
                f"{what} is one run's, and this is a batch of {self.times.shape[:-1]}: "
                "take one by jax.tree.map(lambda a: a[0], runs)."
            )

    def __repr__(self) -> str:
        name = type(self.dynamics).__name__
        if is_traced(self.times):
            return f"Trajectory({name}, traced)"
        t = np.asarray(self.times)
        if t.ndim > 1:
            return f"Trajectory({name}: batch {t.shape[:-1]}, {t.shape[-1]} times each)"
        if t.size == 0:
            return f"Trajectory({name}: no saved time; {self.end})"
        return (
            f"Trajectory({name}: {t.size} times in [{t[0]:.6g}, {t[-1]:.6g}], "
            f"{self.positions.shape[-1]} parameters; {self.end})"
        )

    def _repr_html_(self) -> str:
        import html

        return f"<code>{html.escape(repr(self))}</code>"


def _objective(dynamics: Any) -> Any:
    objective = getattr(dynamics, "objective", None)
    if objective is None:
        raise BadInput(f"{type(dynamics).__name__} has no objective, hence no loss.")
    return objective
