"""A thirtieth-power well: where TheoPouLa gets to the minimum and Adam does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from discretize.figures.registry import figure
from discretize.optimizers import theopoula, tusla
from discretize.train import train
from flows.drawing import COLOURS, Numbers
from flows.objective import LossObjective
from flows.problems import steep_well

BETA = 1e10
"""1/temperature of TUSLA and TheoPouLa here."""


def _rmsprop(rate):
    return optax.rmsprop(rate, decay=0.99)


def _tusla(rate):
    return tusla(rate, BETA, 0.0, 14.0)


def _theopoula(rate):
    return theopoula(rate, 0.1, BETA)


OPTIMISERS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "SGD": (optax.sgd, "black"),
    "Adam": (optax.adam, "vermilion"),
    "AMSGrad": (optax.amsgrad, "orange"),
    "RMSProp": (_rmsprop, "purple"),
    "TUSLA": (_tusla, "sky"),
    "TheoPouLa": (_theopoula, "blue"),
}
"""Name -> (learning rate -> optimiser, colour)."""


def uniform_samples(steps: int, seed: int) -> np.ndarray:
    """One draw of Beta(2, 2) a step."""
    return np.random.default_rng(seed).beta(2.0, 2.0, steps)


def paths(
    make: Callable[[Any], Any], rates: Any, objective: LossObjective, start: float = 4.0
) -> np.ndarray:
    """θ along one step a data point, in order; shape [rates, steps + 1].

    Args:
        make: learning rate -> optax optimiser.
        rates: learning rates, run together.
        objective: `steep_well` of one sample a step.
        start: θ at the start.
    """
    data: Any = objective.data
    batches = jnp.arange(data.rows)[:, None]

    def one(rate) -> Any:
        run = train(objective, make(rate), jnp.full(1, start), batches, keep_path=True)
        path: Any = run.path
        return path[:, 0]

    with jax.numpy_dtype_promotion("standard"):
        return np.asarray(jax.jit(jax.vmap(one))(jnp.asarray(rates)))


@figure
def thirtieth_power_well(
    *,
    rates: tuple[float, ...] = (1e-3, 1e-2, 1e-1),
    steps: int = 1000,
    seed: int = 0,
) -> tuple[Any, Numbers]:
    """θ against the number of steps for six optimisers, a panel for a learning rate.

    Args:
        rates: learning rates, the same for all.
        steps: of each run.
        seed: of the data.
    """
    import matplotlib.pyplot as plt

    objective = steep_well(uniform_samples(steps, seed))
    found = {n: paths(make, rates, objective) for n, (make, _) in OPTIMISERS.items()}
    fig, axes = plt.subplots(
        1, len(rates), figsize=(10.2, 3.9), sharey=True, layout="constrained"
    )
    for k, (ax, rate) in enumerate(zip(axes, rates, strict=True)):
        out = []
        for name, (_, colour) in OPTIMISERS.items():
            left = _draw(ax, found[name][k], name, COLOURS[colour])
            out += [name] if left else []
        ax.axhline(0, color="0.6", lw=0.8, zorder=0)
        ax.text(0.04, 0.03, "explode: " + ", ".join(out), transform=ax.transAxes)
        ax.set(title=rf"learning rate $\lambda$ = {rate:g}", xlabel="step")
        ax.set(xscale="symlog", xlim=(0, steps), ylim=(-0.7, 4.4))
        ax.set_xticks([0, 1, 10, 100, 1000][: 1 + len(str(steps))])
        ax.minorticks_off()
    axes[0].set_ylabel(r"parameter $\theta$")
    axes[0].annotate("minimum", (1.2, -0.2), color="0.4")
    axes[-1].legend(
        frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5)
    )
    finals = {f"{n}_final": p[:, -1] for n, p in found.items()}
    hits = [_first(np.abs(row) < 0.1) for row in found["TheoPouLa"]]
    caption = (
        "θ on the well u(θ)(1 + 1{x ≤ θ}) + θ³⁰ from 4, one x of Beta(2, 2) a step. "
        "SGD leaves the numbers at once. Adam, AMSGrad and RMSProp remember "
        "the first gradient, near 10¹⁹, in their second moment, and stall at every "
        "learning rate; at 10⁻³ Adam could not have gone farther than 1 in 1000 steps "
        "anyway. TUSLA jumps into the well at 10⁻³ and explodes above 0.0044. "
        f"TheoPouLa moves by √λ a step; within 0.1 of the minimum after {hits} steps."
    )
    return fig, Numbers(caption, rates=np.array(rates), first_hits=hits, **finals)


def _first(mask: np.ndarray) -> int:
    """Index of the first True; -1 where there is none."""
    return int(np.argmax(mask)) if mask.any() else -1


def _draw(ax, path, name, colour) -> bool:
    """A path up to where it leaves the picture; whether it does."""
    seen = np.isfinite(path) & (np.abs(path) < 5)
    last = len(path) if seen.all() else int(np.argmin(seen))
    ax.plot(np.arange(last), path[:last], color=colour, lw=1.8, label=name)
    if last == len(path):
        return False
    ax.plot([last - 1, last], [path[last - 1], -20], ls=":", color=colour, lw=1.8)
    return True
