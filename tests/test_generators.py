"""Every dynamics: its generator by three routes, and its parts.

The routes are the model's own `generator` in floating point, its symbolic trace, and
the formula ∂ₜφ + v·∇φ + ½ Σ_j D²φ[σ_j, σ_j] + Σ_c λ_c (E φ - φ) written out in sympy
from the traced field, noise, rates and jump laws. A concrete dynamics without an
example here fails the suite.
"""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from examples_of_dynamics import EXAMPLES, X

import flows
import sde
from flows.problems import wavy
from flows.symbolic import numerically, symbolically, symbols_for_state, symbols_like

TIMES = (0.35, 1.7)


def descendants(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from descendants(sub)


def concrete_dynamics():
    # models of the library; what a claim builds for itself is its own business
    packages = ("flows", "sde", "discretize")
    return {
        cls
        for cls in descendants(flows.Dynamics)
        if cls.__module__.split(".")[0] in packages and not inspect.isabstract(cls)
    }


def parts_of(model):
    return dict(model.parts()) if hasattr(model, "parts") else {}


def test_every_dynamics_has_an_example():
    shown = set()
    for model, _ in EXAMPLES.values():
        shown.add(type(model))
        shown |= {type(part) for part in parts_of(model).values()}
    # A complementarity system has no field to trace; tests/flows/test_central_flow.py
    # lays its generator beside closed forms.
    shown.add(flows.CentralFlow)
    missing = {f"{c.__module__}.{c.__name__}" for c in concrete_dynamics() - shown}
    assert not missing, (
        f"no example in tests/examples_of_dynamics.py: {sorted(missing)}"
    )


def part_of(model, name):
    return model.parts()[name] if name else model


def coordinates(y):
    return jax.tree.leaves(eqx.filter(y, eqx.is_inexact_array))


def phi(t, y):
    """Every first and second derivative is active, the label and the time are seen."""
    z = jnp.concatenate(coordinates(y))
    weights = jnp.arange(1.0, z.shape[0] + 1)
    label = getattr(y, "label", None)
    level = 1.0 if label is None else 1.0 + 0.5 * jnp.asarray(label).astype(float)
    mixed = jnp.sum(weights * z) ** 2 / 8
    return (jnp.cos(t) * jnp.sum(weights * jnp.sin(z)) + mixed) * level**2


def points(y, seed=0):
    rng = np.random.default_rng(seed)
    for t in TIMES:
        moving, labels = eqx.partition(y, eqx.is_inexact_array)
        moved = jax.tree.map(
            lambda a: jnp.asarray(np.asarray(a) * rng.uniform(0.7, 1.3, a.shape)),
            moving,
        )
        yield t, eqx.combine(moved, labels)


MODELS = [pytest.param(model, y, id=name) for name, (model, y) in EXAMPLES.items()]


def is_expression(leaf):
    return isinstance(leaf, sp.Expr) or (
        isinstance(leaf, np.ndarray) and leaf.dtype == object
    )


def values_of(symbolic, numbers):
    """Symbol -> value, for two trees of one structure."""
    table = {}
    for s, v in zip(jax.tree.leaves(symbolic), jax.tree.leaves(numbers), strict=True):
        if is_expression(s):
            pairs = zip(np.ravel(s), np.ravel(np.asarray(v)), strict=True)
            table |= {a: float(b) for a, b in pairs}
    return table


def sympy_phi(t, y):
    return symbolically(phi, t, y)


def formula(name, numeric, model, t, y, example):
    """L φ of a model (or of its part `name`) from the definition, in sympy."""
    part = part_of(numeric, name)

    def traced(method, *args):
        return symbolically(
            lambda m, t, y, *a: getattr(part_of(m, name), method)(t, y, *a),
            model,
            t,
            y,
            *args,
        )

    field = traced("vector_field")
    z = [
        s for leaf in jax.tree.leaves(y) if is_expression(leaf) for s in np.ravel(leaf)
    ]
    v = [s for leaf in jax.tree.leaves(field) for s in np.ravel(leaf)]
    f = sympy_phi(t, y)
    total = sum(a * sp.diff(f, s) for a, s in zip(v, z, strict=True))
    if part.advances_time:
        total += sp.diff(f, t)
    if hasattr(part, "brownian"):
        for e in np.eye(part.brownian(example)):
            column = traced("noise", jnp.asarray(e))
            c = [s for leaf in jax.tree.leaves(column) for s in np.ravel(leaf)]
            total += sum(
                a * b * sp.diff(f, p, q) / 2
                for a, p in zip(c, z, strict=True)
                for b, q in zip(c, z, strict=True)
            )
    if hasattr(part, "rates"):
        after = after_jumps(numeric, name, model, t, y)
        rates = np.ravel(traced("rates"))
        total += sum(r * (a - f) for r, a in zip(rates, after, strict=True))
    return total


def after_jumps(numeric, name, model, t, y):
    """E φ after a jump of each channel of a model, or of its part `name`, by hand."""
    if isinstance(numeric, sde.Switching):
        return [expected_jump(model, t, y)]
    x, v = y.position, y.velocity
    if isinstance(numeric, sde.ZigZag):
        signs = 1 - 2 * np.eye(len(v), dtype=int)
        return [sympy_phi(t, y._replace(velocity=v * s)) for s in signs]
    g = symbolically(lambda m, x: m.objective.gradient(x), model, x)
    along, variance = g, 1
    if isinstance(numeric, sde.Boomerang):
        g = g - model.precision * (x - model.centre)
        along, variance = g / model.precision, 1 / model.precision
    reflected = v - 2 * sum(v * g) / sum(g * along) * along
    fresh = fresh_phi(t, x, len(v), variance)
    both = [sympy_phi(t, y._replace(velocity=reflected)), fresh]
    return {"": both, "B": both[:1], "R": both[1:]}[name]


def fresh_phi(t, x, n, variance):
    """E φ(t, x, v) for v with independent centred normal entries: its sines vanish."""
    weights = range(1, len(x) + n + 1)
    here = sum(w * s for w, s in zip(weights, x, strict=False))
    square = here**2 + variance * sum(w**2 for w in weights[len(x) :])
    waves = sum(w * sp.sin(s) for w, s in zip(weights, x, strict=False))
    return sp.cos(t) * waves + square / 8


def expected_jump(model, t, y):
    """E φ after a jump of the label: the average over the labels, by hand."""
    assert isinstance(model, sde.Switching)
    labels = [
        k
        for k in range(model.labels)
        if model.index.convention == "fresh_draw" or k != int(y.label)
    ]
    after = [sympy_phi(t, y._replace(label=jnp.asarray(k))) for k in labels]
    return sum(after) / len(labels)


def everything(model, y):
    """The model's generator and field, and those of its parts, in one compilation."""

    @eqx.filter_jit
    def run(model, t, y):
        out = {}
        for name, part in {"": model, **parts_of(model)}.items():
            out[name] = part.generator(phi)(t, y)
            if hasattr(part, "vector_field"):
                out[name + "'"] = part.vector_field(t, y)
        return out

    return [(t, at, run(model, jnp.asarray(t), at)) for t, at in points(y)]


@pytest.fixture(scope="module")
def computed():
    kept = {}

    def look(model, y):
        if id(model) not in kept:
            kept[id(model)] = everything(model, y)
        return kept[id(model)]

    return look


def largest_gap(model, y, results):
    """Between the three routes, over the model and its parts, relative."""
    symbolic = symbols_like(model)
    state = symbols_for_state(y)
    t = sp.Symbol("t", positive=True)
    gaps = []
    for name in ("", *parts_of(model)):
        routes = [
            symbolically(
                lambda m, t, y, name=name: part_of(m, name).generator(phi)(t, y),
                symbolic,
                t,
                state,
            )
        ]
        if hasattr(model, "vector_field"):
            routes.append(formula(name, model, symbolic, t, state, y))
        for at, here, out in results:
            values = values_of(symbolic, model) | values_of(state, here) | {t: at}
            number = float(out[name])
            for expression in routes:
                gap = abs(float(numerically(expression, values)) - number)
                gaps.append(gap / max(abs(number), 1.0))
    return max(gaps)


@pytest.mark.parametrize(("model", "y"), MODELS)
def test_the_generator_by_three_routes(model, y, computed):
    assert largest_gap(model, y, computed(model, y)) < 1e-12


class NoIto(sde.OverdampedLangevin):
    """A generator that forgets the second derivatives."""

    def generator(self, phi):
        return flows.Flow.generator(self, phi)


def test_a_generator_without_itos_term_is_refuted():
    model = NoIto(wavy(), 0.6)
    assert largest_gap(model, X, everything(model, X)) > 1e-2


SPLIT = [p for p in MODELS if parts_of(p.values[0])]


@pytest.mark.parametrize(("model", "y"), SPLIT)
def test_the_parts_sum_to_the_whole_and_carry_the_time_once(model, y, computed):
    parts = parts_of(model)
    assert sum(part.advances_time for part in parts.values()) == 1
    for _, _, out in computed(model, y):
        total = sum(float(out[name]) for name in parts)
        assert total == pytest.approx(float(out[""]), rel=1e-12, abs=1e-12)
        fields = [out[f"{name}'"] for name in parts]
        added = jax.tree.map(lambda *a: sum(a[1:], a[0]), *fields)
        for a, b in zip(jax.tree.leaves(added), jax.tree.leaves(out["'"]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)
        if len(parts) > 1:  # negative control: every part is needed
            for name in parts:
                assert abs(float(out[name])) > 1e-6


def test_generators_compose():
    """L(Lφ) of an Ornstein-Uhlenbeck process on a quadratic, in closed form."""
    process = sde.OrnsteinUhlenbeck(2.0, 0.0, 0.5)

    def square(t, y):
        return jnp.sum(y**2)

    # L x² = 2D - 2θx², L² x² = -2θ L x².
    x = jnp.array([1.5])
    twice = process.generator(process.generator(square))
    assert float(twice(0.0, x)) == pytest.approx(-4.0 * (1.0 - 4.0 * 2.25))
