"""The benchmark program: its arithmetic, its page, and its cases at the smallest size.

No test here measures speed.
"""

import itertools
import json
import math
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import machine, report, run
from benchmarks.protocol import (
    TINY,
    Protocol,
    Ratio,
    Row,
    Samples,
    compared,
    measure,
    ratio,
    require_same,
)


def test_ratio_pairs_neighbours():
    # A disturbance that hits both neighbours leaves their ratio alone; the ratio of
    # the medians would be 4.
    ours, other = np.array([2.0, 2.0, 20.0]), np.array([1.0, 1.0, 10.0])
    assert ratio(ours, other) == Ratio(2.0, 2.0, 2.0)
    found = ratio(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.ones(5))
    assert found == Ratio(3.0, 2.0, 4.0)
    assert found.spread == pytest.approx(2 / 3)


def test_samples_take_the_median_of_cpu_and_see_a_busy_machine():
    samples = Samples(np.array([1.0, 3.0, 2.0]), np.array([1.0, 9.0, 2.0]))
    assert samples.seconds == 2.0
    assert samples.busy == 2.0


@pytest.mark.slow
def test_contenders_take_turns():
    called = []
    calls = {name: lambda name=name: called.append(name) for name in "ab"}
    protocol = Protocol(repeats=4, attempts=1, shortest=0.0)
    found = measure(calls, protocol)
    assert called[:4] == ["a", "b", "a", "b"]
    assert called[4:] == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert all(len(s.cpu) == len(s.wall) == 4 for s in found.values())
    assert all(math.isfinite(s.first) for s in found.values())


@pytest.mark.slow
def test_a_noisy_measurement_is_repeated_and_the_calmest_kept(monkeypatch):
    # Four calls before the first attempt; then two attempts of two samples each: in
    # the first attempt the wall runs three times as fast as the CPU's clock.
    clock = itertools.count()
    monkeypatch.setattr("time.process_time", lambda: float(next(clock)))
    walls = iter([float(t) for t in [*[0, 1] * 4, *[0, 3] * 4, *[0, 1] * 4]])
    monkeypatch.setattr("time.perf_counter", lambda: next(walls))
    calls = {"ours": lambda: None, "other": lambda: None}
    found = measure(calls, Protocol(repeats=2, attempts=3, shortest=0.0))
    assert [s.busy for s in found.values()] == [1.0, 1.0]
    assert next(walls, None) is None


def test_other_results_are_not_compared():
    x = np.ones(3)
    require_same(x, x * (1 + 1e-12))
    for other in (x * (1 + 1e-6), x[:2], x * np.nan):
        with pytest.raises(RuntimeError, match="differ"):
            require_same(x, other)


def rows():
    ours = Samples(np.array([2.0, 2.0]), np.array([2.0, 2.0]), 5.0)
    other = Samples(np.array([1.0, 1.0]), np.array([1.0, 1.0]), 4.0)
    pair = {"ours": ours, "other": other}
    return [
        compared("first", "slow", pair, target=1.1),
        compared("first", "fast enough", pair, target=2.5),
        Row("second", "alone", "ms", 1234.5),
    ]


def test_a_row_meets_its_target_or_not():
    assert [row.met for row in rows()] == [False, True, None]
    slow = rows()[0]
    assert (slow.ours, slow.other, slow.unit) == (2000.0, 1000.0, "ms")
    assert slow.first == (5.0, 4.0)


def test_the_page_has_a_table_a_case_and_the_machine():
    page = report.markdown(rows(), {"processor": "abacus"})
    assert page.count("\n## ") == 3
    table = page.split("## first\n\n")[1].split("\n\n")[0].splitlines()
    assert len(table) == 4
    assert len({line.count("|") for line in table}) == 1
    cells = [cell.strip() for cell in table[2].strip("|").split("|")]
    ratio_cell = "2.000 (2.000 to 2.000)"
    assert cells[:5] == ["slow", "2,000 ms", "1,000 ms", ratio_cell, "1.1, **missed**"]
    assert "2.5, met" in table[3]
    # Columns that nothing fills are left out.
    assert "ratio" not in page.split("## second")[1]
    assert "- processor: abacus" in page


def test_noise_around_a_target_decides_nothing():
    around = Row("c", "p", "ms", 1.0, 1.0, Ratio(1.08, 1.04, 1.12), target=1.05)
    assert around.met is None
    assert report.cells(around)[4] == "1.05, undecided"
    above = Row("c", "p", "ms", 1.0, 1.0, Ratio(1.08, 1.06, 1.12), target=1.05)
    assert above.met is False


def test_noise_is_said():
    row = Row("c", "p", "ms", 1.0, 1.0, Ratio(1.0, 0.9, 1.2), busy=1.0)
    assert "(noisy)" in report.cells(row)[6]
    calm = Row("c", "p", "ms", 1.0, 1.0, Ratio(1.0, 0.99, 1.02), busy=1.0)
    assert "(noisy)" not in report.cells(calm)[6]


def test_json_is_strict():
    row = Row("c", "p", "ms", 1.0, first=(math.nan, 2.0))

    def refuse(name):
        raise AssertionError(name)

    found = json.loads(report.as_json([row], {"core": "1"}), parse_constant=refuse)
    assert found["machine"] == {"core": "1"}
    assert found["rows"][0]["first"] == [None, 2.0]
    assert found["rows"][0]["met"] is None


def test_the_machine_is_described():
    about = machine.description(None)
    assert about["core"] == "not pinned"
    assert about["jax"] == jax.__version__
    assert about["processor"]


def test_results_are_written_of_full_sizes_only():
    with pytest.raises(SystemExit, match="full size"):
        run.main(["--write", "--tiny"])


def test_a_case_measured_later_takes_its_place_in_the_page():
    about = {"processor": "abacus", "core": "1", "load at the start": "0.1"}
    page = report.markdown(rows(), about)
    later = [Row("second", "new", "ms", 7.0), Row("third", "new", "ms", 8.0)]
    found = report.merged(page, later, about | {"core": "0", "load at the start": "2"})
    heads = [part.split("\n")[0] for part in found.split("\n## ")[1:]]
    assert heads == ["first", "second", "third", "Machine"]
    first = page.split("## first")[1].split("\n## ")[0]
    assert first in found and "7 ms" in found.split("## second")[1].split("## ")[0]
    assert "load at the start 2." in found.split("## third")[1]
    assert found.split("## Machine")[1] == page.split("## Machine")[1]
    with pytest.raises(ValueError, match="another machine"):
        report.merged(page, later, about | {"processor": "another"})


LONG = {
    "central_flow",
    "complementarity",
    "ensembles",
    "ensembles_diffrax",
    "ensembles_memory",
    "gradient_flow",
    "inertial",
    "inertial_steps",
    "jump_processes",
    "loops",
    "optimisers",
    "regimes",
    "solve",
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(c, marks=[pytest.mark.slow] if c in LONG else [])
        for c in run.CASES
        if c != "imports"
    ],
)
def test_a_case_runs(case):
    # The scans by hand and optax itself are not written for strict promotion.
    with jax.numpy_dtype_promotion("standard"):
        found = import_module(f"benchmarks.cases.{case}").rows(TINY)
    assert found
    assert all(math.isfinite(row.ours) for row in found)
    assert len({(row.case, row.problem) for row in found}) == len(found)
    assert report.markdown(found, {})


def test_import_times_are_those_of_a_fresh_interpreter():
    imports = import_module("benchmarks.cases.imports")
    cpu, wall = imports.once("assert 'jax' not in __import__('sys').modules")
    assert 0 < cpu < 60
    assert 0 < wall < 60
    with pytest.raises(RuntimeError, match="failed"):
        imports.once("import sys; sys.stderr.close(); sys.exit(1)")


def test_contenders_return_what_can_be_waited_for():
    found = measure({"ours": lambda: jnp.ones(3)}, TINY)
    assert found["ours"].cpu.shape == (1,)
