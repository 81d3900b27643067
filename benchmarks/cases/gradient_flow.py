"""Gradient flow, stiff and not: what an error costs, solver by solver."""

import math

import diffrax
import numpy as np

from benchmarks.protocol import Protocol, Ratio, Row, ratio
from benchmarks.work_precision import (
    OURS,
    Curve,
    Problem,
    digits,
    measure_curves,
    ours,
    scipy_run,
    stiff_quadratic,
)
from flows import RKC2, ROCK4

GRADIENTS = "gradient flow: gradients to an error, beside the best explicit solver"
TIME = "gradient flow: time to an error, beside scipy"
EXPLICIT = "Tsit5", "Dopri8", "DOP853"
ERRORS = 1e-4, 1e-5, 1e-6
TOLERANCES = 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8


def contenders(problem: Problem, stiff: bool, implicit: bool):
    """Solvers by name; explicit ones are left out where they would run for minutes."""
    found = {OURS: ours(problem, ROCK4()), "flows.RKC2": ours(problem, RKC2())}
    if not stiff:
        found |= {
            "Tsit5": ours(problem, diffrax.Tsit5()),
            "Dopri8": ours(problem, diffrax.Dopri8()),
            "DOP853": scipy_run(problem, "DOP853", False),
        }
    if implicit:
        found["Kvaerno5"] = ours(problem, diffrax.Kvaerno5())
        found["LSODA, Jacobian"] = scipy_run(problem, "LSODA", True)
        found["BDF, Jacobian"] = scipy_run(problem, "BDF", True)
    found["LSODA"] = scipy_run(problem, "LSODA", False)
    return found


def by_solver(
    problem: Problem, curves: dict[str, Curve], kind: str = "gradient flow, "
) -> list[Row]:
    """A line a solver: time and gradients at each error; the curves as data."""
    case = f"{kind}{problem.name}: CPU time to a relative error of 1e-5"
    found = []
    for name, curve in curves.items():
        parts = []
        for error in ERRORS:
            ms = 1e3 * float(np.median(curve.seconds_at(error)))
            if math.isnan(ms):
                parts.append(f"{error:g}: not reached")
                continue
            count = curve.gradients_at(error)
            many = "" if math.isnan(count) else f", {count:,.0f} gradients"
            parts.append(f"{error:g}: {ms:.3g} ms{many}")
        data = {
            "errors": curve.errors.tolist(),
            "gradients": curve.gradients.tolist(),
            "ms": (1e3 * np.median(curve.seconds, axis=1)).tolist(),
        }
        middle = 1e3 * float(np.median(curve.seconds_at(ERRORS[1])))
        if math.isnan(middle):  # not reached: the closest run
            middle = data["ms"][int(np.argmin(curve.errors))]
        note = "; ".join(parts)
        row = Row(case, name, "ms", middle, busy=curve.busy, note=note, data=data)
        found.append(row)
    return found


def fewer(problem: Problem, curves: dict[str, Curve]) -> list[Row]:
    """Gradients of ours over those of the best explicit solver, at each error."""
    found = []
    for error in ERRORS:
        mine = curves[OURS].gradients_at(error)
        others = {n: curves[n].gradients_at(error) for n in EXPLICIT if n in curves}
        name = min(others, key=lambda n: others[n])
        part = mine / others[name]
        same = Ratio(part, part, part)
        what = f"{problem.name}, error {error:g}"
        row = Row(GRADIENTS, what, "gradients", mine, others[name], same, 1 / 3)
        found.append(_noted(row, f"beside {name}"))
    return found


def faster(
    problem, curves, mine: str, rival: str, error: float, target, case: str = TIME
) -> Row:
    """CPU time of ours over a rival's, at an error."""
    a, b = (curves[name].seconds_at(error) for name in (mine, rival))
    what = f"{problem.name}, error {error:g}: {mine} beside {rival}"
    busy = max(curves[mine].busy, curves[rival].busy)
    ms = [1e3 * float(np.median(s)) for s in (a, b)]
    return Row(case, what, "ms", *ms, ratio(a, b), target, busy=busy)


def _noted(row: Row, note: str) -> Row:
    from dataclasses import replace

    return replace(row, note=note)


def quadratics(repeats: int, kappas, n: int) -> list[Row]:
    found = []
    for kappa in kappas:
        problem = stiff_quadratic(kappa, n)
        solvers = contenders(problem, stiff=kappa > 1e4, implicit=True)
        curves = measure_curves(problem, solvers, TOLERANCES[:-1], repeats)
        found += by_solver(problem, curves)
        if kappa > 100:
            rival = "LSODA, Jacobian"
            found += [faster(problem, curves, OURS, rival, e, 1.0) for e in ERRORS]
        if kappa == 1e3:
            found += fewer(problem, curves)
    return found


def networks(repeats: int, rows: int, times) -> list[Row]:
    """T = 20, where nothing is stiff, and a long time, where λ T is 4000."""
    found = []
    for t1, few in times:
        problem = digits(t1, rows if not few else min(rows, few))
        solvers = contenders(problem, stiff=False, implicit=False)
        if few:
            solvers.pop("LSODA")
        times_each = 1 if few else repeats  # the long time is for gradients alone
        curves = measure_curves(problem, solvers, TOLERANCES[:4], times_each)
        found += by_solver(problem, curves)
        if few:
            found += fewer(problem, curves)
            continue
        for mine in ("Tsit5", OURS):
            for rival in ("DOP853", "LSODA"):
                found.append(faster(problem, curves, mine, rival, 1e-5, 1 / 1.5))
    return found


def rows(protocol: Protocol) -> list[Row]:
    if protocol.tiny:
        return quadratics(1, (10.0,), 4)
    repeats = max(3, protocol.repeats // 2)
    found = quadratics(repeats, (10.0, 1e3, 1e5), 100)
    found += networks(3, 1000, ((20.0, 0), (200.0, 300)))
    order = {GRADIENTS: 0, TIME: 1}
    return sorted(found, key=lambda row: order.get(row.case, 2))
