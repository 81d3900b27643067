"""What momentum gives a residual network: paths that cross, layers that are undone."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from discretize.bit_store import stored_bits
from discretize.figures.registry import figure
from discretize.momentum_resnet import MomentumResNet
from discretize.reversible_resnet import ReversibleMomentumResNet
from flows import least_multiplier, linear_momentum_map
from flows.door import require_whole
from flows.drawing import COLOURS, Numbers


@figure
def least_multiplier_by_mass(*, points: int = 200):
    """Which multipliers x(1)/x(0) a constant rate reaches, over the mass."""
    import matplotlib.pyplot as plt

    masses = np.geomspace(0.03, 100.0, points)
    least = np.array([least_multiplier(float(m)) for m in masses])
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.9), layout="constrained")
    rates = np.linspace(-30.0, 3.0, 800)
    curves = {}
    for mass, ink in ((0.1, "green"), (1.0, "blue"), (10.0, "vermilion")):
        curve = np.asarray(jax.jit(linear_momentum_map)(rates, mass))
        left.plot(rates, curve, color=COLOURS[ink], label=rf"$\varepsilon = {mass:g}$")
        curves[f"map_{mass:g}"] = curve
    left.plot(rates, np.exp(rates), "--", color=COLOURS["black"], label="$e^{\\theta}$")
    left.axhline(0.0, color="0.7", lw=0.8)
    left.set(xlabel=r"rate $\theta$ (1/time)", ylabel="multiplier $x(1)/x(0)$")
    left.set(ylim=(-1.1, 2.0), title="momentum dips below 0, a neural ODE never")
    left.legend(frameon=False, loc="upper left")
    right.fill_between(masses, least, 1.0, color=COLOURS["sky"], alpha=0.35, lw=0)
    right.plot(masses, least, color=COLOURS["blue"])
    right.axhline(0.0, color=COLOURS["black"], ls="--", lw=1)
    right.axhline(-1.0, color="0.5", ls=":")
    right.text(0.035, 0.06, "neural ODE: above 0 only")
    right.text(0.6, 0.5, "reached by some $\\theta$")
    right.text(0.035, -0.85, "not reached", color="0.3")
    right.text(1.6, -0.62, r"$\lambda(\varepsilon)$", color=COLOURS["blue"])
    right.set(xscale="log", xlabel=r"mass $\varepsilon$ (time)", ylim=(-1.05, 1.0))
    right.set(
        ylabel="multiplier", title=r"the least multiplier, $\lambda(\varepsilon)$"
    )
    caption = (
        "Left: what εx'' + x' = θx from rest makes of x in time 1. It oscillates below "
        "0 for very negative θ, where a neural ODE only shrinks. Right: a constant θ "
        "reaches all multipliers from λ(ε) on, more of the negative ones the larger "
        "the mass, but never -1."
    )
    return fig, Numbers(caption, masses=masses, least=least, rates=rates, **curves)


def _tanh(params: Any, x: Any) -> Any:
    w, b = params
    return jnp.tanh(w @ x + b)


@eqx.filter_jit
def _lost(net: MomentumResNet, x: Any) -> Any:
    """Largest error of the input after all layers, there and back."""
    return jnp.max(jnp.abs(net.inverse(net(x)).position - x))


@eqx.filter_jit
def _lost_with_store(net: ReversibleMomentumResNet, x: Any) -> Any:
    return jnp.max(jnp.abs(net.state(net.inverse(net.forward(x))).position - x))


def _random_layers(depth: int, size: int) -> tuple[Any, Any]:
    """Layers of a random tanh network, and an input that fixed point holds exactly."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((depth, size, size)) / np.sqrt(size)
    layers = jnp.asarray(w), jnp.asarray(rng.standard_normal((depth, size)))
    return layers, jnp.asarray(rng.integers(-64, 64, size) / 64)


_INKS = ("vermilion", "blue", "green", "orange", "purple", "sky")


@figure
def inversion_error_by_depth(
    *,
    depths: tuple[int, ...] = (2, 5, 10, 20, 30, 45, 60, 80, 100, 125, 150),
    size: int = 16,
    momenta: tuple[float, ...] = (0.7, 0.9, 0.99),
):
    """Error of the input after N layers there and back, in floating point.

    Args:
        depths: the numbers N of layers.
        size: of x.
        momenta: γ of the networks in floats, up to six; that with the store has 0.9.
    """
    import matplotlib.pyplot as plt

    require_whole("the number of momenta", len(momenta), 1, len(_INKS))
    n, arrays = np.sort(depths), {}
    layers, x = _random_layers(int(n[-1]), size)
    first = [jax.tree.map(lambda a, d=d: a[:d], layers) for d in n]
    fig, ax = plt.subplots(figsize=(6.8, 4.3), layout="constrained")
    for gamma, ink in zip(momenta, _INKS[: len(momenta)], strict=True):
        nets = [MomentumResNet(_tanh, some, gamma) for some in first]
        errors = np.array([float(_lost(net, x)) for net in nets])
        ax.semilogy(n, errors, "o-", ms=4, color=COLOURS[ink], lw=1.6)
        ax.semilogy(n, 1e-16 * gamma ** -n.astype(float), "--", color=COLOURS[ink])
        end = int(np.argmax(errors > 1)) or len(n) - 1
        label = rf"$\gamma = {gamma:g}$"
        ax.text(
            n[end], 4 * min(errors[end], 10.0), label, color=COLOURS[ink], ha="right"
        )
        arrays[f"errors_{gamma:g}"] = errors
    stored = [ReversibleMomentumResNet(_tanh, some, 0.9) for some in first]
    exact = np.array([float(_lost_with_store(net, x)) for net in stored])
    ax.axhline(3e-18, color=COLOURS["black"], lw=2.5)
    note = rf"with the bit store, $\gamma = 0.9$: largest error {np.max(exact):g}"
    ax.text(n[-1], 5e-18, note, ha="right", va="bottom")
    ax.axhline(1.0, color="0.7", lw=0.8)
    ax.text(2, 1.6, "nothing left of the input", color="0.4")
    ax.set(xlim=(0, 1.03 * n[-1]), ylim=(1e-18, 1e3))
    ax.set(xlabel="layers $N$, there and back", ylabel="largest error of the input")
    ax.set_title(r"floats lose the input; dashed: $10^{-16}\,\gamma^{-N}$")
    caption = (
        f"A random tanh network of {size} units in float64. Undoing a layer divides "
        "the velocity's rounding error by γ, and the network stretches it too; with "
        "what γv loses kept in a bit store, here at γ = 0.9, every layer is undone: "
        f"the largest error over all depths is {np.max(exact):g}."
    )
    return fig, Numbers(caption, layers=n, momenta=momenta, exact=exact, **arrays)


def _temporary_bytes(net: Any, x: Any) -> int:
    """Working memory of the compiled gradient in the layers, in bytes."""

    def loss(layers, x):
        made = eqx.tree_at(lambda n: n.layers, net, layers)
        return jnp.sum(made(x).position ** 2)

    compiled = jax.jit(jax.grad(loss)).lower(net.layers, x).compile()
    analysis: Any = compiled.memory_analysis()
    return int(analysis.temp_size_in_bytes)


@figure
def bit_store_memory(
    *,
    momenta: tuple[float, ...] = (0.5, 0.8, 0.95, 0.99),
    depth: int = 400,
    depths: tuple[int, ...] = (50, 200, 800),
    batch: int = 512,
):
    """Bits stored a layer, over γ; and the memory of a gradient, over the depth."""
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.0), layout="constrained")
    layers, x = _random_layers(depth, 4)
    bits = [
        np.mean(
            stored_bits(ReversibleMomentumResNet(_tanh, layers, g).forward(x)[1][1])
        )
        / depth
        for g in momenta
    ]
    fine = np.geomspace(0.4 * (1 - max(momenta)), 0.6, 100)
    left.loglog(fine, -np.log2(1 - fine), color=COLOURS["blue"])
    left.loglog(1 - np.array(momenta), bits, "o", color=COLOURS["vermilion"])
    left.axhline(64, color=COLOURS["black"], ls="--")
    left.text(fine[0], 40, "activations kept: 64 bits", va="top")
    left.text(0.03, 0.15, r"$\log_2(1/\gamma)$", color=COLOURS["blue"])
    left.set(xlabel=r"$1 - \gamma$", ylabel="bits a layer and entry", ylim=(1e-3, 200))
    left.set_title("what exact inversion has to keep")
    kept: dict[str, list[int]] = {"plain": [], "reversible": []}
    for count in depths:
        layers, _ = _random_layers(count, 4)
        wide = jnp.ones((4, batch))
        shaped = layers[0], layers[1][:, :, None]
        nets = {
            "plain": MomentumResNet(_columns, shaped, 0.9),
            "reversible": ReversibleMomentumResNet(_columns, shaped, 0.9),
        }
        for name, net in nets.items():
            kept[name].append(_temporary_bytes(net, wide))
    for name, ink in (("plain", "black"), ("reversible", "blue")):
        sizes = np.array(kept[name]) / (4 * batch * 8)
        right.loglog(depths, sizes, "o-", color=COLOURS[ink])
        right.text(depths[-2], 1.5 * sizes[-2], name, color=COLOURS[ink], ha="right")
    right.set_xticks(depths, [str(count) for count in depths])
    right.set_xticks([], minor=True)
    right.set(xlabel="layers", ylabel="memory of a gradient (arrays of x's size)")
    right.set_title(r"reverse mode, $\gamma = 0.9$, float64")
    caption = (
        f"Left: bits in the store of a random network of {depth} layers (dots) and the "
        "law log₂(1/γ), about (1 - γ)/ln 2. Right: working memory of the compiled "
        "gradient; reverse mode keeps activations of all layers, the reversible one "
        "the store alone."
    )
    arrays = {f"memory_{name}": sizes for name, sizes in kept.items()}
    return fig, Numbers(caption, momenta=momenta, bits=bits, depths=depths, **arrays)


def _columns(params: Any, x: Any) -> Any:
    """A tanh layer on the columns of x, shape [size, batch]."""
    w, b = params
    return jnp.tanh(w @ x + jnp.broadcast_to(b, x.shape))
