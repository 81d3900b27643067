"""Three small claims with known answers, and their registry."""

import jax.numpy as jnp
import numpy as np

from proofs_check import (
    Equal,
    Evidence,
    Grade,
    Hypothesis,
    Identity,
    Order,
    Registry,
    Source,
    claim,
)

TOYS = Registry()
BOOK = Source(
    "Numerical <methods>", "A. Euler, B. Heun and C. Runge", 1768, "1511.06251", "(2.1)"
)


def constant(ctx, value, half=1e-4, **about):
    return Evidence(
        relation=Equal(1.0),
        measured=value,
        interval=(value - half, value + half),
        detectable=2 * half,
        delta=ctx.delta,
        grade=Grade.MEASURED,
        **about,
    )


@claim(
    "toy.unit-rate",
    title="The rate of e^{-t} is one",
    source=BOOK,
    statement=r"\dot y = -\lambda y \;\Rightarrow\; -\frac{d}{dt}\log y(t) = \lambda",
    hypotheses=(
        Hypothesis(r"$\lambda = 1$", lambda p: p["rate"] == 1.0),
        r"$y(0) > 0$ & finite",
    ),
    relation=Equal(1.0),
    grade="measured",
    delta=1e-3,
    quick_delta=1e-2,
    unit="1/time",
    parameters={"rate": 1.0},
    registry=TOYS,
)
def unit_rate(ctx):
    t = jnp.linspace(0.0, 2.0, 5)
    slopes = -jnp.diff(jnp.log(jnp.exp(-ctx.parameters.rate * t))) / jnp.diff(t)
    return constant(ctx, float(jnp.mean(slopes)))


@unit_rate.route("by the derivative at 0")
def _(ctx):
    return constant(ctx, ctx.parameters.rate * 1.00001)


unit_rate.control("rate doubled", expected=2.0, parameters={"rate": 2.0})


@unit_rate.control("growth in place of decay", expected="diverged")
def _(ctx):
    return Evidence(
        relation=Equal(1.0),
        measured=np.inf,
        interval=(np.inf, np.inf),
        detectable=0.0,
        delta=ctx.delta,
        grade=Grade.MEASURED,
    )


def slope_of(ctx, power):
    h = 0.4 / 2.0 ** np.arange(6)
    errors = 0.3 * h**power * (1 + 0.2 * h)
    slope = float(np.log2(errors[-2] / errors[-1]))
    return Evidence(
        relation=Order(1.0),
        measured=slope,
        interval=(slope - 0.01, slope + 0.01),
        detectable=0.27,
        delta=0.5,
        grade=Grade.MEASURED,
        data={
            "kind": "order",
            "h": h,
            "errors": errors,
            "claimed": 1.0,
            "slope": slope,
        },
    )


@claim(
    "scheme.euler-order",
    title="Euler's method has order one",
    source=BOOK,
    statement=r"\max_{t_k \le T} \|y_k - y(t_k)\| = O(h)",
    relation=Order(1.0),
    registry=TOYS,
)
def euler_order(ctx):
    return slope_of(ctx, 1.0)


@euler_order.control("Heun's method", expected=2.0)
def _(ctx):
    return slope_of(ctx, 2.0)


@claim(
    "algebra.square",
    title="The square of a sum",
    source="a note, 2026",
    statement=r"$(a+b)^2 = a^2 + 2ab + b^2$ for all real $a$, $b$",
    grade="proved",
    full_only=True,
    registry=TOYS,
)
def square(ctx):
    return by_expansion("proved")


@square.control("the 2 replaced by 2001/1000")
def _(ctx):
    return by_expansion("refuted")


def by_expansion(status):
    return Evidence(
        relation=Identity("(a + b)^2"),
        measured=status,
        interval=None,
        detectable=0.0,
        delta=0.0,
        grade=Grade.PROVED,
    )
