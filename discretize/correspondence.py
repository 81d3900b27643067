"""What ties a discrete optimiser to a dynamics: clock, start, relation, conventions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from flows import BadInput, Dynamics, Objective, Scheme
from flows.central import Rule
from flows.types import is_traced

Hyper = Mapping[str, Any]

RETENTION = ("momentum", "b1", "b2", "decay")
"""Hyperparameters that are factors by which a memory is retained."""

RANGES: dict[str, Callable[[float], bool]] = {
    "in [0, 1)": lambda value: 0 <= value < 1,
    "in (0, 1)": lambda value: 0 < value < 1,
    ">= 0": lambda value: 0 <= value < np.inf,
    "> 0": lambda value: 0 < value < np.inf,
    "> 0, or infinite for none": lambda value: value > 0,
    "finite": lambda value: bool(np.isfinite(value)),
}
"""Ranges of hyperparameters: in words, and whether a number is inside."""


@dataclass(frozen=True)
class Exact:
    """The optimiser *is* the scheme: equal in exact arithmetic, to rounding here.

    Attributes:
        ulps: units in the last place of max |x| that 100 steps may differ by.
    """

    ulps: int = 1000

    def __str__(self) -> str:
        return "exact"


@dataclass(frozen=True)
class Order:
    """The optimiser follows the flow to order p in the step size.

    Attributes:
        p: the order.
        norm: where the error is taken: "end" (at the last step of a fixed time), "sup"
            (over all steps), or "sup_after" (over the steps after a first layer in
            which a fast mode dies out).
        layer: fraction of the time that the layer takes.
    """

    p: float
    norm: Literal["end", "sup", "sup_after"] = "end"
    layer: float = 0.0

    def __str__(self) -> str:
        place = {
            "end": "at the end time",
            "sup": "sup",
            "sup_after": "sup after a layer",
        }
        return f"order {self.p:g} ({place[self.norm]})"


@dataclass(frozen=True, eq=False)
class Correspondence:
    """A row of the table: optimiser, dynamics, scheme, and how they are laid together.

    Rows are module constants. A row called with hyperparameters gives the pairing that
    `compare` takes: `SGD(learning_rate=0.1)`.

    Attributes:
        name: of the optimiser, as optax calls it.
        dynamics: (objective, hyper) -> the continuous model.
        optimizer: hyper -> optax's optimiser.
        scheme: the scheme that the optimiser is, or hyper -> that scheme where it has
            hyperparameters (None: compared with the flow alone).
        clock: hyper -> time of one step.
        start: (dynamics, hyper, x) -> (t, state): where the flow starts; t > 0 where
            the field is singular at 0.
        scheme_start: (dynamics, hyper, x) -> state of the scheme at time 0.
        relation: of the optimiser to the scheme (`Exact`) or to the flow (`Order`).
        flow_order: order of the optimiser against the flow, where the relation is
            exact.
        required: names of the hyperparameters without a default.
        defaults: the others.
        conventions: in words: eps, bias correction, first step, neighbour.
        limit: hyper -> largest stable (learning rate × curvature) on a quadratic, or
            None where it depends on the state.
        source: where the pairing is stated.
        rate_name: the hyperparameter that sets the size of a step, which may be an
            optax schedule; None where there is none.
        solved: (dynamics, hyper) -> the flow to integrate beside the optimiser, where
            the field of the dynamics jumps and only its smoothing can be integrated.
        ranges: hyperparameter -> its range, a key of `RANGES`, where the name does not
            tell it.
        domain: what the entries of a start must be, as assumptions on symbols
            (`positive`); for proofs.
        rule: hyper -> the optimiser as its central flow sees it, w ← w - P⁻¹g; None
            where no central flow is known. The learning rate may be a schedule.
    """

    name: str
    dynamics: Callable[[Objective, Hyper], Dynamics]
    optimizer: Callable[[Hyper], optax.GradientTransformation]
    scheme: Scheme | Callable[[Hyper], Scheme] | None
    clock: Callable[[Hyper], Any]
    start: Callable[[Any, Hyper, Any], tuple[Any, Any]]
    scheme_start: Callable[[Any, Hyper, Any], Any]
    relation: Exact | Order
    flow_order: Order
    required: tuple[str, ...]
    defaults: Mapping[str, float] = field(default_factory=dict)
    conventions: tuple[str, ...] = ()
    limit: Callable[[Hyper], Any] | None = None
    source: str = ""
    rate_name: str | None = "learning_rate"
    solved: Callable[[Any, Hyper], Dynamics] | None = None
    ranges: Mapping[str, str] = field(default_factory=dict)
    domain: Mapping[str, Any] = field(default_factory=dict)
    rule: Callable[[Hyper], Rule] | None = None

    def __call__(self, **hyper: Any) -> Pairing:
        """The row at given hyperparameters.

        Args:
            hyper: numbers; the learning rate may be an optax schedule (a function of
                the step index) where the dynamics does not depend on it.

        Raises:
            BadInput: an unknown or missing name, a value out of range, or values that
                the optimiser does not take together.
        """
        known = (*self.required, *self.defaults)
        unknown = sorted(set(hyper) - set(known))
        missing = sorted(set(self.required) - set(hyper))
        if unknown or missing:
            raise BadInput(
                f"{self.name} takes {', '.join(known)}; "
                + (f"unknown: {', '.join(unknown)}. " if unknown else "")
                + (f"missing: {', '.join(missing)}." if missing else "")
            )
        values = {**self.defaults, **hyper}
        for key, value in values.items():
            if not (callable(value) and key == self.rate_name):
                _check_range(self.name, key, value, self.range_of(key))
                values[key] = jnp.asarray(value, jnp.asarray(0.0).dtype)
        self.optimizer(values)  # what it refuses is told here, by its own doors
        return Pairing(self, values)

    def scheme_at(self, hyper: Hyper) -> Scheme | None:
        """The scheme at given hyperparameters."""
        if self.scheme is None or isinstance(self.scheme, Scheme):
            return self.scheme
        return self.scheme(hyper)

    def range_of(self, name: str) -> str:
        """The range of a hyperparameter, a key of `RANGES`."""
        by_name = "in [0, 1)" if name in RETENTION else ">= 0"
        return self.ranges.get(name, "> 0" if name == self.rate_name else by_name)

    def __repr__(self) -> str:
        return f"<{self.name}: {self.relation}>"


def _check_range(row: str, key: str, value: Any, want: str) -> None:
    if is_traced(value):
        return
    number = np.asarray(value, dtype=object)
    if number.shape != ():
        raise BadInput(f"{row}: {key} is one number; got shape {number.shape}.")
    try:
        value = np.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        raise BadInput(f"{row}: {key} is one number; got {value!r}.") from None
    if not RANGES[want](value):
        raise BadInput(f"{row}: {key} is a number {want}; got {value}.")


@dataclass(frozen=True, eq=False)
class Pairing:
    """A row of the table at given hyperparameters; what `compare` takes."""

    row: Correspondence
    hyper: dict[str, Any]

    @property
    def schedule(self) -> Callable[[Any], Any] | None:
        """The learning rate's schedule, or None where it is a number, or absent."""
        rate = self.hyper.get(str(self.row.rate_name))
        return rate if callable(rate) else None

    def in_precision(self, dtype: Any) -> Pairing:
        """The same pairing with its numbers in the parameters' own precision."""
        cast = {
            k: v if callable(v) else jnp.asarray(v, dtype)
            for k, v in self.hyper.items()
        }
        return Pairing(self.row, cast)

    def step_sizes(self, steps: int) -> Any:
        """Time of each step: a number, or shape [steps] under a schedule."""
        if self.schedule is None:
            return self.row.clock(self.hyper)
        # int32 like the count of optax, which decides the precision of its schedules.
        rates = jax.vmap(self.schedule)(jnp.arange(steps, dtype=jnp.int32))
        name = str(self.row.rate_name)
        return jax.vmap(lambda r: self.row.clock({**self.hyper, name: r}))(rates)

    def dynamics(self, objective: Objective) -> Dynamics:
        """The row's dynamics on an objective.

        Raises:
            BadInput: a schedule, where the dynamics depends on the learning rate.
        """
        try:
            return self.row.dynamics(objective, self.hyper)
        except (TypeError, BadInput):
            if self.schedule is None:
                raise
            raise BadInput(
                f"the flow of {self.row.name} depends on the learning rate, so a "
                "schedule gives no one flow; give a number."
            ) from None

    def own_scheme(self, model: Any, x: Any) -> OwnScheme:
        """The scheme that the optimiser is, with its start at the position x."""
        scheme = self.row.scheme_at(self.hyper)
        y0 = None if scheme is None else self.row.scheme_start(model, self.hyper, x)
        return OwnScheme(scheme, model, y0)

    def solved(self, model: Any) -> Any:
        """The flow to integrate: the row's dynamics, or its smoothing."""
        smooth = self.row.solved
        return model if smooth is None else smooth(model, self.hyper)

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{k}={'schedule' if callable(v) else f'{float(v):g}'}"
            for k, v in self.hyper.items()
        )
        return f"{self.row.name}({shown})"


@dataclass(frozen=True, eq=False)
class OwnScheme:
    """The scheme that an optimiser is, the dynamics that it steps, and its start."""

    scheme: Scheme | None
    dynamics: Dynamics
    start: Any

    @property
    def noisy(self) -> bool:
        """Whether its steps draw noise."""
        if self.scheme is None:
            return False
        return self.scheme.noise_like(self.dynamics, self.start) is not None
