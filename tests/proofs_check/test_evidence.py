import json
import math

import numpy as np
import pytest

from flows.errors import BadInput
from proofs_check.evidence import (
    Equal,
    Evidence,
    Exact,
    Grade,
    Identity,
    Law,
    LowerBound,
    Order,
    Range,
    Threshold,
    UpperBound,
    Verdict,
    relation_from_json,
)

RELATIONS = [
    Equal(1.0),
    Equal(0.0, scale=2.0),
    UpperBound(3.0),
    LowerBound(-1.0),
    Range(0.0, math.inf, scale=1.0),
    Order(0.5),
    Threshold(2.0),
    Law("Beta(1, 1)"),
    Identity("a = b"),
    Exact(),
]


def evidence(relation, interval, detectable=0.01, delta=0.02, **more):
    middle = sum(interval) / 2
    return Evidence(
        relation, middle, interval, detectable, delta, Grade.MEASURED, **more
    )


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda r: r.kind)
def test_relations_survive_json(relation):
    record = json.loads(json.dumps(relation.to_json(), allow_nan=False))
    assert relation_from_json(record) == relation
    assert str(relation)


@pytest.mark.parametrize(
    ("relation", "interval", "verdict"),
    [
        (Equal(1.0), (0.9, 1.1), Verdict.HOLDS),
        (Equal(1.0), (1.01, 1.1), Verdict.REFUTED),
        (Equal(1), (0.9, 0.99), Verdict.REFUTED),
        (UpperBound(1.0), (0.2, 1.02), Verdict.HOLDS),
        (UpperBound(1.0), (0.2, 1.03), Verdict.UNDECIDED),
        (UpperBound(1.0), (1.01, 1.03), Verdict.REFUTED),
        (LowerBound(1.0), (0.98, 7.0), Verdict.HOLDS),
        (LowerBound(1.0), (0.97, 7.0), Verdict.UNDECIDED),
        (LowerBound(1.0), (0.5, 0.99), Verdict.REFUTED),
        (Range(1.0, 2.0), (1.9, 2.1), Verdict.HOLDS),
        (Range(1.0, 2.0), (2.01, 2.1), Verdict.REFUTED),
        (Order(1.0), (0.8, 1.2), Verdict.HOLDS),
        (Order(1.0), (0.7, 0.8), Verdict.UNDECIDED),
        (Order(1.0), (0.5, 0.75), Verdict.REFUTED),
        (Law("F"), (0.0, 0.01), Verdict.HOLDS),
        (Law("F"), (0.001, 0.01), Verdict.REFUTED),
    ],
)
def test_each_relation_judges_its_interval(relation, interval, verdict):
    assert evidence(relation, interval).verdict is verdict


def test_a_wide_interval_never_holds():
    assert evidence(Equal(1.0), (0.0, 2.0), detectable=2.0).verdict == "undecided"
    assert evidence(Range(1, 2), (0.0, 9.0), detectable=9.0).verdict == "undecided"


def test_obstacles_faults_and_nan():
    assert evidence(Equal(1.0), (2.0, 3.0), obstacle="x").verdict == "undecided"
    assert evidence(Equal(1.0), (2.0, 3.0), fault="x").verdict == "error"
    assert evidence(Equal(1.0), (math.nan, 3.0)).verdict == "error"
    assert evidence(Equal(1.0), (0.0, 3.0), detectable=math.nan).verdict == "error"


def test_identity_is_decided_by_its_status():
    for status, verdict in [
        ("proved", "holds"), ("refuted", "refuted"), ("?", "undecided")
    ]:  # fmt: skip
        e = Evidence(Identity(), status, None, 0.0, 0.0, Grade.PROVED)
        assert e.verdict == verdict


def test_evidence_survives_json_with_infinities_and_arrays():
    e = evidence(
        Equal(1.0), (math.inf, math.inf), data={"h": np.arange(3.0), "kind": "curves"}
    )
    assert e.verdict == "refuted"
    text = json.dumps(e.to_json(), allow_nan=False)
    back = Evidence.from_json(json.loads(text))
    assert back.interval == (math.inf, math.inf)
    assert back.verdict is e.verdict
    assert back.data["h"] == [0.0, 1.0, 2.0]
    assert "refuted" in str(back)


def test_an_edited_record_is_refused():
    record = {**evidence(Equal(1.0), (2.0, 3.0)).to_json(), "verdict": "holds"}
    with pytest.raises(BadInput, match="fields say 'refuted'"):
        Evidence.from_json(record)


def test_bad_relations_are_refused():
    with pytest.raises(BadInput, match="natural unit"):
        Equal(0.0)
    with pytest.raises(BadInput, match="NaN"):
        UpperBound(math.nan)
    with pytest.raises(BadInput, match="empty range"):
        Range(2.0, 1.0)
    with pytest.raises(BadInput, match="unknown relation"):
        relation_from_json({"kind": "roughly"})
