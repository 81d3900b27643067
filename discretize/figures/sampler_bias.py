"""What a step size does to a Langevin sampler's stationary law, and how it heals."""

from __future__ import annotations

from typing import Any

import numpy as np

from discretize.chain_laws import bias_constants, bias_ladder
from discretize.figures.registry import figure
from discretize.schemes import TamedEuler
from discretize.taming import NormTaming, Polygonal, StateRootTaming, StateTaming
from flows.drawing import COLOURS, Numbers
from flows.problems import double_well
from sde import OverdampedLangevin

SAMPLERS = {
    "theopoula": (
        lambda: Polygonal(0.1),
        "TheoPouLa, ε = 0.1",
        COLOURS["vermilion"],
        "o",
    ),
    "tusla": (lambda: StateTaming(1.0), "TUSLA, r = 1", COLOURS["orange"], "s"),
    "mtula": (lambda: StateRootTaming(2.0), "mTULA, r = 2", COLOURS["green"], "^"),
    "tula": (NormTaming, "TULA", COLOURS["blue"], "D"),
}
SHOWN = {"tula": "TULA: bias ∝ λ", "theopoula": "TheoPouLa: bias ∝ √λ"}


@figure
def stationary_bias(
    *,
    steps: Any = (0.2, 0.1, 0.05, 0.025, 0.0125, 0.00625),
    drawn: Any = (0.2, 0.05, 0.0125),
    temperature: float = 1.0,
):
    """Stationary densities of two samplers beside Gibbs's, and W₁ against the step.

    Args:
        steps: step sizes λ (time) of the right panel, decreasing.
        drawn: those of them whose densities are drawn, largest first.
        temperature: T = 1/β.

    Returns:
        Figure and numbers: `steps`, and for each sampler `w1_NAME`, its predicted
        `constant_NAME` and `power_NAME`; `x_NAME_j`, `density_NAME_j` of each law
        drawn.
    """
    import matplotlib.pyplot as plt

    dynamics = OverdampedLangevin(double_well(), temperature)
    steps = np.asarray(steps, float)
    fig, axes = plt.subplots(
        1, 3, figsize=(11, 3.6), layout="constrained", width_ratios=(1, 1, 1.25)
    )
    numbers: dict[str, Any] = {"steps": steps}
    laws = {}
    for name, (taming, label, colour, marker) in SAMPLERS.items():
        scheme = TamedEuler(taming())
        constants = bias_constants(scheme, dynamics)
        ladder = bias_ladder(scheme, dynamics, steps)
        w1, power = ladder.wasserstein(1)[0], float(constants.power)
        predicted = constants.w1.value * steps**power
        axes[2].loglog(steps, predicted, color=colour, linewidth=1.2)
        axes[2].loglog(steps, w1, marker, color=colour, label=label, markersize=5)
        numbers |= {f"w1_{name}": w1, f"power_{name}": power}
        numbers[f"constant_{name}"] = constants.w1.value
        laws[name] = ladder
    for ax, name in zip(axes, SHOWN, strict=False):
        numbers |= _densities(ax, name, laws[name], list(drawn))
    axes[0].set_ylabel("stationary density")
    axes[0].legend(frameon=False, fontsize="small", loc="upper left")
    axes[2].set(xlabel="step λ (time)", ylabel=r"$W_1$(chain, Gibbs)")
    axes[2].set_title("dots: chains, lines: predicted C λ, C √λ", fontsize="medium")
    axes[2].legend(frameon=False, fontsize="small", loc="lower right")
    caption = (
        f"The double well at temperature {temperature:g}. Left and middle: stationary "
        "laws of the chains (by quadrature, no sampling) against the Gibbs law, "
        "shaded. With a step four times smaller TULA's bias is four times smaller, "
        "TheoPouLa's only half. Right: the Wasserstein distance; the lines are not "
        "fitted, their powers and constants are read off one step's expansion."
    )
    return fig, Numbers(caption, **numbers)


def _densities(ax, name, ladder, drawn) -> dict[str, np.ndarray]:
    """Gibbs's density shaded, the chain's at some steps; the numbers drawn."""
    numbers = {}
    widest = int(np.argmax([law.nodes[-1] for law in ladder.laws]))
    x, gibbs = ladder.laws[widest].nodes, ladder.targets[widest]
    ax.fill_between(x, gibbs, color="0.85", label="Gibbs")
    for j, step in enumerate(drawn):
        law = ladder.laws[int(np.argmin(np.abs(ladder.h - step)))]
        fade = 1.0 - 0.45 * j / max(len(drawn) - 1, 1)
        ax.plot(
            law.nodes,
            law.density,
            color=SAMPLERS[name][2],
            alpha=fade,
            linestyle=("-", "--", ":")[j % 3],
            label=f"λ = {step:g}",
        )
        numbers[f"x_{name}_{j}"] = law.nodes
        numbers[f"density_{name}_{j}"] = law.density
    ax.set(xlabel="x", xlim=(-3.2, 3.2), ylim=(0, 0.52))
    ax.set_title(SHOWN[name], fontsize="medium")
    return numbers
