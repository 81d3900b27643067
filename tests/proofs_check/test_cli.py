"""The command line: what it prints, writes and returns."""

import json

import pytest
from toys import TOYS, constant, unit_rate

from flows.display import width_of
from flows.errors import BadInput, WrongDistribution
from proofs_check import Equal, Registry, check, claim
from proofs_check.cli import main
from proofs_check.environment import prepare_process, require_own_packages
from proofs_check.table import count_line, results_lines


def run(*arguments, registry=TOYS):
    return main([str(a) for a in arguments], registry=registry)


@pytest.fixture(autouse=True)
def own_process(monkeypatch, tmp_path):
    """The process is set up by the tests' own configuration."""
    monkeypatch.setattr("proofs_check.cli.prepare_process", lambda device: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def refuted():
    registry = Registry()
    made = claim("bad.rate", source="me", relation=Equal(1.0), registry=registry)(
        lambda ctx: constant(ctx, 1.5)
    )
    made.control("broken", expected=2.0)(lambda ctx: constant(ctx, 2.0))
    return registry


def test_list_shows_the_claims(capsys):
    assert run("list") == 0
    assert "toy.unit-rate" in capsys.readouterr().out
    assert run("list", "scheme", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == ["scheme.euler-order"]
    assert run("list", "--family", "toy") == 0
    assert "scheme" not in capsys.readouterr().out


def test_show_prints_all_of_a_claim(capsys):
    assert run("show", "toy.unit-rate") == 0
    shown = capsys.readouterr().out
    for part in ("1511.06251", "rate doubled, must find 2.0", "1/time", "rate = 1.0"):
        assert part in shown


def test_an_unknown_claim_is_wrong_usage_with_the_nearest_names(capsys):
    assert run("run", "toy.unit_rat") == 2
    assert "nearest: toy.unit-rate" in capsys.readouterr().err
    assert run("show", "toys") == 2
    assert run("list", "--family", "schem") == 2


@pytest.mark.parametrize(
    "wrong", [["run", "--jobs", "0"], ["run", "--effort", "x"], []]
)
def test_wrong_options_are_wrong_usage(wrong, capsys):
    with pytest.raises(SystemExit) as stop:
        main(wrong, registry=TOYS)
    assert stop.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_run_writes_table_json_and_report(tmp_path, capsys):
    path = tmp_path / "run.json"
    report = tmp_path / "report"
    arguments = ("--effort", "full", "--json", path, "--report", report)
    assert run("run", *arguments) == 0
    shown = capsys.readouterr()
    assert "3 claims: 3 holds" in shown.out
    assert "[3/3] toy.unit-rate: ✓ holds" in shown.err
    stored = json.loads(path.read_text())
    assert [record["verdict"] for record in stored["claims"]] == ["holds"] * 3
    assert "<math" in (report / "index.html").read_text()


def test_a_claim_that_does_not_hold_is_exit_one(capsys):
    assert run("run", registry=refuted()) == 1
    assert "refuted: bad.rate: main check" in capsys.readouterr().out


def test_quick_runs_leave_out_what_is_for_full_ones(capsys):
    assert run("run") == 0
    assert "full only: algebra.square" in capsys.readouterr().err
    assert run("run", "algebra") == 2


def test_an_empty_catalogue_is_wrong_usage(capsys):
    assert run("run", registry=Registry()) == 2
    assert "no claim to run" in capsys.readouterr().err


def test_a_resumed_run_keeps_what_is_done(tmp_path, capsys):
    path = tmp_path / "run.json"
    assert run("run", "toy", "--json", path) == 0
    seconds = json.loads(path.read_text())["claims"][0]["seconds"]
    capsys.readouterr()
    assert run("run", "--json", path, "--resume") == 0
    shown = capsys.readouterr()
    assert "kept from the earlier run: 1" in shown.err
    assert "[1/1] scheme.euler-order" in shown.err
    stored = json.loads(path.read_text())["claims"]
    assert [r["id"] for r in stored] == ["scheme.euler-order", "toy.unit-rate"]
    assert stored[1]["seconds"] == seconds
    assert run("run", "--json", path, "--resume", "--seed", 1) == 2
    assert "seed 0, this run has seed 1" in capsys.readouterr().err
    assert run("run", "--resume") == 2
    assert run("run", "toy", "--json", tmp_path / "new.json", "--resume") == 0


def test_an_interrupt_keeps_what_is_done(tmp_path, capsys):
    registry = Registry()
    registry.add(unit_rate)

    @claim("z.last", source="me", registry=registry)
    def last(ctx):
        raise KeyboardInterrupt

    last.control("none")(lambda ctx: constant(ctx, 2.0))
    path = tmp_path / "run.json"
    assert run("run", "--json", path, registry=registry) == 130
    assert [r["id"] for r in json.loads(path.read_text())["claims"]] == [
        "toy.unit-rate"
    ]
    shown = capsys.readouterr()
    assert "interrupted: 1 of 2 ran" in shown.err
    assert "toy.unit-rate" in shown.out


def test_several_processes_find_the_same(tmp_path):
    alone, together = tmp_path / "one.json", tmp_path / "two.json"
    assert run("run", "--json", alone) == 0
    assert run("run", "--json", together, "--jobs", 2) == 0

    def numbers(path):
        records = json.loads(path.read_text())["claims"]
        return [(r["id"], r["measured"], r["interval"], r["controls"]) for r in records]

    assert numbers(alone) == numbers(together)


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_the_table_fits_the_terminal(width):
    results = [check(made, effort="full") for made in TOYS.values()]
    lines = results_lines(results, width)
    assert max(width_of(line) for line in lines) <= width
    text = "\n".join(lines)
    assert all(result.id in text for result in results)
    assert "[0.9999, 1.0001]" in text
    assert count_line(results) == "3 claims: 3 holds"


def test_packages_of_another_distribution_are_refused():
    with pytest.raises(WrongDistribution, match=r"'json' comes from .*json"):
        require_own_packages(("json",))
    with pytest.raises(WrongDistribution, match="not importable"):
        require_own_packages(("flowtheory_is_absent",))
    require_own_packages(("proofs_check",))


def test_a_device_of_no_known_kind_is_refused():
    with pytest.raises(BadInput, match="'cpu' or 'gpu'"):
        prepare_process("tpu")
