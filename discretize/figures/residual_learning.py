"""Residual networks that learn what no flow in the plane can, given momentum."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from discretize.figures.registry import figure
from discretize.momentum_resnet import MomentumResNet
from discretize.reflection import learn_reflection
from flows.drawing import COLOURS, Numbers


@figure
def crossing_layers(
    *, depth: int = 10, steps: int = 800, points: int = 32, seed: int = 1
):
    """A residual network and one with momentum trained on x → -x, layer by layer."""
    import matplotlib.pyplot as plt

    fig, panels = plt.subplots(
        1, 2, figsize=(8.8, 3.9), sharey=True, layout="constrained"
    )
    losses, arrays = [], {}
    shown = slice(None, None, max(1, points // 16))
    cases = ((0.0, "residual network"), (0.9, r"with momentum, $\gamma = 0.9$"))
    for ax, (gamma, title) in zip(panels, cases, strict=True):
        found = learn_reflection(
            gamma,
            depth=depth,
            steps=steps,
            points=points,
            learning_rate=1e-2,
            seed=seed,
        )
        paths = np.asarray(found.net.states(found.points).position)
        for start, path in zip(paths[0][shown], paths.T[shown], strict=True):
            ink = COLOURS["blue" if start < 0 else "vermilion"]
            ax.plot(path, color=ink, lw=1.2, alpha=0.4 + 0.6 * abs(start))
        ax.plot(np.full(points, depth)[shown], -paths[0][shown], "k_", ms=11)
        losses.append(float(np.mean((paths[-1] + paths[0]) ** 2)))
        ax.set(title=f"{title}: error {losses[-1]:.2g}", xlabel="layer $n$")
        arrays[f"paths_{gamma:g}"] = paths
    panels[0].set_ylabel("$x_n$")
    panels[0].text(depth - 0.4, 0.61, "targets $-x_0$", ha="right", va="center")
    caption = (
        f"Trained on x → -x, {depth} layers of slope at most 0.9. Without momentum "
        "paths keep their order, so that the best there is sends every point to 0; "
        "with momentum they cross and reach their targets (black marks)."
    )
    return fig, Numbers(caption, losses=losses, **arrays)


def _capped(params: Any, x: Any) -> Any:
    """A tanh layer on the rows of x, shape [points, 2], of slope at most 0.9."""
    u, b, w = params
    f = jnp.tanh(x @ u + jnp.broadcast_to(b, (len(x), b.size))) @ w
    slope = jnp.sqrt(jnp.sum(u**2) * jnp.sum(w**2))
    return f / jnp.maximum(1.0, slope / 0.9)


@eqx.filter_jit
def _separate(net: MomentumResNet, head: Any, x: Any, labels: Any, steps: int) -> Any:
    """Layers and linear read-out, trained by Adam on the logistic loss."""
    optimizer = optax.adam(1e-2)

    def loss(weights):
        layers, (a, c) = weights
        made = eqx.tree_at(lambda n: n.layers, net, layers)
        return jnp.mean(jnp.logaddexp(0.0, -labels * (made(x).position @ a + c)))

    def step(carry, _):
        weights, state = carry
        slopes = jax.grad(loss)(weights)
        moves, state = optimizer.update(slopes, state, weights)
        return (optax.apply_updates(weights, moves), state), None

    start = net.layers, head
    return jax.lax.scan(step, (start, optimizer.init(start)), length=steps)[0][0]


@figure
def nested_rings(
    *, depth: int = 15, width: int = 16, steps: int = 800, points: int = 120
):
    """A disc inside a ring, to be separated by a line: with momentum, and without.

    The winding number of the ring about the disc's centre says whether it is enclosed:
    homeomorphisms of the plane keep it at one turn.
    """
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(0)
    radius = np.concatenate(
        [0.5 * np.sqrt(rng.uniform(size=points)), rng.uniform(0.9, 1.2, points)]
    )
    angle = rng.uniform(0, 2 * np.pi, 2 * points)
    x = jnp.asarray(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))
    labels = jnp.repeat(jnp.array([1.0, -1.0]), points)
    layers = tuple(
        jnp.asarray(scale * rng.standard_normal((depth, *shape)))
        for scale, shape in ((0.7, (2, width)), (0.5, (width,)), (0.1, (width, 2)))
    )
    fig, panels = plt.subplots(1, 3, figsize=(10.5, 3.7), layout="constrained")
    turn = np.linspace(0, 2 * np.pi, 4001)
    circle = 1.05 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    threads = jnp.asarray(np.concatenate([circle, np.zeros((1, 2))]))
    _rings(panels[0], np.asarray(x), np.asarray(threads), "the input")
    windings, accuracies, arrays = [], [], {"input": np.asarray(x)}
    for ax, gamma in zip(panels[1:], (0.0, 0.9), strict=True):
        net = MomentumResNet(_capped, layers, gamma)
        head = jnp.array([1.0, 0.0]), jnp.asarray(0.0)
        with jax.numpy_dtype_promotion("standard"):
            weights, (a, c) = _separate(net, head, x, labels, steps)
        net = eqx.tree_at(lambda n: n.layers, net, weights)
        out, thread = (np.asarray(net(z).position) for z in (x, threads))
        sides = np.sign(out @ np.asarray(a) + float(c))
        accuracies.append(float(np.mean(sides == np.asarray(labels))))
        windings.append(_winding(thread[:-1] - thread[-1]))
        name = "residual network" if gamma == 0 else rf"momentum, $\gamma = {gamma:g}$"
        verdict = "still enclosed" if windings[-1] else "out of the ring"
        _rings(ax, out, thread, f"{name}: {verdict}")
        _line(ax, np.asarray(a), float(c))
        arrays[f"output_{gamma:g}"] = out
    caption = (
        f"A disc inside a ring after {depth} trained layers of slope at most 0.9, and "
        "the line of the read-out; the blue thread is the image of the whole ring. "
        "Without momentum the plane is deformed, not torn: the thread still goes round "
        "the disc, so that the line cuts it, whatever the sample says. With momentum "
        "the disc leaves the ring."
    )
    return fig, Numbers(caption, accuracies=accuracies, windings=windings, **arrays)


def _winding(curve: np.ndarray) -> int:
    """How often a closed curve [points, 2], its first point last, goes round 0."""
    angles = np.unwrap(np.arctan2(curve[:, 1], curve[:, 0]))
    return round(float(angles[-1] - angles[0]) / (2 * np.pi))


def _rings(ax: Any, x: np.ndarray, thread: np.ndarray, title: str) -> None:
    half = len(x) // 2
    ax.plot(*thread[:-1].T, color=COLOURS["sky"], lw=1.2)
    for part, ink in ((x[:half], "vermilion"), (x[half:], "blue")):
        ax.plot(*part.T, "o", ms=3, color=COLOURS[ink], alpha=0.8)
    ax.set(title=title, xlabel="$x_1$", ylabel="$x_2$")


def _line(ax: Any, a: np.ndarray, c: float) -> None:
    """Where a·x + c = 0, within the panel."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    foot, along = -c * a / (a @ a), np.array([-a[1], a[0]]) / np.linalg.norm(a)
    reach = 2 * max(right - left, high - low, float(np.linalg.norm(foot)))
    ends = foot + np.outer([-reach, reach], along)
    ax.plot(*ends.T, color=COLOURS["black"], lw=1.2)
    ax.set(xlim=(left, right), ylim=(low, high))
