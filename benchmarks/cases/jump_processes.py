"""`sde.simulate_skeletons` beside diffrax, NumPy loops and the package pdmp-jax."""

import functools
import json
import os
import subprocess
import time
import venv
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import sde
from benchmarks import jump_contenders as other
from benchmarks.cases.ensembles import require_same_law
from benchmarks.protocol import Protocol, Ratio, Row, Samples, measure, ratio
from flows import quadratic_sum
from flows.problems import quadratic

CASE = "jump processes: a switching quadratic with momentum, exact between jumps"
COST = "jump processes: cost of a jump as paths and jumps grow"
SAMPLERS = "jump processes: Zig-Zag and boomerang on a Gaussian beside pdmp-jax"
END, TOLERANCE, EVENTS = 50.0, 1e-8, 190
FOLDER = "PDMP_JAX"  # environment variable: where pdmp-jax is, or shall be, installed
SCRIPT = Path(__file__).parents[1] / "pdmp_jax_contender.py"


def process():
    losses = quadratic_sum(other.CENTRES[:, None], other.KAPPA)
    index = sde.UniformIndex(4, other.RATE)
    return sde.StochasticGradientMomentumProcess(
        losses, index, other.MASS, other.FRICTION
    )


def ours(paths: int, end: float):
    start = sde.SwitchingMomentumState(jnp.zeros(1), jnp.zeros(1), None)
    run = sde.simulate_skeletons(process(), start, t1=end, key=0, paths=paths)
    return run.final.position[:, 0]


def rates(case, problem, mine, theirs, work, target=None, note="") -> Row:
    """Jumps a second of both, and the ratio of the times of one jump."""
    a, b = (
        Samples(s.cpu / w, s.wall / w, s.first)
        for s, w in zip((mine, theirs), work, strict=True)
    )
    first = a.first, b.first
    figures = 1e-6 / a.seconds, 1e-6 / b.seconds
    shown = ratio(a.cpu, b.cpu), target, first, max(a.busy, b.busy), note
    return Row(case, problem, "M jumps/s", *figures, *shown)


def beside_others(protocol: Protocol) -> list[Row]:
    tiny = protocol.tiny
    sizes = {"ours": 10_000, "all paths": 10_000, "loop": 50, "diffrax": 128}
    sizes = {name: 8 if tiny else size for name, size in sizes.items()}
    index, words = process().index, jax.random.key_data(sde.noise.as_key(0))
    end = jnp.asarray(END)
    solve = functools.partial(
        other.diffrax_declared, index, words, sizes["diffrax"], EVENTS, end, TOLERANCE
    )
    calls = {
        "ours": functools.partial(ours, sizes["ours"], END),
        "all paths": functools.partial(other.numpy_all_paths, sizes["all paths"], END),
        "loop": functools.partial(other.event_loop, sizes["loop"], END),
        "diffrax": solve,
    }
    found = measure(calls, protocol)
    exact = np.asarray(calls["ours"]())
    gap = np.max(np.abs(exact[: sizes["diffrax"]] - np.asarray(calls["diffrax"]())))
    if not gap < 100 * TOLERANCE:
        raise RuntimeError(f"diffrax on the same jumps is {gap:.1e} away")
    if not tiny:
        require_same_law(exact, calls["all paths"]())
    jumps = {name: size * other.RATE * END for name, size in sizes.items()}
    names = {
        "diffrax": ("diffrax, Tsit5, jump times declared, vmapped", 1 / 50),
        "all paths": ("NumPy, jump by jump for all paths, closed form", None),
        "loop": ("an event loop in Python, path by path", None),
    }
    notes = dict.fromkeys(names, "")
    notes["diffrax"] = f"{sizes['diffrax']} paths; it is {gap:.0e} away from ours"
    return [
        rates(
            CASE,
            f"100 jumps a path, beside {words}",
            found["ours"],
            found[name],
            (jumps["ours"], jumps[name]),
            target,
            notes[name],
        )
        for name, (words, target) in names.items()
    ]


def few_jumps(protocol: Protocol) -> list[Row]:
    """20 jumps a path: the slowest of the paths makes twice as many as the mean."""
    paths, end = 16 if protocol.tiny else 10_000, END / 5
    calls = {
        "ours": functools.partial(ours, paths, end),
        "all paths": functools.partial(other.numpy_all_paths, paths, end),
    }
    found, work = measure(calls, protocol), (paths * other.RATE * end,) * 2
    return [
        rates(
            CASE,
            "20 jumps a path, beside NumPy, jump by jump for all paths",
            found["ours"],
            found["all paths"],
            work,
            note="NumPy keeps the ends alone, ours every jump",
        )
    ]


def cost(protocol: Protocol) -> list[Row]:
    """Four times the paths, four times the jumps: as long a jump, or shorter.

    Paths beyond a chunk fill memory that the system hands out anew, at a price of its
    own. So the paths are grown from a base of several chunks as well; that row has the
    target.
    """
    chunk = 16 if protocol.tiny else 10_000
    sizes = {
        "4 times the jumps": ((chunk, END), (chunk, 4 * END), 1.25),
        "4 times the paths": ((chunk, END), (4 * chunk, END), None),
        "4 times the paths again": ((4 * chunk, END), (16 * chunk, END), 1.25),
    }
    rows = []
    for name, (base, grown, target) in sizes.items():
        calls = {
            "base": functools.partial(ours, *base),
            "grown": functools.partial(ours, *grown),
        }
        found = measure(calls, protocol)
        work = tuple(n * t * other.RATE for n, t in (grown, base))
        problem = f"{name}, beside {base[0]:,} paths of 100 jumps"
        rows.append(rates(COST, problem, found["grown"], found["base"], work, target))
    return rows


def sampler_run(options: dict, end: float):
    """Exact time averages of independent chains that start in stationarity."""
    size, a = options["size"], options["correlation"]
    places = np.arange(size)
    covariance = a ** np.abs(places[:, None] - places[None, :])
    precision = np.linalg.inv(covariance)
    target = quadratic((precision + precision.T) / 2)
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal(np.zeros(size), covariance, options["chains"])
    if options["sampler"] == "zigzag":
        model, v = sde.ZigZag(target), rng.choice([-1.0, 1.0], x.shape)
    else:
        model = sde.Boomerang(target, options["refreshment"])
        v = rng.standard_normal(x.shape)
    start = sde.LangevinState(jnp.asarray(x), jnp.asarray(v))

    def call(key=0):
        run = sde.simulate_skeletons(
            model,
            start,
            t1=end,
            key=key,
            paths=options["chains"],
            events=options["events"],
        )
        return run.time_average(), run.rings

    return call


def effective(averages) -> float:
    """Independent draws worth one run: coordinates have mean 0 and variance 1."""
    return len(averages) / float(np.mean(np.asarray(averages) ** 2))


def interpreter() -> tuple[str | None, str]:
    """Python of the environment with pdmp-jax, or why there is none."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return None, f"not asked for: set {FOLDER} to a folder for its environment"
    python = Path(folder) / "bin" / "python"
    try:
        if not python.exists():
            venv.create(folder, with_pip=True)
        if _said(python, "-c", "import pdmp_jax"):
            why = _said(python, "-m", "pip", "install", "-q", "pdmp-jax")
            if why:
                return None, f"not installed: {why[-200:]}"
    except (OSError, subprocess.CalledProcessError) as error:
        return None, f"no environment: {error}"
    return str(python), ""


def _said(python: Path, *arguments: str) -> str:
    """Nothing where the command succeeds, else its last words."""
    command = [str(python), *arguments]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    return (done.stderr.strip() or "it failed") if done.returncode else ""


def contender(python: str, options: dict) -> dict:
    """What the script prints, in an environment of its own on the same core."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "JAX"))}
    done = subprocess.run(
        [python, str(SCRIPT), json.dumps(options)],
        capture_output=True,
        check=False,
        text=True,
        env=clean,
    )
    if done.returncode:
        raise RuntimeError(f"pdmp-jax failed: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout.splitlines()[-1])


def samplers(protocol: Protocol) -> list[Row]:
    python, why = interpreter()
    rows = []
    for sampler, end, held in (("zigzag", 200.0, 1600), ("boomerang", 400.0, 1200)):
        options = {"sampler": sampler, "size": 10, "correlation": 0.5}
        options |= {"refreshment": 0.5, "chains": 512, "events": held}
        if protocol.tiny:
            options, end = options | {"chains": 4, "events": 200, "size": 2}, 5.0
        call = sampler_run(options, end)
        first = time.process_time()
        jax.block_until_ready(call())
        first = time.process_time() - first
        seconds, worth, events = [], [], []
        for key in range(1, 2 if protocol.tiny else 6):
            cpu = time.process_time()
            averages, rings = jax.block_until_ready(call(key))
            seconds.append(time.process_time() - cpu)
            worth.append(effective(averages))
            events.append(int(np.sum(rings)))
        speed = np.mean(worth) / np.array(seconds)
        problem = f"{sampler}, d = {options['size']}, {options['chains']} chains"
        data = {"events a second": float(np.mean(events) / np.median(seconds))}
        if python is None or protocol.tiny:
            rows.append(
                Row(
                    SAMPLERS,
                    problem,
                    "ESS/s",
                    float(np.median(speed)),
                    first=(first,),
                    note=why,
                    data=data,
                )
            )
            continue
        asked = {k: options[k] for k in ("sampler", "size", "correlation")}
        asked |= {"refreshment": 0.5, "batched": True}
        tried = [contender(python, asked | {"chains": n}) for n in (32, 64)]
        theirs = max(tried, key=lambda out: out["effective_samples_per_second"])
        pace = theirs["effective_samples_per_second"]
        low, mid, high = np.quantile(pace / speed, [0.25, 0.5, 0.75])
        rows.append(
            Row(
                SAMPLERS,
                problem,
                "ESS/s",
                float(np.median(speed)),
                pace,
                Ratio(float(mid), float(low), float(high)),
                1 / 5,
                (first, theirs["first_call_cpu_seconds"]),
                note=f"pdmp-jax {theirs['version']} with jax {theirs['jax']}, "
                "the better of 32 and 64 chains vmapped (512 took minutes), float32, "
                f"{theirs['bound_violations']} violated bounds; million events/s: "
                f"{1e-6 * data['events a second']:.3g} and "
                f"{1e-6 * theirs['events_per_second']:.3g}",
                data=data | {"pdmp-jax": theirs},
            )
        )
    return rows


def rows(protocol: Protocol) -> list[Row]:
    first = beside_others(protocol) + few_jumps(protocol)
    return first + cost(protocol) + samplers(protocol)
