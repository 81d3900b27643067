"""`sde.simulate` beside a scan, NumPy in place and a loop in C; one long path."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import ensemble_contenders as other
from benchmarks.protocol import Protocol, Ratio, Row, Samples, measure, ratio
from discretize import Euler, TamedEuler
from flows import iterate
from flows.problems import double_well
from sde import OverdampedLangevin, draw_noise, simulate

CASE = "ensembles: tamed Euler on a double well, float64 state, beside other ways"
PATH = "ensembles: one long path, noise and all"
NOISES = ("float32", "float64", "inversion-float32", "inversion-float64")
BUDGET = 40e-9  # seconds a step of one path in one dimension


def ours(noise: str, paths: int, steps: int):
    run = simulate(
        OverdampedLangevin(double_well(), 1 / other.BETA),
        jnp.ones(1),
        t1=other.H * steps,
        scheme=TamedEuler(),
        h=other.H,
        key=0,
        paths=paths,
        noise=noise,
    )
    return run.states.ravel()


def require_same_law(a, b) -> None:
    """Second moments within 6 standard errors: other draws, the same law."""
    a, b = np.asarray(a) ** 2, np.asarray(b) ** 2
    error = np.sqrt(a.var() / a.size + b.var() / b.size)
    if not abs(a.mean() - b.mean()) <= 6 * error:
        raise RuntimeError(f"second moments differ: {a.mean():.4f} and {b.mean():.4f}")


def speeds(problem, mine, theirs, work=(1, 1), target=None, note="", case=CASE) -> Row:
    """Steps a second of both, and the ratio of the times of one step."""
    a, b = (
        Samples(s.cpu / w, s.wall / w, s.first)
        for s, w in zip((mine, theirs), work, strict=True)
    )
    return Row(
        case,
        problem,
        "M steps/s",
        1e-6 / a.seconds,
        1e-6 / b.seconds,
        ratio(a.cpu, b.cpu),
        target,
        (a.first, b.first),
        max(a.busy, b.busy),
        note,
    )


def ensembles(protocol: Protocol) -> list[Row]:
    paths, steps = (64, 10) if protocol.tiny else (10_000, 1_000)
    key, size = jax.random.key(0), (paths, steps)
    noises = NOISES[:1] if protocol.tiny else NOISES
    calls = {name: functools.partial(ours, name, *size) for name in noises}
    widths = ("float32",) if protocol.tiny else ("float32", "float64")
    scans = {f"scan {r}": r for r in widths}
    for name, resolution in scans.items():
        calls[name] = functools.partial(other.scan, key, *size, resolution)
    calls["NumPy"] = functools.partial(other.numpy_in_place, *size)
    loops = other.c_loops()
    if not isinstance(loops, str):
        calls |= {f"C {r}": functools.partial(f, *size) for r, f in loops.items()}
    found = measure(calls, protocol)
    for call in calls.values():
        require_same_law(calls["float32"](), call())
    row = functools.partial(_row, found, paths * steps)
    out = [
        row("float32", "scan float32", "a scan, float32 normals", 1 / 0.95),
        row("float32", "NumPy", "NumPy in place, SFC64", 1 / 1.5),
    ]
    if not protocol.tiny:
        out += [
            row("float64", "scan float64", "a scan, float64 normals", 1 / 0.95),
            row("inversion-float32", "scan float32", "a scan, float32 normals"),
            row("inversion-float64", "scan float64", "a scan, float64 normals"),
        ]
    if isinstance(loops, str):
        speed = 1e-6 * paths * steps / found["float32"].seconds
        return [*out, Row(CASE, "a loop in C", "M steps/s", speed, note=loops)]
    return [
        *out,
        row("float32", "C float64", "a loop in C, float64 normals", 1 / 0.4),
        row("float32", "C float32", "a loop in C, float32 normals", 1 / 0.4),
    ]


def _row(found, work, noise, name, words, target=None) -> Row:
    problem = f'noise="{noise}", beside {words}'
    return speeds(problem, found[noise], found[name], (work, work), target)


def one_path(protocol: Protocol) -> list[Row]:
    """`draw_noise` and `iterate` together, a step."""
    steps = 100 if protocol.tiny else 1_000_000
    process, y = OverdampedLangevin(double_well(), 1 / other.BETA), jnp.ones(1)
    scheme = Euler()

    def call(save):
        noise = draw_noise(scheme, process, y, 0, steps)
        return iterate(
            scheme, process, y, h=other.H, steps=steps, noise=noise, save=save
        ).states

    saves = {"saving the last": "last"}
    if not protocol.tiny:
        saves |= {"saving all": "all"}
    calls = {name: functools.partial(call, save) for name, save in saves.items()}
    found = measure(calls, protocol)
    rows = []
    for name, samples in found.items():
        lower, median, upper = np.quantile(
            samples.cpu / steps / BUDGET, [0.25, 0.5, 0.75]
        )
        rows.append(
            Row(
                PATH,
                f"d = 1, {steps:,} steps of Euler, {name}",
                "ns a step",
                samples.seconds / steps * 1e9,
                ratio=Ratio(float(median), float(lower), float(upper)),
                target=1.0,
                first=(samples.first,),
                busy=samples.busy,
                note="ratio to a budget of 40 ns",
            )
        )
    return rows


def rows(protocol: Protocol) -> list[Row]:
    return ensembles(protocol) + one_path(protocol)
