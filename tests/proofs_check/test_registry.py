"""The catalogue finds its claims, names the nearest, and refuses to break its rules."""

import os
import subprocess
import sys

import pytest
from toys import TOYS, unit_rate

import proofs_check
from flows.errors import BadInput
from proofs_check import Equal, Registry, UnknownClaim, claim, claims


def filled(count=1, control=True, checks=1):
    registry = Registry()
    for i in range(count):
        made = claim(
            f"many.c{i}",
            source="me",
            relation=Equal(1.0),
            checks=checks,
            registry=registry,
        )(lambda ctx: None)
        if control:
            made.control("broken", expected=2.0)(lambda ctx: None)
    return registry


def test_the_catalogue_of_the_package_obeys_its_rules():
    catalogue = claims()
    catalogue.validate()
    assert all(catalogue[name].id == name for name in catalogue)


@pytest.mark.slow
def test_the_catalogue_loads_in_a_process_that_computes_in_float32():
    """A notebook lists the claims before it asks for float64."""
    code = "import proofs_check; assert len(proofs_check.claims()) > 100"
    environment = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_claims_stays_a_function_beside_the_package_of_claims():
    assert callable(proofs_check.claims)
    assert sys.modules["proofs_check.claims"].discover() is not None
    assert callable(proofs_check.claims)


def test_a_claim_without_control_is_refused():
    with pytest.raises(BadInput, match=r"many\.c0 has no control"):
        filled(control=False).validate()


def test_the_levels_of_all_checks_fit_one_in_a_million():
    filled(2, checks=499).validate()
    filled(1, checks=999).validate()
    with pytest.raises(BadInput, match="at most 1000 fit"):
        filled(1, checks=1000).validate()


def test_two_claims_of_one_id_are_refused_and_a_reload_is_not():
    registry = Registry()

    def first(ctx):
        return None

    def second(ctx):
        return None

    options = {"source": "me", "registry": registry}
    claim("a.b", **options)(first)
    claim("a.b", **options)(first)
    assert len(registry) == 1
    with pytest.raises(BadInput, match=r"two claims have the id a\.b"):
        claim("a.b", **options)(second)


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(UnknownClaim, match=r"nearest: toy\.unit-rate") as caught:
        TOYS["toy.unit_rate"]
    assert isinstance(caught.value, KeyError)
    with pytest.raises(UnknownClaim, match=r"scheme\.euler-order"):
        TOYS.select(["euler"])
    with pytest.raises(UnknownClaim, match="no family 'schemes'"):
        TOYS.select(family="schemes")


def test_patterns_select_ids_families_and_globs():
    assert [c.id for c in TOYS.select(["toy"])] == ["toy.unit-rate"]
    assert [c.id for c in TOYS.select(["*e*r*", "toy.unit-rate"])] == [
        "algebra.square",
        "scheme.euler-order",
        "toy.unit-rate",
    ]
    assert [c.id for c in TOYS.select(family="toy")] == ["toy.unit-rate"]
    assert len(TOYS.select()) == 3


def test_a_notebook_completes_and_shows_the_catalogue():
    assert TOYS._ipython_key_completions_() == list(TOYS)
    assert "toy.unit-rate" in TOYS._repr_html_()
    assert repr(TOYS) == "<3 claims in 3 families>"
    assert TOYS["toy.unit-rate"] is unit_rate


def test_discovery_happens_once_and_again_after_a_failure():
    calls = []

    def discover():
        calls.append(1)
        if len(calls) == 1:
            raise ImportError("broken module")

    registry = Registry(discover)
    with pytest.raises(ImportError, match="broken module"):
        len(registry)
    assert len(registry) == 0
    assert list(registry) == []
    assert len(calls) == 2
