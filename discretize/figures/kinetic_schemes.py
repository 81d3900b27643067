"""What kinetic Langevin schemes do to the temperature of a harmonic well."""

from __future__ import annotations

from typing import Any

import numpy as np

from discretize.chain_laws import stationary_covariance
from discretize.figures.registry import figure
from discretize.schemes import BAOAB, KLMC, OBABO, UBU, Euler
from flows import BadInput
from flows.drawing import COLOURS, Numbers
from flows.problems import quadratic
from sde import UnderdampedLangevin

SCHEMES: dict[str, tuple[Any, str, str]] = {
    "euler": (Euler(), "Euler–Maruyama", "vermilion"),
    "klmc": (KLMC(), "KLMC (frozen gradient)", "orange"),
    "obabo": (OBABO, "OBABO", "green"),
    "ubu": (UBU, "UBU", "purple"),
    "baoab": (BAOAB, "BAOAB", "blue"),
}
"""Scheme, label and colour."""
_BOTTOM = 2e-5


def temperatures(scheme: Any, model: UnderdampedLangevin, h: float) -> np.ndarray:
    """(k E x²/T, M E v²/T) of a scheme's chain on k x²/2; NaN without a law."""
    try:
        law = stationary_covariance(scheme, model, h)
    except BadInput:  # unstable
        return np.full(2, np.nan)
    x, v = np.diag(law.covariance)
    objective: Any = model.objective
    k, t = float(objective.matrix[0]), float(model.temperature)
    return np.array([x * k, v * float(model.mass)]) / t


@figure
def kinetic_bias(*, friction: float = 1.0, points: int = 40) -> tuple[Any, Numbers]:
    """Errors of E x² and E v² of five kinetic schemes against the step, harmonic well.

    Args:
        friction: γ, in units of the well's frequency √(k/M).
        points: number of steps h on each curve.
    """
    import matplotlib.pyplot as plt

    model = UnderdampedLangevin(quadratic([1.0]), friction)
    h = np.geomspace(0.02, 1.96, points)
    fig, axes = plt.subplots(
        1, 2, figsize=(8.6, 4.0), layout="constrained", sharex=True, sharey=True
    )
    curves = {}
    for name, (scheme, label, colour) in SCHEMES.items():
        found = np.stack([temperatures(scheme, model, float(step)) for step in h])
        curves[f"{name}_position"], curves[f"{name}_velocity"] = found.T
        for ax, column in zip(axes, found.T, strict=True):
            error = np.abs(column - 1)
            if np.nanmax(error) < 1e-9:  # exact: nothing to draw on a log axis
                ax.plot(h, np.full_like(h, 1.5 * _BOTTOM), color=COLOURS[colour], lw=4)
                ax.text(0.4, 2.1 * _BOTTOM, f"{label}: exact", color=COLOURS[colour])
                ax.plot([], [], color=COLOURS[colour], lw=2, label=label)
                continue
            ax.loglog(h, error, color=COLOURS[colour], lw=2, label=label)
    for ax, title in zip(axes, ("position", "velocity"), strict=True):
        for power, at, stop in ((1, 0.2, 0.1), (2, 0.022, 0.4)):
            guide = np.array([stop / 4, stop])
            line = at * guide**power
            ax.plot(guide, line, ":", color="0.4", lw=1.2)
            ax.text(1.05 * stop, line[1], f"slope {power}", color="0.4", va="center")
        ax.axvline(2, color="0.7", lw=0.8, zorder=0)
        ax.set(
            title=f"temperature of the {title}",
            xlabel=r"step $h$ (units of $\sqrt{M/k}$)",
            ylim=(_BOTTOM, 3),
            xlim=(0.02, 2.1),
        )
        ticks = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
    axes[0].set_ylabel(r"$|T_{\mathrm{measured}}/T - 1|$")
    axes[0].legend(frameon=False, fontsize=9, loc="upper left")
    caption = (
        "Relative error of the temperature read off the positions (k E x²) and off the "
        f"velocities (M E v²) on a harmonic well, friction {friction:g} √(k/M). "
        "Splittings err by O(h²), Euler-Maruyama and the frozen gradient by O(h). "
        "BAOAB has no error in the positions at any step below 2 √(M/k), where it "
        "turns unstable; OBABO has none in the velocities."
    )
    return fig, Numbers(caption, h=h, **curves)
