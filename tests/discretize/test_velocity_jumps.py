"""Splittings of the samplers by velocity jumps: order 2, letter by letter."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sde
from discretize import DBD, RDBDR, Splitting
from flows.problems import double_well, quadratic

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(12)  # as in the generator
WEIGHTS = WEIGHTS / WEIGHTS.sum()
Y = sde.LangevinState(jnp.array([1.4]), jnp.array([0.8]))
MODELS = {
    "zig-zag": (sde.ZigZag(double_well(), 0.3), DBD, "D, B"),
    "bouncy": (sde.BouncyParticle(double_well(), 0.7), RDBDR, "R, D, B"),
    "boomerang": (sde.Boomerang(double_well(), 0.7, 1.5, [0.2]), RDBDR, "R, D, B"),
}


def phi(t, y):
    x, v = y.position[0], y.velocity[0]
    return x**3 * v + x * v**2 + v**3


def after(name, part, y, span, rest):
    """E rest(y) once the part ran: its own map at every outcome of its draws."""
    if name == "D":
        return rest(part.exact(0.0, y, span))
    if isinstance(part.noise_like(y), tuple):
        p = -jnp.expm1(-span * part.rates(0.0, y)[0])

        def fresh(xi):
            return rest(part.exact(0.0, y, span, (-jnp.ones(1), xi[None])))

        each = jax.vmap(fresh)(jnp.asarray(NODES))
        return (1 - p) * rest(y) + p * jnp.sum(jnp.asarray(WEIGHTS) * each)
    if hasattr(part, "turn_probability"):
        p = part.turn_probability(y, span)[0]
    else:
        p = -jnp.expm1(-span * part.rates(0.0, y)[0])
    stayed, moved = (part.exact(0.0, y, span, jnp.array([u])) for u in (1.0, -1.0))
    return (1 - p) * rest(stayed) + p * rest(moved)


def one_step(scheme, model, y, h):
    """E φ after a step of size h, the draws integrated out."""

    def run(y, letters):
        if not letters:
            return phi(0.0, y)
        (name, weight), *others = letters
        part, span = model.parts()[name], h * float(weight)
        return after(name, part, y, span, lambda z: run(z, others))

    return run(y, list(scheme.word))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n != "zig-zag")) for n in MODELS],
)
def test_the_words_agree_with_the_generator_to_second_order(name):
    """Derivatives of E φ in h at 0 are L φ and L² φ; Lie's word misses the second."""
    model, scheme, lie = MODELS[name]
    y = Y
    if name == "boomerang":  # uphill for it
        y = Y._replace(velocity=-Y.velocity)

    @eqx.filter_jit
    def derivatives(model, y):
        out = [model.generator(phi), model.generator(model.generator(phi))]
        out = [l_phi(0.0, y) for l_phi in out]
        for word in (scheme, Splitting(lie)):

            def step(h, word=word):
                return one_step(word, model, y, h)

            first, second = jax.grad(step), jax.grad(jax.grad(step))
            out += [first(0.0), second(0.0)]
        return out

    one, two, first, second, lie_first, lie_second = map(float, derivatives(model, y))
    assert model.rates(0.0, y)[0] > 0.3
    assert first == pytest.approx(one, rel=1e-12)
    assert lie_first == pytest.approx(one, rel=1e-12)
    assert second == pytest.approx(two, rel=1e-10)
    assert abs(lie_second - two) > 1e-2 * abs(two)


def test_a_step_is_the_word_with_its_draws():
    """RDBDR by hand: a bounce at the middle, then a fresh velocity at the end."""
    model = sde.BouncyParticle(quadratic([1.0, 2.0]), 0.7)
    y = sde.LangevinState(jnp.array([1.0, 0.5]), jnp.array([0.3, 1.1]))
    h, xi = 0.4, jnp.array([0.2, -0.9])
    never, always = jnp.array([1.0]), jnp.array([0.0])
    noise = [(never, xi), None, always, None, (always, xi)]
    out = eqx.filter_jit(RDBDR.step)(model, 0.0, y, h, noise, None).y
    x = np.asarray(y.position) + h / 2 * np.asarray(y.velocity)
    g = np.array([1.0, 2.0]) * x
    v = y.velocity - 2 * (y.velocity @ g) / (g @ g) * g
    np.testing.assert_allclose(out.position, x + h / 2 * v, rtol=1e-14)
    np.testing.assert_array_equal(out.velocity, xi)
    run = sde.simulate(model, y, t1=2.0, scheme=RDBDR, h=0.2, key=0, paths=3)
    assert np.all(np.isfinite(run.final.position))
