"""The result of `compare` with a central flow: four panels and their numbers."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from discretize.comparison import Comparison
from flows import BadInput, Trajectory
from flows.central import midpoints, smoothed
from flows.central.validity import Validity

_SHOWN = 3  # eigenvalues in a panel


@dataclass(frozen=True, eq=False, repr=False)
class CentralComparison(Comparison):
    """An optimiser at the edge of stability, its central flow and its stable flow.

    Not a pytree: it holds finished runs. The clock is the optimiser's step. Arrays have
    an entry for each step k = 0, 1, ... unless they say otherwise; those of an
    interrupted or stopped run are shorter.

    An optimiser that starts without oscillation passes the edge and oscillates only
    later: without momentum δ grows by the factor λ - 1 a step, from rounding if from
    nothing else. The central flow, held at the edge at once, is behind in those steps.

    Attributes:
        label, pairing, objective, discrete, outcome: as in `Comparison`;
            `discrete.aux` is a `WatchedAux`.
        flow: the central flow's run; its `aux` is a `CentralAux`. None where it was
            interrupted early.
        stable: the stable flow's run, `stable.end` says how far it was solvable; None
            where it was not asked for.
        validity: whether the central flow stayed a model of the optimiser.
        every: steps between measurements of the optimiser's eigenvalues.
        width: standard deviation of the Gaussian window of smoothed curves (steps).
    """

    stable: Trajectory | None = None
    validity: Validity | None = None
    every: int = 1
    width: ClassVar[float] = 10.0

    @property
    def central(self) -> Trajectory:
        """The central flow's run.

        Raises:
            BadInput: it was interrupted before there was anything to keep.
        """
        if self.flow is None:
            raise BadInput(f"no flow was solved beside this run ({self.outcome}).")
        return self.flow

    @property
    def edge(self) -> float:
        """The critical effective sharpness c: 2 without momentum."""
        return float(self.central.dynamics.rule.edge)  # pyright: ignore

    def _stable_run(self) -> Trajectory:
        if self.stable is None:
            raise BadInput("no stable flow was solved beside this run.")
        return self.stable

    @functools.cached_property
    def midpoints(self) -> np.ndarray:
        """(w_{k-1} + 2 w_k + w_{k+1})/4 at steps 1, ..., T-1, shape [T-1, n]."""
        return np.asarray(midpoints(self.positions))

    def _from_midpoints(self, run: Trajectory) -> np.ndarray:
        x = np.asarray(run.positions)[1:]
        n = min(len(x), len(self.midpoints))
        return np.linalg.norm(x[:n] - self.midpoints[:n], axis=1)

    @functools.cached_property
    def central_distance(self) -> np.ndarray:
        """|central flow - midpoint| (Euclidean) at steps 1, 2, ..., shape [T-1]."""
        return self._from_midpoints(self.central)

    @functools.cached_property
    def stable_distance(self) -> np.ndarray:
        """|stable flow - midpoint| at steps 1, 2, ..., as far as it was solved.

        Raises:
            BadInput: the stable flow was not solved.
        """
        return self._from_midpoints(self._stable_run())

    @functools.cached_property
    def smoothed_loss(self) -> np.ndarray:
        """L(w_k) of the optimiser, averaged over a Gaussian window."""
        return smoothed(self.loss, self.width)

    @functools.cached_property
    def corrected_loss(self) -> np.ndarray:
        """L(w(k)) + ½⟨H, Σ⟩: the mean loss predicted, Σ a mean over [k, k + 1]."""
        correction = np.asarray(self.central.aux.loss_correction)
        return self.flow_loss[: len(correction)] + correction

    @functools.cached_property
    def stable_loss(self) -> np.ndarray:
        """L of the stable flow, as far as it was solved."""
        return np.asarray(self._stable_run().loss)

    @functools.cached_property
    def squared_gradient(self) -> np.ndarray:
        """|g(w_k)|² of the optimiser, averaged over a Gaussian window."""
        return smoothed(np.asarray(self.discrete.aux.square), self.width)

    @functools.cached_property
    def predicted_squared_gradient(self) -> np.ndarray:
        """|g(w)|² + tr(HΣH) of the central flow."""
        correction = np.asarray(self.central.aux.gradient_correction)
        norms = np.asarray(self.central.gradient_norm)[: len(correction)]
        return norms**2 + correction

    @functools.cached_property
    def squared_oscillation(self) -> np.ndarray:
        """|w_k - midpoint|² at steps 1, ..., T-1, averaged over a Gaussian window."""
        gap = self.positions[1:-1] - self.midpoints
        return smoothed(np.sum(gap**2, axis=1), self.width)

    @property
    def predicted_squared_oscillation(self) -> np.ndarray:
        """Tr Σ of the central flow."""
        return np.asarray(self.central.aux.trace)

    @functools.cached_property
    def eigenvalues(self) -> np.ndarray:
        """Of P⁻¹H along the central flow, the largest first, shape [T, K]."""
        values = np.asarray(self.central.aux.eigenvalues)
        return np.where(values < -1e14, np.nan, values)  # a block wider than the space

    @functools.cached_property
    def measured(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps, and eigenvalues of P_k⁻¹H(w_k) of the optimiser there [_, 3]."""
        values = np.asarray(self.discrete.aux.eigenvalues)
        steps = np.arange(0, len(values), self.every)
        return steps, np.where(values[steps] < -1e14, np.nan, values[steps])[:, :_SHOWN]

    def plot_loss(self, ax: Any = None) -> Any:
        """Loss of the optimiser, of the central flow, and the mean that it predicts.

        Into `ax` (a new figure's where None), which is returned; likewise below.
        """
        from flows.drawing import COLOURS, axes

        ax = axes(ax)
        ax.plot(
            self.times,
            self.loss,
            color=COLOURS["sky"],
            lw=0.9,
            label=f"{_short(self.label)}, $L(w_k)$",
        )
        ax.plot(
            self.times,
            self.smoothed_loss,
            color=COLOURS["blue"],
            lw=1.2,
            label=f"its mean (Gaussian window, {self.width:g} steps)",
        )
        if self.stable is not None:
            ax.plot(
                np.asarray(self.stable.times),
                self.stable_loss,
                "--",
                lw=1.2,
                color=COLOURS["orange"],
                label="stable flow",
            )
        ax.plot(
            np.asarray(self.central.times),
            self.flow_loss,
            color=COLOURS["black"],
            lw=1.4,
            label="central flow, $L(w)$",
        )
        n = len(self.corrected_loss)
        ax.plot(
            self.times[:n],
            self.corrected_loss,
            "--",
            lw=1.4,
            color=COLOURS["vermilion"],
            label=r"mean that it predicts, $L + \frac{1}{2}\langle H, \Sigma\rangle$",
        )
        ax.set_yscale("log" if np.min(self.loss) > 0 else "linear")
        ax.set(xlabel="step $k$", ylabel="loss $L$")
        ax.legend(frameon=False, fontsize="small")
        return ax

    plot = plot_loss

    def plot_eigenvalues(self, ax: Any = None) -> Any:
        """Leading eigenvalues of P⁻¹H against the step, the edge as a line."""
        from flows.drawing import COLOURS, axes

        ax = axes(ax)
        steps, measured = self.measured
        labels = (f"{_short(self.label)}, measured", "central flow")
        shown = self.eigenvalues[:, :_SHOWN]
        for i in range(shown.shape[1]):
            first = i == 0
            if i < measured.shape[1]:
                ax.plot(
                    steps,
                    measured[:, i],
                    color=COLOURS["sky"],
                    lw=1.2 if first else 0.7,
                    label=labels[0] if first else None,
                )
            ax.plot(
                self.times[: len(shown)],
                shown[:, i],
                color=COLOURS["black"],
                lw=1.6 if first else 0.9,
                label=labels[1] if first else None,
            )
        ax.axhline(
            self.edge,
            color=COLOURS["vermilion"],
            ls=":",
            lw=1.2,
            label=f"edge of stability, {self.edge:.4g}",
        )
        top = np.nanquantile(measured, 0.98) if measured.size else 0.0
        low = min(0.0, float(np.nanmin(shown)))
        ax.set_ylim(low, 1.15 * max(self.edge, float(top)))
        ax.set(
            xlabel="step $k$",
            ylabel=rf"largest {shown.shape[1]} eigenvalues of $P^{{-1}}H$",
        )
        ax.legend(frameon=False, fontsize="small", loc="lower right")
        return ax

    def plot_distance(self, ax: Any = None) -> Any:
        """Distances of central and stable flow to the midpoints of the optimiser."""
        from flows.drawing import COLOURS, axes

        ax = axes(ax)
        gone = np.linalg.norm(self.midpoints - self.positions[:1], axis=1)
        curves = [(gone, "way gone from the start", "0.5", ":")]
        if self.stable is not None:
            curves.append(
                (self.stable_distance, "stable flow", COLOURS["orange"], "--")
            )
        curves.append((self.central_distance, "central flow", COLOURS["black"], "-"))
        for values, name, colour, style in curves:
            steps = 1 + np.arange(len(values))
            shown = np.maximum(values, 1e-300)
            ax.semilogy(steps, shown, style, color=colour, label=name)
        ax.set(
            xlabel="step $k$",
            ylabel=r"distance to $\frac{1}{4}(w_{k-1} + 2w_k + w_{k+1})$",
        )
        ax.legend(frameon=False, fontsize="small")
        return ax

    def plot_oscillation(self, ax: Any = None, *, what: str = "weights") -> Any:
        """The oscillation that the central flow predicts, beside the measured one.

        Args:
            ax: matplotlib axes (a new figure's where None).
            what: "weights", tr Σ beside |w_k - midpoint|²; or "gradient",
                |g|² + tr(HΣH) beside |g(w_k)|². Measured values are smoothed.

        Raises:
            BadInput: another `what`.
        """
        from flows.drawing import COLOURS, axes

        if what not in ("weights", "gradient"):
            raise BadInput(f'what is "weights" or "gradient"; got {what!r:.60}.')
        ax = axes(ax)
        name = _short(self.label)
        if what == "weights":
            predicted, measured = (
                self.predicted_squared_oscillation,
                self.squared_oscillation,
            )
            steps = 1 + np.arange(len(measured))
            said = r"central flow, $\mathrm{tr}\,\Sigma$"
            seen = rf"{name}, $|w_k - w^*_k|^2$ (mean)"
            ylabel = "squared oscillation of the weights"
        else:
            predicted, measured = self.predicted_squared_gradient, self.squared_gradient
            steps = np.arange(len(measured))
            said = r"central flow, $|g|^2 + \mathrm{tr}(H\Sigma H)$"
            seen = rf"{name}, $|g(w_k)|^2$ (mean)"
            ylabel = r"squared gradient"
        ax.plot(steps, measured, color=COLOURS["sky"], lw=2.2, label=seen)
        ax.plot(predicted, color=COLOURS["black"], lw=1.3, label=said)
        ax.set(xlabel="step $k$", ylabel=ylabel)
        ax.set_ylim(bottom=0.0)
        ax.legend(frameon=False, fontsize="small")
        return ax

    def figure(self) -> tuple[Any, Any]:
        """Losses, leading eigenvalues, distances to midpoints, and the oscillation.

        Returns:
            The matplotlib figure, and the numbers that it shows (`flows.drawing`'s
            `Numbers`, with a caption).
        """
        import matplotlib.pyplot as plt

        from flows.drawing import Numbers

        fig, panels = plt.subplots(2, 2, figsize=(10.4, 7.0), layout="constrained")
        self.plot_loss(panels[0, 0])
        self.plot_eigenvalues(panels[0, 1])
        self.plot_distance(panels[1, 0])
        self.plot_oscillation(panels[1, 1])
        steps, measured = self.measured
        shown = {
            "steps": self.times,
            "loss": self.loss,
            "smoothed_loss": self.smoothed_loss,
            "flow_loss": self.flow_loss,
            "corrected_loss": self.corrected_loss,
            "eigenvalues": self.eigenvalues,
            "measured_at": steps,
            "measured_eigenvalues": measured,
            "central_distance": self.central_distance,
            "predicted_squared_oscillation": self.predicted_squared_oscillation,
            "squared_oscillation": self.squared_oscillation,
        }
        if self.stable is not None:
            shown["stable_distance"] = self.stable_distance
            shown["stable_loss"] = self.stable_loss
        caption = (
            f"{self.label} beside its central flow. The optimiser oscillates about a "
            "path that the central flow follows and the stable flow leaves; its "
            f"leading eigenvalues of P⁻¹H hover at {self.edge:.4g}, where the central "
            "flow holds them."
        )
        return fig, Numbers(caption, **shown)

    def summary(self) -> Any:
        """A table: how closely each flow follows, in numbers."""
        from flows.display import Table

        rows = [
            ("steps", len(self.times) - 1),
            ("outcome", str(self.outcome)),
            ("loss, optimiser", _ends(self.loss)),
        ]
        if self.flow is not None:
            rows += self._flow_rows()
        if self.stable is not None:
            n = min(len(self.stable_distance), len(self.central_distance))
            ratio = self.central_distance[n - 1] / self.stable_distance[n - 1]
            rows += [
                ("loss, stable flow", _ends(self.stable_loss)),
                (f"stable flow to midpoint, step {n}", self.stable_distance[n - 1]),
                (f"ratio central/stable, step {n}", ratio),
                ("stable flow", self.stable.end),
            ]
        if self.validity is not None:
            rows += [
                ("validity", str(self.validity).splitlines()[0]),
                *((f.kind, f.message) for f in self.validity.findings),
            ]
        return Table(("quantity", "value"), rows, caption=self.label)

    def _flow_rows(self) -> list[tuple[str, Any]]:
        on = np.asarray(self.central.aux.critical) > 0
        n = len(self.corrected_loss)
        mean = self.smoothed_loss[:n]
        errors = [
            float(np.median(np.abs(values[:n] / mean - 1)))
            for values in (self.corrected_loss, self.flow_loss)
        ]
        return [
            ("loss, central flow", _ends(self.flow_loss)),
            ("edge, λ_max(P⁻¹H)", self.edge),
            ("reaches it at step", int(np.argmax(on)) if on.any() else "never"),
            ("critical directions, most", int(np.max(self.central.aux.critical))),
            ("mean loss, median relative error", errors[0]),
            ("the same without ½⟨H, Σ⟩", errors[1]),
            ("central flow to midpoint, last", self.central_distance[-1]),
            ("central flow to midpoint, largest", float(self.central_distance.max())),
        ]


def _short(label: str) -> str:
    return label.split("(")[0]


def _ends(values: np.ndarray) -> str:
    return f"{values[0]:.6g} → {values[-1]:.6g}"
