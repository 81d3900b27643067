"""`flows.solve` beside `diffrax.diffeqsolve`: same solver, controller, times."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from benchmarks.protocol import Protocol, Row, compared, measure, require_same
from flows import GradientFlow, solve
from flows.problems import digits_mlp, quadratic

CASE = "flows.solve beside diffrax.diffeqsolve"
SOLVER = diffrax.Tsit5()


@eqx.filter_jit
def direct(field, x, args, t1, controller, saveat, adjoint):
    """Diffrax's whole solution, as `solve` keeps it: statistics cost 2 percent."""
    return diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        SOLVER,
        0.0,
        t1,
        None,
        x,
        args=args,
        saveat=saveat,
        stepsize_controller=controller,
        adjoint=adjoint,
        max_steps=100_000,
        throw=False,
    )


def pair(objective, field, x, args, t1, rtol, adjoint):
    """The two calls, checked to agree."""
    controller = diffrax.PIDController(rtol=rtol, atol=rtol / 100)
    saveat = diffrax.SaveAt(ts=jnp.linspace(0.0, t1, 101))
    flow = GradientFlow(objective)

    def ours():
        return solve(
            flow,
            x,
            0.0,
            t1,
            solver=SOLVER,
            stepsize_controller=controller,
            saveat=saveat,
            adjoint=adjoint,
        ).states

    def other():
        return direct(field, x, args, t1, controller, saveat, adjoint).ys

    return {"ours": ours, "other": other}


def network(protocol: Protocol, adjoint, name: str) -> Row:
    tiny = protocol.tiny
    objective, params = digits_mlp(rows=20 if tiny else 1000)
    x, unravel = ravel_pytree(params)

    def field(t, y, data):
        return -jax.grad(lambda z: objective.loss(unravel(z), data))(y)

    t1 = 0.5 if tiny else 20.0
    assert objective.data is not None
    calls = pair(objective, field, x, objective.data.tree, t1, 1e-6, adjoint)
    samples = measure(calls, protocol)
    require_same(calls["ours"](), calls["other"]())
    problem = f"digits MLP, gradient flow, T = {t1:g}, {name}"
    return compared(CASE, problem, samples, target=1.05)


def spectrum(protocol: Protocol, n: int, kappa: float, t1: float, **more) -> Row:
    eigenvalues = np.geomspace(1.0, kappa, n)

    def field(t, y, a):
        return -a * y

    t1 = 0.5 if protocol.tiny else t1
    calls = pair(
        quadratic(eigenvalues),
        field,
        jnp.ones(n),
        jnp.asarray(eigenvalues),
        t1,
        1e-6,
        diffrax.ForwardMode(),
    )
    samples = measure(calls, protocol)
    require_same(calls["ours"](), calls["other"]())
    problem = f"quadratic, n = {n}, condition {kappa:g}, T = {t1:g}, forward"
    return compared(CASE, problem, samples, **more)


def rows(protocol: Protocol) -> list[Row]:
    fixed = "what a call costs whatever it solves"
    found = [
        network(protocol, diffrax.ForwardMode(), "forward"),
        spectrum(protocol, 2, 10.0, 10.0, note=fixed),
    ]
    if not protocol.tiny:
        checkpointing = diffrax.RecursiveCheckpointAdjoint()
        found.insert(1, network(protocol, checkpointing, "checkpointing"))
        found.insert(2, spectrum(protocol, 100, 1e3, 100.0, target=1.05))
    return found
