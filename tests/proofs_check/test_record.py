"""A record is valid JSON, comes back as it was, and is written whole or not at all."""

import json
import math

import pytest
from toys import TOYS, constant, euler_order, square, unit_rate

from flows.errors import BadInput
from proofs_check import Verdict, check, claim
from proofs_check.environment import describe
from proofs_check.record import (
    from_record,
    plain,
    read_resumed,
    source_hash,
    to_message,
    to_record,
    write_json,
)

KEYS = {
    *("id", "family", "title", "paper", "grade", "verdict", "claimed", "measured"),
    *("interval", "unit", "relation", "delta", "detectable", "checks", "controls"),
    *("skipped", "seconds", "seed", "source_hash"),
}


def results():
    return [check(made, effort="full", seed=3) for made in TOYS.values()]


def strict(text):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_record_has_its_keys_and_no_other():
    record = to_record(check(unit_rate, seed=5))
    assert set(record) == KEYS
    assert set(record["paper"]) == {"title", "authors", "year", "arxiv", "location"}
    for control in record["controls"]:
        assert set(control) == {"name", "caught", "expected", "measured"}
    assert (record["claimed"], record["seed"], record["verdict"]) == (1.0, 5, "holds")
    assert record["interval"][0] < 1 < record["interval"][1]
    assert record["controls"][1]["expected"] == "diverged"


def test_infinities_and_nan_are_strings():
    assert to_record(check(unit_rate))["controls"][1]["measured"] == "Infinity"
    assert plain([math.nan, -math.inf]) == ["NaN", "-Infinity"]


def test_a_file_round_trips(tmp_path):
    path = tmp_path / "deep" / "run.json"
    ran = results()
    write_json(path, describe("full", 3), [to_record(r) for r in ran])
    stored = strict(path.read_text())
    assert set(stored) == {"environment", "claims"}
    assert stored["environment"]["precision"] == "float64"
    assert {"python", "jax", "diffrax", "optax", "sympy", "device"} <= set(
        stored["environment"]
    )
    kept = read_resumed(path, TOYS.values(), "full", 3)
    for result in ran:
        back = from_record(kept[result.id], result.claim, "full")
        assert to_record(back) == kept[result.id]
        assert back.verdict is result.verdict
        assert [c.verdict for c in back.checks] == [c.verdict for c in result.checks]
    assert [p.name for p in path.parent.iterdir()] == ["run.json"]


def test_another_process_hears_the_controls_too():
    result = check(euler_order)
    back = from_record(json.loads(json.dumps(to_message(result))), euler_order, "quick")
    assert back.controls[0].evidence.interval == result.controls[0].evidence.interval


def test_a_crash_is_recorded_and_resumed():
    def broken(ctx):
        raise ZeroDivisionError("nothing")

    made = claim("note.broken", source="me")(broken)
    made.control("also broken")(broken)
    record = strict(json.dumps(to_record(check(made)), allow_nan=False))
    assert record["verdict"] == "error"
    assert "ZeroDivisionError: nothing" in record["checks"][0]["error"]
    assert record["claimed"] is None
    back = from_record(record, made, "quick")
    assert back.verdict is Verdict.ERROR
    assert back.reason == "ZeroDivisionError: nothing"


@pytest.mark.parametrize(
    ("effort", "seed", "message"),
    [("quick", 3, "effort full, this run has effort quick"), ("full", 4, "seed 3")],
)
def test_another_effort_or_seed_is_not_resumed(tmp_path, effort, seed, message):
    path = tmp_path / "run.json"
    write_json(path, describe("full", 3), [to_record(r) for r in results()])
    with pytest.raises(BadInput, match=message):
        read_resumed(path, TOYS.values(), effort, seed)


def test_another_source_is_not_resumed(tmp_path):
    path = tmp_path / "run.json"
    record = {**to_record(check(unit_rate)), "source_hash": "0" * 64}
    write_json(path, describe("quick", 0), [record])
    with pytest.raises(BadInput, match=r"toy\.unit-rate as run from another source"):
        read_resumed(path, TOYS.values(), "quick", 0)
    assert read_resumed(path, [square], "quick", 0) == {}


def test_what_is_no_record_is_refused(tmp_path):
    path = tmp_path / "run.json"
    for text in ("", "[]", '{"claims": []}'):
        path.write_text(text)
        with pytest.raises(BadInput, match="not the record of a run"):
            read_resumed(path, [], "quick", 0)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "run.json"
    write_json(path, {}, [])
    before = path.read_text()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {}, [{"measured": math.nan}])
    assert path.read_text() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_notebook_claim_has_a_hash_of_its_functions():
    space = {"__name__": "nowhere", "claim": claim, "constant": constant}
    code = 'made = claim("n.a", source="me")(lambda ctx: constant(ctx, {}))'
    hashes = []
    for value in (1.0, 2.0):
        exec(code.format(value), space)
        hashes.append(source_hash(space["made"]))
    assert hashes[0] != hashes[1]
    assert source_hash(unit_rate) == source_hash(euler_order)
