"""What needs an optional extra is skipped by name where that is missing."""

import json
import sys

import pytest
from toys import constant

from flows.errors import BadInput
from proofs_check import Equal, Registry, Verdict, check, claim, claims, extras
from proofs_check.cli import main
from proofs_check.record import from_record, to_record
from proofs_check.registry import listing
from proofs_check.report.html import claim_card, report_html, result_card

LINE = "needs PEPit: pip install 'flowtheory[pepit]'"


@pytest.fixture
def without_pepit(monkeypatch):
    def find(name):
        return None if name == "PEPit" else object()

    monkeypatch.setattr(extras, "find_spec", find)


def never(ctx):
    raise AssertionError("this part needs a package that is missing")


def catalogue(main_needs=(), route_needs=(), control_needs=None):
    """One claim: what needs a package must not run, all else holds."""
    registry = Registry()
    about = {"source": "me", "relation": Equal(1.0), "registry": registry}
    about["grade"] = "measured"
    first = never if main_needs else lambda ctx: constant(ctx, 1.0)
    made = claim("opt.rate", requires=main_needs, **about)(first)
    second = never if route_needs else lambda ctx: constant(ctx, 1.0)
    made.route("second", requires=route_needs)(second)
    made.control("plain", expected=2.0, requires=())(lambda ctx: constant(ctx, 2.0))
    if control_needs is not None:
        made.control("by SDP", requires=control_needs)(never)
    return registry


@pytest.fixture
def own_process(monkeypatch):
    monkeypatch.setattr("proofs_check.cli.prepare_process", lambda device: None)


def test_a_claim_without_its_extra_is_skipped_and_never_holds(without_pepit):
    made = catalogue(main_needs=("PEPit",))["opt.rate"]
    found = check(made)
    assert found.verdict is Verdict.SKIPPED
    assert (found.reason, found.checks, found.controls) == (LINE, (), ())
    assert found.grade is None
    assert [str(part) for part in found.skipped] == [f"route main: {LINE}"]
    assert LINE in str(found)
    again = from_record(to_record(found), made, "quick")
    assert again.verdict is Verdict.SKIPPED
    assert again.skipped == found.skipped


def test_with_its_extra_the_same_claim_runs(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: object())
    made = catalogue(main_needs=("PEPit",))["opt.rate"]
    found = check(made)
    assert found.verdict is Verdict.ERROR
    assert "needs a package" in found.reason
    assert found.skipped == ()


def test_a_route_and_a_control_without_their_extra_are_named(without_pepit):
    made = catalogue(route_needs=("PEPit",), control_needs=("PEPit", "clarabel"))
    quick, full = check(made["opt.rate"]), check(made["opt.rate"], effort="full")
    assert quick.verdict is full.verdict is Verdict.HOLDS
    assert [p.name for p in quick.skipped] == ["by SDP"]
    assert [p.name for p in full.skipped] == ["second", "by SDP"]
    assert [c.name for c in full.controls] == ["plain"]


def test_a_control_needs_what_its_claim_needs():
    made = claim("opt.c", source="me", requires=("PEPit",))(never)
    made.control("broken")(never)
    assert made.controls[0].requires == made.requires == ("PEPit",)
    assert made.route("other")(never) is never
    assert made.routes[1].requires == ()


def test_a_lone_control_that_is_skipped_proves_nothing(without_pepit):
    made = claim("opt.c", source="me", relation=Equal(1.0))(
        lambda ctx: constant(ctx, 1.0)
    )
    made.control("by SDP", requires=("PEPit",))(never)
    assert check(made).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize("wrong", [("numpy",), "PEPit"])
def test_a_package_that_no_extra_installs_is_refused(wrong):
    with pytest.raises(BadInput, match=r"extra installs|sequence"):
        claim("opt.c", source="me", requires=wrong)


def test_advice_names_each_extra_once(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert extras.advice(("PEPit", "clarabel", "sklearn")) == (
        "needs PEPit, clarabel, sklearn: pip install 'flowtheory[pepit,digits]'"
    )
    assert extras.advice(()) == ""


def test_the_command_line_names_what_it_skips(
    without_pepit, own_process, tmp_path, capsys
):
    registry, path = catalogue(main_needs=("PEPit",)), tmp_path / "run.json"
    assert main(["list"], registry=registry) == 0
    shown = capsys.readouterr().out
    assert "pepit (missing)" in shown
    assert f"skipped: opt.rate: {LINE}" in shown
    assert main(["list", "--json"], registry=registry) == 0
    assert json.loads(capsys.readouterr().out)[0]["skipped"] == LINE
    assert main(["show", "opt.rate"], registry=registry) == 0
    shown = capsys.readouterr().out
    assert "main (measured, needs PEPit)" in shown and LINE in shown
    assert main(["run", "--json", str(path)], registry=registry) == 0
    shown = capsys.readouterr().out
    assert f"skipped: opt.rate: {LINE}" in shown
    assert "1 claims: 1 skipped" in shown
    (record,) = json.loads(path.read_text())["claims"]
    assert record["verdict"] == "skipped"
    assert record["skipped"][0]["reason"] == LINE


def test_strict_extras_makes_a_skip_a_failure(without_pepit, own_process, capsys):
    whole, part = catalogue(main_needs=("PEPit",)), catalogue(route_needs=("PEPit",))
    assert main(["run", "--strict-extras"], registry=whole) == 1
    assert main(["run", "--strict-extras"], registry=part) == 0  # quick: not asked for
    full = ["run", "--effort", "full"]
    assert main(full, registry=part) == 0
    assert f"skipped: opt.rate, route second: {LINE}" in capsys.readouterr().out
    assert main([*full, "--strict-extras"], registry=part) == 1


def test_a_resumed_run_takes_up_what_was_skipped(
    monkeypatch, own_process, tmp_path, capsys
):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    registry, path = catalogue(control_needs=("PEPit",)), str(tmp_path / "run.json")
    assert main(["run", "--json", path], registry=registry) == 0
    assert main(["run", "--json", path, "--resume"], registry=registry) == 0
    assert "kept from the earlier run" not in capsys.readouterr().err


def test_the_report_names_what_it_skipped(without_pepit):
    made = catalogue(main_needs=("PEPit",))["opt.rate"]
    page = report_html([check(made)], {})
    assert 'class="badge skipped"' in page
    assert "flowtheory[pepit]" in page
    assert "No negative control" not in page
    part = check(catalogue(control_needs=("PEPit",))["opt.rate"])
    assert "Skipped: control <em>by SDP</em>" in result_card(part)
    assert "<h3>" in claim_card(made)
    assert "pepit (missing)" in str(listing([made]))


def test_the_worst_cases_of_the_catalogue_are_skipped_without_pepit(monkeypatch):
    monkeypatch.setitem(sys.modules, "PEPit", None)  # as if it were not installed
    found = check("gradient_flow.worst-case-accelerated")
    assert (found.verdict, found.reason) == (Verdict.SKIPPED, LINE)
    waiting = [c for c in claims().values() if "PEPit" in c.requires]
    assert len(waiting) >= 5
    assert all("clarabel" in c.requires for c in waiting)
    # the same Lyapunov functions are proved without any extra
    assert claims()["gradient_flow.accelerated-lyapunov"].requires == ()
