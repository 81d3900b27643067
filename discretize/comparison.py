"""The result of `compare`: two or three paths on one clock."""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows import BadInput, Objective, Trajectory
from flows.types import Scalar


class Outcome(enum.StrEnum):
    """How the optimiser's run ended."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"


def _norms(rows: np.ndarray) -> np.ndarray:
    """Euclidean norms of rows; the squares of a run that diverges would overflow."""
    scale = np.max(np.abs(rows), axis=1)
    safe = np.where(scale > 0, scale, 1.0)
    return safe * np.linalg.norm(rows / safe[:, None], axis=1)


@dataclass(frozen=True, eq=False)
class Comparison:
    """An optimiser's path with its flow's, and its scheme's where it has one.

    Not a pytree: it holds finished runs. Times are in the flow's unit.

    Attributes:
        label: what ran.
        pairing: the row with hyperparameters, or the bare optimiser.
        objective: f.
        discrete: the optimiser's run; its states are the user's pytrees.
        flow: the flow at the same times, or None where there was nothing to solve.
        scheme: the scheme's own run, where the row names one.
        outcome: finished, diverged or interrupted.
    """

    label: str
    pairing: Any
    objective: Objective
    discrete: Trajectory
    flow: Trajectory | None
    scheme: Trajectory | None
    outcome: Outcome

    @property
    def times(self) -> np.ndarray:
        """t_k, shape [steps + 1]."""
        return np.asarray(self.discrete.times)

    @functools.cached_property
    def positions(self) -> np.ndarray:
        """x_k of the optimiser as flat vectors, shape [steps + 1, n]."""
        return np.asarray(self.discrete.positions)

    @functools.cached_property
    def distance(self) -> np.ndarray:
        """|x_k - x(t_k)| (Euclidean, over all parameters), shape [steps + 1].

        The first entry is the distance of the two starts: the initial slip for heavy
        ball, 0 for gradient descent.
        """
        if self.flow is None:
            raise BadInput(f"no flow was solved beside this run ({self.outcome}).")
        shared = min(len(self.positions), self.flow.times.size)
        gap = self.positions[:shared] - np.asarray(self.flow.positions[:shared])
        return _norms(gap)

    @functools.cached_property
    def exact_gap(self) -> np.ndarray:
        """max_i |x_k - scheme's x_k|_i over max |x|, shape [steps + 1] (relative).

        Raises:
            BadInput: the row names no scheme.
        """
        if self.scheme is None:
            raise BadInput(f"{self.label} has no scheme; compare with the flow.")
        other = np.asarray(self.scheme.positions)[: len(self.positions)]
        gap = np.max(np.abs(self.positions[: len(other)] - other), axis=1)
        return gap / np.max(np.abs(self.positions))

    @functools.cached_property
    def loss(self) -> np.ndarray:
        """f(x_k) of the optimiser, shape [steps + 1]."""
        return np.asarray(self.discrete.loss)

    @functools.cached_property
    def flow_loss(self) -> np.ndarray:
        """f(x(t_k)) of the flow, shape [steps + 1]."""
        if self.flow is None:
            raise BadInput(f"no flow was solved beside this run ({self.outcome}).")
        return np.asarray(self.flow.loss)

    def params_at(self, t: Scalar) -> Any:
        """The optimiser's parameters at time t_k = t, in the user's own pytree."""
        state = self.discrete.state_at(t)
        return self.objective.params(self.discrete.dynamics.position(state))

    def plot(self, ax: Any = None) -> Any:
        """Loss of the optimiser (dots) and of the flow (line) against time.

        Args:
            ax: matplotlib axes (a new figure's where None); no global style is touched.

        Returns:
            The axes.
        """
        from flows.drawing import COLOURS, axes

        ax = axes(ax)
        every = max(1, len(self.times) // 60)
        if self.flow is not None:
            ax.plot(
                np.asarray(self.flow.times),
                self.flow_loss,
                color=COLOURS["blue"],
                label=f"{type(self.flow.dynamics).__name__}, $f(x(t))$",
            )
        ax.plot(
            self.times[::every],
            self.loss[::every],
            "o",
            ms=3.5,
            color=COLOURS["vermilion"],
            label=f"{self._short_label}, $f(x_k)$",
        )
        ax.set(xlabel=f"time $t$ {self._clock}".strip(), ylabel="loss $f$")
        ax.legend(frameon=False)
        return ax

    @property
    def _clock(self) -> str:
        """The time of a step in words, where it is one number."""
        if self.pairing.schedule is not None or len(self.times) < 2:
            return ""
        return f"(one step takes {float(self.times[1] - self.times[0]):.3g})"

    @property
    def _short_label(self) -> str:
        """The label, or the optimiser's name where that would not fit into axes."""
        return self.label if len(self.label) < 40 else self.pairing.row.name

    def plot_distance(self, ax: Any = None) -> Any:
        """|x_k - x(t_k)| against time, beside the way gone from the start.

        Args:
            ax: matplotlib axes (a new figure's where None).

        Returns:
            The axes.
        """
        from flows.drawing import COLOURS, axes

        ax = axes(ax)
        gone = _norms(self.positions - self.positions[:1])
        ax.semilogy(
            self.times[1:],
            gone[1:],
            color=COLOURS["black"],
            ls="--",
            label=r"way gone, $|x_k - x_0|$",
        )
        n = len(self.distance)
        ax.semilogy(
            self.times[1:n],
            np.maximum(self.distance[1:], 1e-300),
            color=COLOURS["vermilion"],
            label=r"distance, $|x_k - x(t_k)|$",
        )
        ax.set(xlabel="time $t$", ylabel="Euclidean distance")
        ax.legend(frameon=False)
        return ax

    def figure(self) -> tuple[Any, dict[str, np.ndarray]]:
        """Losses and distances side by side.

        Returns:
            The matplotlib figure, and the numbers that it shows.
        """
        import matplotlib.pyplot as plt

        fig, (left, right) = plt.subplots(
            1, 2, figsize=(9.6, 3.6), layout="constrained"
        )
        self.plot(left)
        self.plot_distance(right)
        data = {"times": self.times, "loss": self.loss}
        data |= {"flow_loss": self.flow_loss, "distance": self.distance}
        return fig, data

    def summary(self) -> Any:
        """A table: how far apart, and how far that is against the way gone."""
        from flows.display import Table

        rows = [
            ("steps", len(self.times) - 1),
            ("time reached", self.times[-1]),
            ("outcome", str(self.outcome)),
            ("loss, optimiser", f"{self.loss[0]:.6g} → {self.loss[-1]:.6g}"),
        ]
        if self.flow is not None:
            ends = f"{self.flow_loss[0]:.6g} → {self.flow_loss[-1]:.6g}"
            gone = _norms(self.positions[-1:] - self.positions[:1])[0]
            rows += [
                ("loss, flow", ends),
                ("distance at the end", self.distance[-1]),
                ("largest distance", float(np.max(self.distance))),
                ("way gone", gone),
            ]
        if self.scheme is not None:
            rows.append(("gap to its scheme (relative)", float(np.max(self.exact_gap))))
        return Table(("quantity", "value"), rows, caption=self.label)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()
