"""Central flows beside optimisers that train a network on handwritten digits."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from discretize.central_run import compare_central
from discretize.figures.registry import figure
from discretize.rows import SCALAR_RMSPROP, SGD
from discretize.schemes import CentralEuler
from flows import CentralFlow, iterate
from flows.central import ScalarRMSProp
from flows.drawing import COLOURS, Numbers
from flows.problems import gelu_digits, small_digits, warm_start

SCHEME = CentralEuler(block=4, margin=0.05)
DECAY = 0.97


@figure
def edge_of_stability_on_digits(
    *, edge: float = 3.2, warm: float = 10.0, steps: int = 300
) -> tuple[Any, Numbers]:
    """Gradient descent, gradient flow and central flow on ten handwritten digits.

    Args:
        edge: the sharpness 2/η at which the step η of gradient descent is unstable.
        warm: gradient-flow time before the start.
        steps: of gradient descent.
    """
    objective, params = gelu_digits()
    params = warm_start(objective, params, warm)
    row = SGD(learning_rate=2 / edge)
    run = compare_central(objective, row, params, steps=steps, scheme=SCHEME)
    smooth: Any = run.stable
    at, measured = run.measured
    sharpness = [measured[:, 0], run.eigenvalues[:, 0], np.asarray(smooth.aux)]
    sharpness = [edge / 2 * np.asarray(s) for s in sharpness]
    stretch = smooth.stats["stretch"]
    ends = np.minimum(stretch * np.arange(len(sharpness[2])), steps)
    fig = _draw_edge(run, edge, at, ends, sharpness)
    caption = (
        "Gradient descent on handwritten digits (64-20-20-10, GELU) leaves gradient "
        "flow where the sharpness meets 2/η; the central flow, which averages over the "
        "oscillation, holds the sharpness there and stays near."
    )
    numbers = Numbers(
        caption,
        edge=edge,
        loss=run.loss,
        gradient_flow_loss=run.stable_loss,
        central_loss=run.flow_loss,
        steps=at,
        sharpness=sharpness[0],
        central_sharpness=sharpness[1],
        gradient_flow_sharpness=sharpness[2],
        central_distance=run.central_distance,
        gradient_flow_distance=run.stable_distance,
    )
    return fig, numbers


def _draw_edge(run: Any, edge: float, at: Any, ends: Any, sharpness: Any) -> Any:
    """Loss, sharpness and distance, of descent, gradient flow and central flow."""
    import matplotlib.pyplot as plt

    fig, (left, middle, right) = plt.subplots(
        1, 3, figsize=(12.4, 3.9), layout="constrained"
    )
    names = ("gradient descent", "gradient flow", "central flow")
    styles: list[dict[str, Any]] = [
        {"color": COLOURS["vermilion"], "lw": 1.0, "label": names[0]},
        {"color": COLOURS["blue"], "lw": 2.0, "ls": "--", "label": names[1]},
        {"color": COLOURS["black"], "lw": 2.0, "label": names[2]},
    ]
    left.semilogy(run.times, run.loss, **styles[0])
    left.semilogy(run.central.times, run.flow_loss, **styles[2])
    left.semilogy(run.stable.times, run.stable_loss, **styles[1])
    left.set(title="the loss falls, but not steadily", ylabel="loss")
    middle.plot(at, sharpness[0], **styles[0])
    middle.plot(ends, sharpness[2], **styles[1])
    middle.plot(np.arange(len(sharpness[1])), sharpness[1], **styles[2])
    middle.axhline(edge, color=COLOURS["green"], ls=":", lw=2.0)
    middle.text(
        0.97 * run.times[-1],
        edge * 0.985,
        "edge of stability, 2/η",
        ha="right",
        va="top",
        color=COLOURS["green"],
    )
    middle.set(title="the sharpness stops at 2/η", ylabel=r"$\lambda_{\max}(H)$")
    k = 1 + np.arange(len(run.central_distance))
    right.plot(k[: len(run.stable_distance)], run.stable_distance, **styles[1])
    right.plot(k, run.central_distance, **styles[2])
    right.set(
        title="only the central flow stays near",
        ylabel="distance to gradient descent",
        ylim=(0, None),
    )
    for ax in (left, middle, right):
        ax.set(xlabel="step", xlim=(0, run.times[-1]))
    left.legend(frameon=False)
    return fig


def _three_digits() -> tuple[Any, Any, Any]:
    """The loss, a start below the edge for η up to 0.06, and |g|² there."""
    objective, params = small_digits(gain=0.3)
    params = warm_start(objective, params, 2.0)
    gradient = objective.gradient(objective.ravel(params))
    return objective, params, float(gradient @ gradient)


@figure
def scalar_rmsprop_on_digits(
    *, learning_rate: float = 0.06, steps: int = 200
) -> tuple[Any, Numbers]:
    """Scalar RMSProp on three digits: loss, eigenvalues, distance, oscillation.

    Args:
        learning_rate: η.
        steps: of the optimiser.
    """
    objective, params, square = _three_digits()
    row = SCALAR_RMSPROP(
        learning_rate=learning_rate, decay=DECAY, eps=0.0, initial_scale=square
    )
    run = compare_central(objective, row, params, steps=steps, scheme=SCHEME, every=2)
    fig, numbers = run.figure()
    titles = (
        "mean loss: predicted with the oscillation's share",
        "the effective sharpness hovers at 2",
        "the central flow stays near, the stable flow does not",
        "size of the oscillation: predicted and measured",
    )
    for ax, title in zip(fig.axes, titles, strict=True):
        ax.set_title(title)
    return fig, numbers


@figure
def acceleration_by_regularisation(
    *, learning_rates: tuple[float, float] = (0.03, 0.06), steps: int = 200
) -> tuple[Any, Numbers]:
    """What the oscillation's force on the weights does for Scalar RMSProp.

    Args:
        learning_rates: the smaller and the larger η.
        steps: of the flows.
    """
    import matplotlib.pyplot as plt

    objective, params, square = _three_digits()
    x = objective.ravel(params)
    fig, axes = plt.subplots(1, 3, figsize=(12.4, 3.9), layout="constrained")
    arrays: dict[str, np.ndarray] = {}
    for eta, ink in zip(learning_rates, ("orange", "blue"), strict=True):
        rule = ScalarRMSProp(eta, DECAY, initial=square)
        for ablated in (True, False):
            flow = CentralFlow(objective, rule, ablated=ablated)
            run = iterate(SCHEME, flow, flow.start(x), h=1.0, steps=steps)
            p = jnp.sqrt(run.states.memory) / eta
            p = (p[1:] + p[:-1]) / 2  # the eigenvalues belong to the steps' middles
            effective = np.asarray(run.aux.eigenvalues[:, 0])
            curves = {
                "loss": np.asarray(run.loss)[:-1],
                "sharpness": effective * np.asarray(p),
                "step": 1 / np.asarray(p),
            }
            name = f"η = {eta:g}" + (", without the force" if ablated else "")
            style = {"color": COLOURS[ink], "ls": "--" if ablated else "-", "lw": 1.8}
            for ax, (key, values) in zip(axes, curves.items(), strict=True):
                ax.plot(values, label=name, **style)
                arrays[f"{key}_{eta:g}{'_ablated' if ablated else ''}"] = values
    axes[0].set(yscale="log", ylabel="loss $L$", title="the loss falls faster, ...")
    axes[1].set(
        ylabel=r"sharpness $S = \lambda_{\max}(H)$",
        title="... since the sharpness is lower ...",
    )
    axes[2].set(
        ylabel=r"effective step $\eta/\sqrt{\nu}$ (at the edge $2/S$)",
        title="... and the steps are longer",
    )
    for ax in axes:
        ax.set(xlabel="step $k$", xlim=(0, steps))
    axes[0].legend(frameon=False)
    caption = (
        "Central flows of Scalar RMSProp on handwritten digits, whole (solid) and "
        "without the oscillation's force on the weights (dashed). At the edge the step "
        "is 2/S whatever η is: a larger η only presses harder against sharpness, and "
        "that is what makes training faster."
    )
    return fig, Numbers(caption, learning_rates=np.array(learning_rates), **arrays)
