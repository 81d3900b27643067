"""Exact laws of chains: when Euler's method explodes, and how cold a chain gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize.chain_laws import TransitionKernel
from discretize.figures.registry import figure
from discretize.schemes import Euler, TamedEuler
from discretize.taming import NormTaming, Polygonal
from flows.drawing import COLOURS, Numbers
from flows.problems import double_well, tilted_double_well
from sde import GibbsLaw, OverdampedLangevin, simulate


def _exploding(temperature: float, steps: int, time: float) -> TransitionKernel:
    """Euler's kernel on a box from which nothing comes back."""
    h = time / steps
    half = math.sqrt(1 + 2 / h) + 8 * math.sqrt(2 * temperature * h)
    process = OverdampedLangevin(double_well(), temperature)
    return TransitionKernel(Euler(), process, h, box=(-half, half), resolution=4)


def _by_simulation(kernel: TransitionKernel, steps: int, paths: int) -> float:
    """The fraction of simulated paths that ended beyond the kernel's box."""
    h = kernel.step.h
    run = simulate(
        kernel.step.dynamics,
        jnp.zeros(1),
        t1=steps * h,
        scheme=Euler(),
        h=h,
        key=1,
        paths=paths,
    )
    final = np.asarray(run.final)[:, 0]
    return float(np.mean(~(np.abs(final) <= kernel.box[1])))


@figure
def explosion_by_step(
    *, time: float = 50.0, paths: int = 20_000, points: int = 16
) -> tuple[Any, Numbers]:
    """P(Euler's method explodes by a time) against the step size, log scale.

    Args:
        time: horizon.
        paths: of the simulations (dots).
        points: steps at which the exact probability is computed.
    """
    import matplotlib.pyplot as plt

    counts = [round(n) for n in np.linspace(130, 625, points)]
    fig, ax = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    arrays: dict[str, Any] = {"h": time / np.array(counts)}
    for temperature, colour in ((1.0, "blue"), (2.0, "vermilion")):
        kernels = [_exploding(temperature, n, time) for n in counts]
        pairs = zip(kernels, counts, strict=True)
        exact = np.array([k.explosion_probability(0.0, n) for k, n in pairs])
        shown = exact > 10 / paths
        tried = np.flatnonzero(shown)[:: max(1, int(shown.sum()) // 3)]
        seen = [_by_simulation(kernels[i], counts[i], paths) for i in tried]
        arrays[f"exact_{temperature:g}"] = exact
        arrays[f"tried_{temperature:g}"] = arrays["h"][tried]
        arrays[f"simulated_{temperature:g}"] = seen
        label = rf"exact, $\sigma = {math.sqrt(2 * temperature):.3g}$"
        ax.semilogy(arrays["h"], exact, color=COLOURS[colour], lw=2, label=label)
        ax.plot(arrays["h"][tried], seen, "o", ms=6, mfc="white", color=COLOURS[colour])
    ax.plot([], [], "o", mfc="white", color="0.3", label=f"{paths:,} simulated paths")
    floor, top = 1e-16, 2.0
    ax.axhspan(floor, 1 / paths, color="0.92", zorder=0)
    ax.annotate(
        f"less than one path in {paths:,}: simulation sees nothing",
        (0.98, 0.04),
        xycoords="axes fraction",
        ha="right",
        color="0.35",
    )
    ax.set(
        xlabel=r"step size $h$",
        ylabel=rf"$P(\mathrm{{explosion\ by\ time}}\ {time:g})$",
        ylim=(floor, top),
    )
    ax.legend(frameon=False, loc="center right")
    caption = (
        "Euler's method on dX = (X - X³) dt + σ dW from 0: the probability to explode "
        f"by time {time:g}. Lines by quadrature, circles by simulation. Halving the "
        "step takes it from common to unseen, never to zero: the moments are ruined "
        "by paths that no simulation meets."
    )
    return fig, Numbers(caption, paths=paths, **arrays)


CHAINS = (
    ("TULA", NormTaming(), "orange"),
    ("TheoPouLa", Polygonal(0.1), "blue"),
)
"""Name, taming (ε = 0.1) and colour of the chains."""


def _excess(objective: Any, taming: Any, beta: float, h: float, floor: float) -> float:
    process = OverdampedLangevin(objective, 1 / beta)
    half = 2.0 + 6 / math.sqrt(beta)
    scheme, box = TamedEuler(taming), (-half, half)
    kernel = TransitionKernel(scheme, process, h, box=box, resolution=3)

    def excess(x):
        return x**4 / 4 - x**2 / 2 + 0.1 * x - floor

    return kernel.stationary().expect(excess)


@figure
def excess_by_temperature(
    *, h: float = 0.05, betas: Sequence[float] = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
) -> tuple[Any, Numbers]:
    """Excess risk against inverse temperature, of the Gibbs law and of two chains.

    Args:
        h: step size of the chains.
        betas: inverse temperatures of the chains, increasing, at most 100.
    """
    import matplotlib.pyplot as plt

    well = tilted_double_well(0.1)
    grid = np.geomspace(1, 300, 40)
    laws = [GibbsLaw(well, 1 / b) for b in grid]
    gibbs = np.array([law.mean_excess() for law in laws])
    floor, at = laws[-1].minimum, np.asarray(betas, float)
    chains = {
        name: np.array([_excess(well, taming, b, h, floor) for b in at])
        for name, taming, _ in CHAINS
    }
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
    for ax, power in ((left, 0), (right, 1)):
        scale = grid**power
        ax.plot(grid, gibbs * scale, color=COLOURS["black"], lw=2, label="Gibbs law")
        ax.plot(grid, scale / (2 * grid), "--", color="0.5", label=r"$1/(2\beta)$")
        for name, _, colour in CHAINS:
            shown = chains[name] * at**power
            label = rf"{name}, $h = {h:g}$"
            ax.plot(at, shown, "o-", ms=5, lw=1, color=COLOURS[colour], label=label)
        ax.set(xscale="log", xlabel=r"inverse temperature $\beta$")
    left.set(yscale="log", ylabel=r"excess risk $E f - \min f$")
    right.set(ylabel=r"$\beta \times$ excess risk", ylim=(0, None))
    right.annotate("1/2", (1.0, 0.51), color="0.35")
    left.legend(frameon=False)
    peak = int(np.argmax(grid * gibbs))
    caption = (
        "A tilted double well at inverse temperature β: what a draw loses on average. "
        f"Until the second well empties (β ≈ {grid[peak]:.0f}) it loses more than the "
        f"1/(2β) of one well. At the step {h:g} TULA is hotter than the Gibbs law, "
        "TheoPouLa colder: boosting cools the floor of a well."
    )
    named = {name.lower(): values for name, values in chains.items()}
    arrays = {"beta": grid, "gibbs": gibbs, "chain_beta": at, **named}
    return fig, Numbers(caption, h=h, **arrays)
