"""Nesterov's methods and their flows: iterates, constants, phase plane, Bregman."""

from __future__ import annotations

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from discretize.figures.registry import figure
from discretize.optimiser import OptaxStep, Training
from discretize.optimizers.nesterov import nag_c, nag_sc, nag_sc_momentum
from flows import (
    AcceleratedFlow,
    BregmanFlow,
    HighResolutionAcceleratedFlow,
    HighResolutionHeavyBallFlow,
    HighResolutionNesterovFlow,
    PhaseState,
    accelerated_start,
    at_rest,
    bregman_start,
    high_resolution_start,
    iterate,
    problems,
    solve,
)
from flows.drawing import COLOURS, Numbers

TIGHT = diffrax.PIDController(rtol=1e-9, atol=1e-11)


def _path(flow: Any, y0: Any, t0: Any, times: Any) -> Any:
    """States of a flow at increasing times > t0."""
    ts = jnp.asarray(times)
    return solve(
        flow,
        y0,
        t0,
        ts[-1],
        saveat=diffrax.SaveAt(ts=ts),
        stepsize_controller=TIGHT,
    ).states


def _convex(hyper: Any) -> Any:
    return nag_c(hyper["rate"])


def _run(build: Any, hyper: dict[str, Any], objective: Any, x0: Any, steps: int) -> Any:
    """Look-aheads of an optimiser, shape [steps + 1, n]."""
    scheme = OptaxStep(build, {k: jnp.asarray(v) for k, v in hyper.items()})
    training = Training(objective)
    run = iterate(scheme, training, jnp.asarray(x0), h=1.0, steps=steps)
    return np.asarray(run.positions)


@figure
def nesterov_and_its_flow(
    *, roots: tuple[float, ...] = (0.8, 0.2), time: float = 12.0
) -> tuple[Any, Numbers]:
    """NAG-C in the plane beside its flow, for shrinking √s, and the distances.

    Args:
        roots: √s, of the runs in the left panel (1/√curvature).
        time: length of the runs.
    """
    import matplotlib.pyplot as plt

    objective, x0 = problems.quadratic([1.0, 0.12]), jnp.array([1.0, 1.0])
    fig, (plane, ax) = plt.subplots(1, 2, figsize=(9.6, 4.0), layout="constrained")
    flow = AcceleratedFlow(objective)
    at = 2.0  # of the right panel
    ts = np.sort(np.r_[np.linspace(0.02, time, 400), at])
    line = np.asarray(_path(flow, accelerated_start(flow, x0, 0.01), 0.01, ts).position)
    numbers: dict[str, Any] = {"flow": line}
    grid = np.meshgrid(np.linspace(-0.75, 1.1, 80), np.linspace(-0.75, 1.1, 80))
    levels = np.geomspace(0.003, 0.7, 8)
    plane.contour(
        *grid, grid[0] ** 2 / 2 + 0.06 * grid[1] ** 2, levels, colors="0.88", zorder=0
    )
    plane.plot(*line.T, color=COLOURS["black"], lw=1.6, label=r"flow, $r = 3$")
    styles = zip(roots, ("vermilion", "blue"), ("s", "o"), strict=True)
    for root, colour, marker in styles:
        path = _run(_convex, {"rate": root**2}, objective, x0, round(time / root))
        numbers[f"path_{root:g}"] = path
        size = 2.0 + 6 * root
        label = rf"NAG-C, $\sqrt{{s}} = {root:g}$"
        shown = {"marker": marker, "ms": size, "lw": 0.7, "label": label}
        plane.plot(*path.T, color=COLOURS[colour], **shown)
    plane.set(xlabel=r"$x_1$ (curvature 1)", ylabel=r"$x_2$ (curvature 0.12)")
    plane.set(title="Smaller steps, nearer to the flow")
    plane.set(xlim=(-0.35, 1.1), ylim=(-0.3, 1.1))
    plane.legend(frameon=False, loc="lower right")
    steps = 0.2 * 0.5 ** np.arange(5)
    first, second = _distances(objective, x0, steps, line[np.searchsorted(ts, at)], at)
    ax.loglog(steps, first, "o-", color=COLOURS["blue"], label="to the flow")
    ax.loglog(
        steps, second, "D-", color=COLOURS["green"], label="to the high-resolution flow"
    )
    for errors, power, text in ((first, 1, "slope 1"), (second, 2, "slope 2")):
        guide = 0.6 * errors[-1] * (steps / steps[-1]) ** power
        ax.loglog(steps, guide, color="0.6", lw=1, ls="--")
        ax.text(steps[1], 0.62 * guide[1], text, color="0.4", va="top")
    ax.set(
        xlabel=r"$\sqrt{s}$ (time of a step, $1/\sqrt{\mathrm{curvature}}$)",
        ylabel=rf"distance at $t = {at:g}$",
        title="One more term, one more order",
    )
    ax.set_xticks(steps, [f"{v:g}" for v in steps])
    ax.minorticks_off()
    ax.legend(frameon=False, loc="upper left")
    caption = (
        "Nesterov's convex method (look-ahead points) on a quadratic, beside the flow "
        "x'' + (3/t)x' + ∇f = 0. Its distance to the flow is of first order in √s, "
        "that to the high-resolution flow, which knows √s, of second."
    )
    return fig, Numbers(caption, roots=steps, first=first, second=second, **numbers)


def _distances(objective: Any, x0: Any, roots: Any, end: Any, time: float) -> Any:
    """NAG-C at k√s = time against the flow's end and the high-resolution flow's."""
    first, second = [], []
    for root in roots:
        scheme = OptaxStep(_convex, {"rate": jnp.asarray(root**2)})
        run = iterate(
            scheme,
            Training(objective),
            x0,
            h=1.0,
            steps=round(time / root),
            save="last",
        )
        y = np.asarray(run.positions[-1])
        fine = HighResolutionAcceleratedFlow(objective, root**2)
        t0, y0 = high_resolution_start(fine, x0)
        beside = np.asarray(_path(fine, y0, t0, [t0 + time]).position[-1])
        first.append(np.linalg.norm(y - end))
        second.append(np.linalg.norm(y - beside))
    return np.array(first), np.array(second)


FRICTIONS = {1: "vermilion", 2: "orange", 3: "black", 4: "blue", 5: "green"}


def bessel_gap(u: Any, friction: Any) -> np.ndarray:
    """t² f/x_0² along x'' + (r/t)x' + λx = 0 from rest, u = √λ t."""
    from scipy.special import gamma, jv

    nu = (friction - 1) / 2
    return gamma(nu + 1) ** 2 * (2 / u) ** (2 * nu) * jv(nu, u) ** 2 * u**2 / 2


@figure
def accelerated_constants(*, time: float = 14.0) -> tuple[Any, Numbers]:
    """t² (f - f*) of the accelerated flow for r = 1, ..., 5, and its largest values.

    Args:
        time: length of the runs (1/√λ).
    """
    import matplotlib.pyplot as plt

    fig, (ax, best) = plt.subplots(1, 2, figsize=(9.6, 4.0), layout="constrained")
    objective, x0 = problems.quadratic([1.0]), jnp.ones(1)
    ts = np.linspace(0.1, time, 48)
    fine = np.linspace(1e-3, time, 600)
    numbers: dict[str, Any] = {"times": ts}
    for r, colour in FRICTIONS.items():
        flow = AcceleratedFlow(objective, float(r))
        states = _path(flow, accelerated_start(flow, x0, 0.01), 0.01, ts)
        solved = ts**2 * np.asarray(states.position)[:, 0] ** 2 / 2
        numbers[f"r{r}"] = solved
        ax.plot(fine, bessel_gap(fine, r), color=COLOURS[colour], lw=1.5)
        ax.plot(ts, solved, "o", ms=2.6, color=COLOURS[colour], label=f"$r = {r}$")
    ax.set(
        xlabel=r"$\sqrt{\lambda}\,t$",
        ylabel=r"$t^2 (f - f_*)/|x_0 - x_*|^2$",
        title=r"On $\lambda x^2/2$: from $r = 2$ on it stays bounded",
        ylim=(0, 2.2),
    )
    ax.legend(frameon=False, loc="upper left", ncols=2)
    rs = np.linspace(2.0, 5.0, 31)
    quadratics = np.array([bessel_gap(fine, r).max() for r in rs])
    straight, bound = (rs + 1) / 2, (rs - 1) ** 2 / 2
    proved = rs >= 3
    best.plot(rs[proved], bound[proved], lw=2, color=COLOURS["black"])
    best.plot(rs[proved], straight[proved], color=COLOURS["vermilion"], lw=2)
    best.axvspan(2, 3, color="0.93")
    best.text(2.06, 1.5, "$r < 3$: on $|x|$\nit grows for ever", color="0.35")
    best.plot(rs, quadratics, color=COLOURS["blue"], lw=2)
    for x, y, text, colour in (
        (3.0, 4.4, "theorem: at most\n$(r-1)^2/2$", "black"),
        (4.0, 2.12, "on $|x|$: $(r+1)/2$", "vermilion"),
        (4.0, 0.52, "on quadratics", "blue"),
    ):
        best.text(x, y, text, color=COLOURS[colour], va="center")
    best.plot([3], [2], "o", ms=9, mfc="none", mew=1.6, color=COLOURS["vermilion"])
    arrow = {"arrowstyle": "->"}
    best.annotate("at $r = 3$ nothing is lost", (3, 2), (2.05, 3.2), arrowprops=arrow)
    best.set(
        xlabel="friction $r$",
        ylabel=r"largest $t^2 (f - f_*)/|x_0 - x_*|^2$",
        title="The constant 2 is the best",
        ylim=(0, 5),
    )
    caption = (
        "Left: t²(f - f*) along x'' + (r/t)x' + ∇f = 0 on a quadratic; dots solved, "
        "lines by Bessel functions. Right: its largest value over all times: on "
        "quadratics, on |x|, and the bound (r-1)²/2 of the theorem for r >= 3, which "
        "|x| reaches at r = 3."
    )
    return fig, Numbers(
        caption, frictions=rs, quadratics=quadratics, straight=straight, **numbers
    )


def _strong(hyper: Any) -> Any:
    return nag_sc(hyper["rate"], hyper["strong"])


def _heavy(hyper: Any) -> Any:
    import optax

    momentum = nag_sc_momentum(hyper["rate"], hyper["strong"])
    return optax.sgd(hyper["rate"], momentum=momentum)


@figure
def heavy_ball_and_nesterov(
    *, curvature: float = 1.0, strong: float = 0.01
) -> tuple[Any, Numbers]:
    """Heavy ball and NAG-SC in the phase plane of a stiff direction, and f - f*.

    Args:
        curvature: λ of the direction; the learning rate is 1/λ.
        strong: μ, which sets the friction 2√μ.
    """
    import matplotlib.pyplot as plt

    objective, x0 = problems.quadratic([curvature]), jnp.ones(1)
    rate, time = 1 / curvature, 30.0 / np.sqrt(curvature)
    fig, (plane, ax) = plt.subplots(1, 2, figsize=(9.6, 4.0), layout="constrained")
    ts = np.linspace(0.0, time, 1200)[1:]
    numbers: dict[str, Any] = {"times": ts}
    cases = (
        ("heavy", HighResolutionHeavyBallFlow, _heavy, "heavy ball", "vermilion"),
        ("nesterov", HighResolutionNesterovFlow, _strong, "NAG-SC", "blue"),
    )
    for name, kind, build, label, colour in cases:
        flow = kind(objective, strong, rate)
        t0, y0 = high_resolution_start(flow, x0)
        states = _path(flow, y0, t0, ts)
        x, v = (np.asarray(a)[:, 0] for a in states)
        numbers[name] = np.stack([x, v], axis=1)
        plane.plot(x, v, color=COLOURS[colour], lw=1.5, label=label)
        hyper = {"rate": 0.25 * rate, "strong": strong}
        steps = round(time * 2 * np.sqrt(curvature))
        path = _run(build, hyper, objective, x0, steps)
        gaps = curvature * path[:, 0] ** 2 / 2
        numbers[f"{name}_gaps"] = gaps
        ax.semilogy(gaps, color=COLOURS[colour], lw=1.6, label=label)
    plane.plot([0], [0], "+", color="0.3", ms=10)
    plane.set(
        xlabel="position $x$",
        ylabel="velocity $v$",
        title=r"The term $\sqrt{s}\,\nabla^2 f\,\dot x$ damps the ringing",
    )
    plane.legend(frameon=False, loc="upper right")
    ax.set(
        xlabel=r"step $k$ (learning rate $1/(4\lambda)$)",
        ylabel="$f - f_*$",
        title="The same in the optimisers themselves",
        ylim=(1e-12, 1),
    )
    ax.legend(frameon=False)
    late = [np.abs(numbers[name][600:, 0]).max() for name in ("heavy", "nesterov")]
    left = [numbers[f"{name}_gaps"][-1] for name in ("heavy", "nesterov")]
    caption = (
        f"A direction of curvature λ = {curvature / strong:.3g} μ. Left: the "
        "high-resolution flows of heavy ball and of NAG-SC, learning rate 1/λ; they "
        "differ by the gradient correction alone. In the second half of the time |x| "
        f"reaches {late[0]:.1g} with heavy ball, {late[1]:.1g} with NAG-SC. Right: "
        "f - f* along the two optimisers, momentum equal, learning rate 1/(4λ): at "
        f"last {left[0]:.1g} with heavy ball, {left[1]:.1g} with NAG-SC."
    )
    return fig, Numbers(caption, **numbers)


@eqx.filter_jit
def _leapfrog(flow: BregmanFlow, y0: PhaseState, t0: Any, h: Any, steps: int) -> Any:
    """Kick, then drift, with a fixed step: positions, shape [steps, n]."""

    def one(carry, _):
        t, y = carry
        v = y.velocity + h * flow.vector_field(t, y).velocity
        y = PhaseState(y.position + h * v, v)
        return (t + h, y), y.position

    return jax.lax.scan(one, (jnp.asarray(t0), y0), length=steps)[1]


def _followed(lost: list[int]) -> str:
    """What became of the dots, given the powers p for which they blew up."""
    kept = [p for p in POWERS if p not in lost]
    said = (("follows", kept), ("blows up", lost))
    parts = [f"{v} for p = {', '.join(map(str, ps))}" for v, ps in said if ps]
    return ", and ".join(parts)


POWERS = {2: ("black", "-"), 4: ("blue", "--"), 6: ("vermilion", ":")}


@figure
def bregman_speeds(*, step: float = 0.2) -> tuple[Any, Numbers]:
    """Bregman's flows for p = 2, 4, 6: one path at three speeds, and a fixed step.

    Args:
        step: of the explicit scheme in the right panel (unit of time).
    """
    import matplotlib.pyplot as plt

    objective, x0 = problems.quadratic([1.0, 0.12]), jnp.array([1.0, 1.0])
    fig, (plane, ax) = plt.subplots(1, 2, figsize=(9.6, 4.0), layout="constrained")
    numbers: dict[str, Any] = {}
    clock = np.geomspace(0.05, 60.0, 500)  # t^{p/2}
    widths = {2: 4.5, 4: 2.4, 6: 2.2}
    bound = float(x0 @ x0) / (2 * 0.25 * clock[-1] ** 2)  # |x0|²/(2C t^p) at the end
    lost = []
    for p, (colour, style) in POWERS.items():
        flow = BregmanFlow(objective, float(p), 0.25)
        ts = clock ** (2 / p)
        t0 = 0.02 ** (2 / p)
        path = np.asarray(_path(flow, bregman_start(flow, x0, t0), t0, ts).position)
        gaps = np.asarray(jax.vmap(objective.value)(jnp.asarray(path)))
        numbers |= {f"times_{p}": ts, f"path_{p}": path, f"gaps_{p}": gaps}
        shown = {"color": COLOURS[colour], "label": f"$p = {p}$"}
        plane.plot(*path[clock < 25].T, ls=style, lw=widths[p], **shown)
        ax.loglog(ts, gaps, ls="-", lw=1.6, **shown)
        steps = round(60.0 ** (2 / p) / step)
        walked = np.asarray(_leapfrog(flow, at_rest(x0), step, step, steps))
        energy = np.asarray(jax.vmap(objective.value)(jnp.asarray(walked)))
        numbers[f"walked_{p}"] = energy
        times = step * (1 + np.arange(1, steps + 1))
        if not energy[-max(1, steps // 10) :].max() < bound:  # nan counts as lost
            lost.append(p)
        kept = energy < 1e3
        ax.loglog(times[kept], energy[kept], "o:", ms=3, lw=1, color=COLOURS[colour])
    plane.set(xlabel=r"$x_1$", ylabel=r"$x_2$", title="One path ...")
    plane.legend(frameon=False, loc="lower right")
    ax.set(
        xlabel="time $t$",
        ylabel="$f - f_*$",
        title=r"... at speeds $t^{p/2}$"
        + (": a fixed step cannot follow" if lost else ""),
        ylim=(1e-7, 1e3),
        xlim=(0.25, 60),
    )
    ax.plot([], [], "o:", ms=3, lw=1, color="0.4", label=f"fixed step {step:g}")
    ax.legend(frameon=False, loc="lower left")
    caption = (
        "Flows x'' + ((p+1)/t)x' + Cp²t^(p-2)∇f = 0 for p = 2, 4, 6. Left: they run "
        "along one path. Right: f - f* falls like t^(-p) along the flows (lines); an "
        f"explicit scheme with the fixed step {step:g} (dots) {_followed(lost)}: the "
        "faster rate is a change of time."
    )
    return fig, Numbers(caption, **numbers)
