"""Central flow: what a substep costs in gradient evaluations, and at what accuracy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.protocol import Protocol, Row, compared, measure, ratio
from discretize import CentralEuler
from flows import CentralFlow, iterate
from flows.central import (
    Block,
    CentralState,
    GradientDescent,
    cold_block,
    hessian_at,
    refresh_block,
    response,
    solve_sdcp,
    svec,
    third_derivatives,
    velocity,
)
from flows.objective import LossObjective
from flows.problems.digits import digits_mlp, gelu_digits, small_digits, warm_start

COST = "central flow: one of four substeps a step, in gradient evaluations"
PHASES = "central flow: the same by phase"
GROWTH = "central flow: time of a substep per parameter"
ACCURACY = "central flow: distance to descent's midpoints over that of gradient flow"
TARGET = 12.0


class Edge(NamedTuple):
    """A network at the edge of stability.

    Attributes:
        name: for the page.
        flow: central flow of gradient descent.
        state: on it, after it has met the edge.
        block: the leading eigenvectors there.
        scheme: of four substeps.
        critical: number of directions that carry the oscillation.
    """

    name: str
    flow: CentralFlow
    state: CentralState
    block: Block
    scheme: CentralEuler
    critical: int


def at_the_edge(
    objective: LossObjective, start: Any, time: float, edge: float, steps: int
) -> Edge:
    """`steps` steps on from gradient flow over `time`, η = 2/edge (0: 2/λ_max)."""
    x = objective.ravel(warm_start(objective, start, time))
    scheme = CentralEuler()
    top = cold_block(objective, x, 1.0, scheme.block).values[0]
    flow = CentralFlow(objective, GradientDescent(2 / (edge or 1.0001 * top)))
    run = iterate(scheme, flow, flow.start(x), h=1.0, steps=steps)
    state = jax.tree.map(lambda a: a[-1], run.states)
    p = flow.rule.preconditioner(0.0, None)
    block = cold_block(objective, state.position, p, scheme.block)
    critical = int(run.aux.critical[-1])
    scheme = CentralEuler(project_start=True)  # rounding may stand on either side
    return Edge(f"{x.size:,} parameters", flow, state, block, scheme, critical)


def gradients(edge: Edge, count: int) -> Callable[[], Any]:
    """`count` gradients one after the other."""

    @eqx.filter_jit
    def run(f, x):
        step = lambda _, x: x - 1e-9 * f.gradient(x)  # noqa: E731
        return jax.lax.fori_loop(0, count, step, x)

    return lambda: run(edge.flow.objective, edge.state.position)


def substeps(edge: Edge, steps: int) -> Callable[[], Any]:
    """`steps` steps of the scheme, four substeps each."""
    carry = edge.scheme.init(edge.flow, 0.0, edge.state)

    @eqx.filter_jit
    def run(scheme, flow, y, carry):
        def step(loop, t):
            out = scheme.step(flow, t, *loop[:1], 1.0, None, loop[1])
            return (out.y, out.carry), out.aux.trace

        return jax.lax.scan(step, (y, carry), jnp.arange(steps, dtype=float))

    return lambda: run(edge.scheme, edge.flow, edge.state, carry)


def repeated(function: Callable[..., Any], edge: Edge, count: int) -> Callable[[], Any]:
    """`function(edge, x) -> [n]` at `count` points, each reached from the last."""

    @eqx.filter_jit
    def run(flow, block, x):
        moving = edge._replace(flow=flow, block=block)

        def step(_, x):
            return x - 1e-12 * function(moving, x)

        return jax.lax.fori_loop(0, count, step, x)

    return lambda: run(edge.flow, edge.block, edge.state.position)


def _near(edge: Edge) -> Any:
    return jnp.arange(edge.block.values.size) < 2


def refresh(edge: Edge, x: Any) -> Any:
    p = edge.flow.rule.preconditioner(0.0, None)
    half = _near(edge) | (jnp.arange(edge.block.values.size) % 2 == 0)
    block = refresh_block(edge.flow.objective, x, p, edge.block, half)
    return jnp.sum(block.vectors + block.images, axis=1)


def images(edge: Edge, x: Any) -> Any:
    f = edge.flow.objective
    found = hessian_at(f, x)(edge.block.vectors, _near(edge))
    return f.gradient(x) + jnp.sum(found, axis=1)


def thirds(edge: Edge, x: Any) -> Any:
    f = edge.flow.objective
    return jnp.sum(third_derivatives(f, x, edge.block.vectors, _near(edge)), axis=0)


def problem(edge: Edge, x: Any) -> Any:
    """A complementarity problem of two directions in a block; its data move with x."""
    k = edge.block.values.size
    b = jnp.eye(k * (k + 1) // 2) * (1 + x[0] ** 2)
    a = jnp.diag(jnp.linspace(-1.0, 1.0, k)) * (1 + x[1] ** 2) + 0.1
    return jnp.full(x.shape, jnp.sum(solve_sdcp(a, b, _near(edge)).x))


def update(edge: Edge, x: Any) -> Any:
    """The linear response and the velocity, given everything else."""
    k = edge.block.values.size
    third = jnp.broadcast_to(x[None, :], (k * (k + 1) // 2, x.size)) + 1.0
    state = CentralState(x, None)
    r = response(edge.flow, 0.0, state, x, edge.block, third, _near(edge))
    found = r.gap + jnp.sum(r.operator)
    return velocity(edge.flow, r, svec(found)).position


PARTS = {
    "eigenvectors, two and half of the others (once a step)": (refresh, 4),
    "gradient and curvature along two directions": (images, 1),
    "third derivatives of three pairs (once a step)": (thirds, 4),
    "complementarity problem": (problem, 1),
    "linear response and velocity": (update, 1),
}


def phases(edge: Edge, protocol: Protocol, count: int) -> list[Row]:
    calls = {name: repeated(f, edge, count) for name, (f, _) in PARTS.items()}
    samples = measure(calls | {"gradient": gradients(edge, count)}, protocol)
    unit = samples.pop("gradient")
    found = []
    for name, s in samples.items():
        cost = ratio(s.cpu, unit.cpu)
        share = cost.median / PARTS[name][1]
        note = f"{cost.median:.3g} a time"
        what = f"{edge.name}: {name}"
        row = Row(PHASES, what, "gradients", share, busy=s.busy, note=note)
        found.append(row)
    return found


def accuracy() -> list[Row]:
    """300 steps of descent on digits, 2/η = 3.2, from gradient-flow time 10."""
    objective, params = gelu_digits()
    x = objective.ravel(warm_start(objective, params, 10.0))
    eta, steps = 2 / 3.2, 300

    @eqx.filter_jit
    def descend(f, x, eta, each):
        def step(x, _):
            on = jax.lax.fori_loop(0, each, lambda _, x: x - eta * f.gradient(x), x)
            return on, x

        return jax.lax.scan(step, x, None, length=steps + 2)[1]

    xs = np.asarray(descend(objective, x, eta, 1))
    middle = (xs[:-2] + 2 * xs[1:-1] + xs[2:]) / 4
    stable = np.asarray(descend(objective, x, eta / 20, 20))[1 : steps + 1]
    flow = CentralFlow(objective, GradientDescent(eta))
    found, notes = [], []
    for refreshes in (1, 4):
        scheme = CentralEuler(refreshes=refreshes)
        run = iterate(scheme, flow, flow.start(x), h=1.0, steps=steps)
        mine = np.asarray(run.positions)[1:]
        ends = [np.linalg.norm(a[-1] - middle[-1]) for a in (mine, stable)]
        found.append(float(ends[0] / ends[1]))
        entered = int(np.argmax(np.asarray(run.aux.trace) > 0)) + 1
        top = float(np.max(np.asarray(run.aux.eigenvalues)[entered:, 0]))
        notes.append(f"{top:.5f}")
    note = "largest Ritz value at the edge {}, {} refreshed each substep".format(*notes)
    return [Row(ACCURACY, "1,930 parameters, 300 steps", "", *found, note=note)]


def cost(edge: Edge, protocol: Protocol, steps: int, target: float | None) -> Row:
    calls = {"ours": substeps(edge, steps), "g": gradients(edge, 4 * steps)}
    samples = measure(calls, protocol)
    note = f"{edge.critical} critical directions"
    scale = 1e3 / (4 * steps)
    return compared(COST, edge.name, samples, scale=scale, target=target, note=note)


def rows(protocol: Protocol) -> list[Row]:
    if protocol.tiny:
        edge = at_the_edge(*small_digits(), 0.1, 0.0, 1)
        return [cost(edge, protocol, 1, TARGET)]
    wide = digits_mlp(
        hidden=(192, 192), rows=300, activation="gelu", standardise=True, gain=0.5
    )
    found, edges = [], []
    for network, time, stop, settle, steps, target in (
        (small_digits(), 4.0, 0.0, 40, 20, None),
        (gelu_digits(), 10.0, 3.2, 60, 20, TARGET),
        (wide, 4.0, 0.0, 20, 2, None),
    ):
        edge = at_the_edge(*network, time, stop, settle)
        edges.append(edge)
        found.append(cost(edge, protocol, steps, target))
        found += phases(edge, protocol, 4 * steps)
    small, large = edges[1:]
    factor = round(large.state.position.size / small.state.position.size)
    calls = {"large": substeps(large, 1), "small": substeps(small, factor)}
    what = f"{large.name} once, {small.name} {factor} times"
    found.append(compared(GROWTH, what, measure(calls, protocol), target=1.5))
    found += accuracy()
    order = COST, PHASES, GROWTH, ACCURACY
    return sorted(found, key=lambda row: order.index(row.case))
