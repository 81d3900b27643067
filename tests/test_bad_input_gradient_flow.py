"""Bad input to problems, flows and certificates of gradient flow: a sentence each."""

import numpy as np
import pytest

import discretize
from flows import BadInput, LogTimeFlow, PreconditionedFlow
from flows.problems import digits_mlp, quadratic


def certificate(target=(("1",),), factors=((("1/2",),), (("2/5",),)), **options):
    options = {"t1": "1", "eps": 0.05, "pieces": 4, **options}
    return discretize.certify_linear_net(target, factors, **options)


def shuffled(batches):
    objective, _ = digits_mlp(rows=8, hidden=2)
    return discretize.ShuffledFlow(objective, batches, 0.1)


CASES = {
    "negative row": (lambda: shuffled([[0, -1]]), "row indices >= 0"),
    "repeated row": (lambda: shuffled([[0, 1], [1, 2]]), "each row once"),
    "row beyond": (lambda: shuffled(np.arange(10).reshape(2, 5)), "cover all 8 rows"),
    "rows left out": (lambda: shuffled([[0, 1], [2, 3]]), "cover all 8 rows"),
    "terms true": (lambda: discretize.sgd_modified(True), "from 1 to 8"),
    "no cells": (lambda: certificate(cells=0), "cells is a whole number"),
    "no time": (lambda: certificate(t1="0"), "T > 0"),
    "floats": (lambda: certificate(target=((0.3,),)), "exact data"),
    "rows of text": (lambda: certificate(target=("12",)), "sequence of rows"),
    "shapes": (lambda: certificate(target=(("1", "2"),)), "fitting shapes"),
    "matrix of text": (lambda: quadratic("a"), "real numbers"),
    "no layer": (lambda: digits_mlp(hidden=()), "at least one width"),
    "asymmetric P": (
        lambda: PreconditionedFlow(quadratic([1.0, 2.0]), [[1.0, 0.5], [0.0, 1.0]]),
        "symmetric",
    ),
    "indefinite P": (
        lambda: PreconditionedFlow(quadratic([1.0, 2.0]), [1.0, -1.0]),
        "positive definite",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_words(name):
    call, says = CASES[name]
    with pytest.raises(BadInput, match=says):
        call()


def test_a_flow_in_log_time_is_made_of_a_flow():
    with pytest.raises((BadInput, TypeError), match=r"Flow"):
        LogTimeFlow(quadratic([1.0]))
