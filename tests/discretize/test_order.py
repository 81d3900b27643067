"""Orders of schemes: on problems with exact ends, in both norms, and at the door."""

import jax.numpy as jnp
import numpy as np
import pytest

from discretize import order
from discretize.schemes import EXACT_EMA, Euler, RungeKutta, lie, strang
from flows import BadInput, GradientFlow
from flows.problems import quadratic, wavy

SPECTRUM = np.array([0.5, 2.0])
START = jnp.array([1.0, -2.0])
LADDER = 0.1 * 0.5 ** np.arange(6)


def exact(t):
    return jnp.exp(-jnp.asarray(SPECTRUM) * t) * START


@pytest.mark.parametrize(
    ("name", "p"), [("euler", 1), ("implicit euler", 1), ("heun", 2), ("midpoint", 2)]
)
def test_order_on_a_quadratic_with_its_exact_solution(name, p):
    found = order(
        GradientFlow(quadratic(SPECTRUM)),
        name,
        START,
        t1=1.0,
        hs=LADDER,
        reference=exact,
    )
    assert found.asymptotic
    low, high = found.interval
    assert low <= p <= high
    assert high - low < 0.2


def test_leading_constant_of_euler():
    """Per mode Euler is off by h (λ²/2) t e^{-λt} x₀ at leading order."""
    lead = 0.5 * SPECTRUM**2 * np.exp(-SPECTRUM) * np.asarray(START)
    found = order(
        GradientFlow(quadratic(SPECTRUM)),
        Euler(),
        START,
        t1=1.0,
        hs=0.1 * 0.5 ** np.arange(8),
        reference=exact,
    )
    assert found.constant == pytest.approx(np.linalg.norm(lead), rel=1e-3)


@pytest.mark.slow
def test_sup_norm_and_the_solved_reference_agree_with_the_end():
    flow, start = GradientFlow(wavy()), jnp.array([1.2, 0.8])
    for norm in ("end", "sup"):
        found = order(flow, "euler", start, t1=0.8, hs=LADDER, norm=norm)
        assert found.interval[0] <= 1 <= found.interval[1]
    assert str(found).startswith("order 1")


def test_a_wrong_reference_is_no_order():
    """Negative control: against a solution of another start the error stalls."""
    found = order(
        GradientFlow(quadratic(SPECTRUM)),
        "euler",
        START,
        t1=1.0,
        hs=LADDER,
        reference=lambda t: 1.1 * exact(t),
    )
    assert abs(found.slope) < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hs": [0.1, 0.05]}, "four"),
        ({"hs": [0.3, 0.15, 0.075, 0.0375]}, "does not divide"),
        ({"hs": [-0.1, 0.05, 0.025, 0.0125]}, "ladder"),
        ({"scheme": "rk17"}, "known by name: euler"),
        ({"norm": "l2"}, "norm"),
    ],
)
def test_bad_input(change, message):
    arguments = {"scheme": "euler", "t1": 1.0, "hs": LADDER, **change}
    scheme = arguments.pop("scheme")
    with pytest.raises(BadInput, match=message):
        order(GradientFlow(quadratic(SPECTRUM)), scheme, START, **arguments)


def test_a_level_that_diverges_is_named():
    steep = GradientFlow(quadratic([1e200]))
    with pytest.raises(BadInput, match=r"the level h = 0\.5 diverges"):
        order(steep, "euler", jnp.ones(1), t1=4.0, hs=0.5 * 0.5 ** np.arange(4))


@pytest.mark.slow
def test_words_of_parts_have_their_orders():
    """Lie 1, Strang 2 on Adam's flow without bias correction, by a solved reference."""
    from flows import AdamFlow, AdamState

    flow = AdamFlow(
        wavy(),
        jnp.asarray(0.3),
        jnp.asarray(0.7),
        jnp.asarray(1e-3),
        jnp.asarray(0.0),
        bias_correction=False,
    )
    x = jnp.array([1.2, 0.8])
    start = AdamState(x, jnp.ones(2), jnp.full(2, 2.0))
    ladder = 0.05 * 0.5 ** np.arange(6)
    for word, p in ((lie("EMA", "X"), 1), (strang("EMA", "X"), 2), (EXACT_EMA, 1)):
        found = order(flow, word, start, t1=0.5, hs=ladder)
        assert found.interval[0] - 0.02 <= p <= found.interval[1] + 0.02, str(word)


def test_a_high_order_method_reaches_its_order():
    import diffrax

    found = order(
        GradientFlow(quadratic(SPECTRUM)),
        RungeKutta(diffrax.Bosh3()),
        START,
        t1=1.0,
        hs=0.25 * 0.5 ** np.arange(6),
        reference=exact,
    )
    assert found.interval[0] - 0.02 <= 3 <= found.interval[1] + 0.02
