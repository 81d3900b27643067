"""Random streams depend on names, seed and chunk, and on nothing else."""

import hashlib

import jax
import numpy as np
import pytest

from flows.errors import BadInput
from proofs_check.context import Context, stream_words


def test_a_stream_is_the_hash_of_its_name():
    digest = hashlib.sha256(b"a.b/main/pilot").hexdigest()
    words = stream_words("a.b", "main", "pilot")
    assert "".join(f"{word:08x}" for word in words) == digest


def draws(**changes):
    options = {"check": "main", "seed": 0, "stream": "main", "chunk": 0, **changes}
    ctx = Context("a.b", options["check"], seed=options["seed"])
    where = options["stream"], options["chunk"]
    normal = jax.random.normal(ctx.key(*where), (3,), dtype="float64")
    return np.concatenate([ctx.rng(*where).standard_normal(3), np.asarray(normal)])


@pytest.mark.parametrize(
    "change", [{"check": "control"}, {"seed": 1}, {"stream": "pilot"}, {"chunk": 1}]
)
def test_streams_differ_in_every_name(change):
    assert not np.any(draws() == draws(**change))


def test_effort_parameters_and_order_change_nothing():
    quick = Context("a.b", effort="quick", parameters={"eta": 1.0})
    full = Context("a.b", effort="full", parameters={"eta": 2.0})
    full.rng("other").random()
    assert quick.rng().random() == full.rng().random()
    assert np.all(draws() == draws())


def test_the_largest_seed_is_accepted_and_the_next_refused():
    Context("a.b", seed=2**32 - 1).key()
    with pytest.raises(BadInput, match="seed must lie in"):
        Context("a.b", seed=2**32)
    with pytest.raises(BadInput, match="chunk must lie in"):
        Context("a.b").rng(chunk=-1)


def test_parameters_read_by_name_and_say_which_exist():
    ctx = Context("a.b", parameters={"eta": 0.1})
    assert ctx.parameters.eta == ctx.parameters["eta"] == 0.1
    with pytest.raises(AttributeError, match="the claim declares: eta"):
        _ = ctx.parameters.beta


def test_efforts_choose_and_compiled_functions_are_kept():
    ctx = Context("a.b", effort="full")
    assert ctx.choose(quick=1, full=2) == 2
    made = []
    for _ in range(2):
        ctx.compiled("step", lambda: made.append(1) or len)
    assert made == [1]


def test_a_claim_without_relation_needs_the_claimed_value():
    with pytest.raises(BadInput, match="declares no relation"):
        Context("a.b").diverged()
    assert Context("a.b").diverged(2.0).measured == np.inf
