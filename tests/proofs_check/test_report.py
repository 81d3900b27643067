"""The page is whole, escaped, needs no network, and draws what the evidence holds."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from toys import TOYS, constant, euler_order, square, unit_rate

from proofs_check import (
    Equal,
    Evidence,
    Exact,
    Grade,
    Law,
    LowerBound,
    Range,
    Threshold,
    UpperBound,
    check,
    claim,
    write_report,
)
from proofs_check.report.html import report_html
from proofs_check.report.mathml import mathml, typeset
from proofs_check.report.pictures import figures, svg


def result_of(run, **options):
    made = claim("draw.it", source="me", **options)(run)
    made.control("shifted")(lambda ctx: constant(ctx, 2.0))
    return check(made)


def evidence(relation, measured, interval, data=None):
    return Evidence(
        relation, measured, interval, 0.01, 0.02, Grade.MEASURED, data=data or {}
    )


X = np.linspace(0.0, 1.0, 5)
KINDS = {
    "curves": evidence(
        Equal(1.0),
        1.0,
        (1.0, 1.0),
        {"kind": "curves", "x": X, "series": {"a": X, "b": X**2}, "ylabel": "y"},
    ),
    "distance": evidence(
        Exact(),
        1e-16,
        (0.0, 1e-15),
        {"kind": "curves", "distance": X * 1e-16, "rounding": 1e-15, "moved": 1e-3},
    ),
    "law": evidence(
        Law("uniform"),
        0.1,
        (0.0, 0.2),
        {"kind": "law", "x": X, "empirical": X**1.1, "law": X},
    ),
    "threshold": evidence(
        Threshold(0.5),
        0.5,
        (0.49, 0.51),
        {"kind": "threshold", "parameter": X, "growth": X - 0.5},
    ),
    "constant": evidence(Equal(1.0), 1.0, (0.9, 1.1), {"kind": "constant"}),
    "bound": evidence(UpperBound(1.0), 0.5, (0.4, 0.6)),
    "lower": evidence(LowerBound(1.0), 1.5, (1.4, np.inf)),
    "range": evidence(Range(0.0, 1.0), 0.5, (0.4, 0.6)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_data_is_drawn(kind):
    drawn = figures(result_of(lambda ctx: KINDS[kind]))
    assert drawn
    root = ET.fromstring(svg(drawn[0]))
    words = " ".join(root.itertext())
    assert root.tag.endswith("svg")
    wanted = {
        "curves": "b",
        "distance": "rounding allows",
        "law": "claimed law",
        "threshold": "claimed 0.5",
        "lower": "allowed",
    }
    assert wanted.get(kind, "claimed") in words


def test_an_order_shows_measured_claimed_and_control():
    (drawn,) = figures(check(euler_order))
    axes = drawn.axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0].startswith("measured: order 1 in")
    assert labels[1:] == ["claimed: order 1", "control: Heun's method (order 2)"]
    h, errors = axes.lines[0].get_data()
    assert np.allclose(errors, 0.3 * h * (1 + 0.2 * h), rtol=1e-12)


def test_identities_have_no_picture_and_incomplete_data_is_no_crash():
    assert figures(check(square, effort="full")) == []
    bare = replace(KINDS["law"], data={"kind": "law"})
    assert figures(result_of(lambda ctx: bare)) == []


def test_drawing_leaves_the_callers_settings_alone():
    before = dict(matplotlib.rcParams)
    for drawn in figures(check(unit_rate)):
        svg(drawn)
    assert dict(matplotlib.rcParams) == before


def test_the_page_is_whole_and_refers_to_nothing_outside(tmp_path):
    results = [check(made, effort="full") for made in TOYS.values()]
    page = write_report(results, tmp_path / "out").read_text()
    assert page.startswith("<!DOCTYPE html>")
    for made in TOYS:
        assert f'<article id="{made}"' in page
    assert not re.search(r"<(?:script|link|img|iframe)\b|url\((?!#)|@import", page)
    assert set(re.findall(r'href="(https?://[^/"]+)', page)) <= {"https://arxiv.org"}
    assert "Numerical <methods>" not in page
    assert page.count("<svg") == 2
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    # Each picture keeps its own ids: two on one page must not share a clip path.
    ids = re.findall(r'<clipPath id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_every_verdict_is_a_word_as_well_as_a_colour():
    def broken(ctx):
        raise ZeroDivisionError("a < b")

    wide = result_of(lambda ctx: constant(ctx, 1.0, half=0.1))
    page = report_html([result_of(broken), wide], {"jax": "0"})
    for word in ("! error", "? undecided", "ZeroDivisionError: a &lt; b"):
        assert word in page


def test_formulas_become_mathml_and_fall_back_to_code():
    assert mathml(r"\frac{1}{2}").startswith("<math")
    assert mathml(r"\frac{1").startswith("<code>")
    assert mathml(r"\nosuchcommand x < y") == ("<code>\\nosuchcommand x &lt; y</code>")
    mixed = typeset(r"for <all> $x > 0$ & more")
    assert mixed.startswith("for &lt;all&gt; <math")
    assert mixed.endswith("&amp; more")
    assert typeset("x^2", formula=True).startswith("<math")
    assert typeset("no formula") == "no formula"
    assert typeset("costs 5$") == "costs 5$"
