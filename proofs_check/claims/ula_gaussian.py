"""The unadjusted Langevin algorithm on Gaussians: its bias, and two bounds on it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from discretize import Euler, Splitting, TransitionKernel, linear_step
from discretize.chain_laws import kl_divergence_1d, wasserstein_1d
from flows import Scheme
from flows.problems import quadratic
from proofs_check import decide
from proofs_check.claim import DIVERGED, Source, claim
from proofs_check.context import Context
from proofs_check.evidence import Evidence
from proofs_check.identities import identical
from proofs_check.papers import tula_paper
from sde import OrnsteinUhlenbeck, OverdampedLangevin, gibbs_law

VEMPALA_WIBISONO = Source(
    title="Rapid Convergence of the Unadjusted Langevin Algorithm: Isoperimetry "
    "Suffices",
    authors="Santosh S. Vempala and Andre Wibisono",
    year=2019,
    arxiv="1903.08568",
    location="Theorem 1",
)
DALALYAN_KARAGULYAN = Source(
    title="User-friendly guarantees for the Langevin Monte Carlo with inaccurate "
    "gradient",
    authors="Arnak S. Dalalyan and Avetik G. Karagulyan",
    year=2019,
    arxiv="1710.00095",
    location="Theorem 1",
)
CURVATURES = np.array([1.0, 4.0])
START = np.array([3.0, -2.0])
STEPS = 2000


# The stationary law in closed form.


def _distances(step: float) -> dict[str, float]:
    """W₂, W₁ and KL between N(0, s) and N(0, 1), s = 1/(1 - h/2)."""
    s = 1 / (1 - step / 2)
    w2 = math.sqrt(s) - 1
    kl = (s - 1 - math.log(s)) / 2
    return {"W2": w2, "W1": math.sqrt(2 / math.pi) * w2, "KL": kl}


def _measured(ctx: Context, scheme: Scheme) -> Iterator[Evidence]:
    h = float(ctx.parameters["h"])
    process = OrnsteinUhlenbeck(1.0, 0.0, 1.0)
    kernel = TransitionKernel(scheme, process, h, box=(-12.0, 12.0), resolution=12)
    law = kernel.stationary()
    target = gibbs_law(OverdampedLangevin(quadratic([1.0]), 1.0)).density(kernel.nodes)
    nodes = kernel.nodes
    found = {
        "W2": wasserstein_1d(nodes, law.density, target, 2),
        "W1": wasserstein_1d(nodes, law.density, target, 1),
        "KL": kl_divergence_1d(nodes, law.density, target),
    }
    for name, claimed in _distances(h).items():
        value = decide.Measurement(found[name].value, bias=found[name].bound)
        yield decide.equal(claimed, value, delta=ctx.delta, quantity=name)


@claim(
    "langevin.ula-distances",
    title="The bias of the unadjusted algorithm on a Gaussian, in three distances",
    source=tula_paper("the unadjusted algorithm; elementary on a Gaussian"),
    statement=r"W_2 = \sqrt{T/a}\,(\sqrt s - 1),\quad W_1 = \sqrt{2/\pi}\,W_2,\quad"
    r" \mathrm{KL} = \tfrac12(s - 1 - \ln s),\quad s = \frac{1}{1 - ha/2}",
    hypotheses=(("$ha < 2$", lambda p: p["h"] < 2),),
    grade="measured",
    delta=1e-6,
    quick_delta=1e-6,
    parameters={"h": 0.5},
)
def ula_distances(ctx: Context) -> Iterator[Evidence]:
    """Distances of the chain's stationary density to the Gibbs density; a = T = 1.

    Neither density knows the formula: one is the kernel's eigenvector, the other is
    normalised by quadrature.
    """
    yield from _measured(ctx, Euler())


@ula_distances.control("the exact step instead of Euler's")
def _(ctx: Context) -> Evidence:
    return next(_measured(ctx, Splitting("O")))


@ula_distances.route("leading terms", grade="proved")
def _(ctx: Context) -> Iterator[Evidence]:
    """KL = (ha)²/16 + O(h³) and W₂ = √(T/a) ha/4 + O(h²): orders two and one."""
    import sympy

    h, a, temperature = sympy.symbols("h a T", positive=True)
    s = 1 / (1 - h * a / 2)
    kl = sympy.series((s - 1 - sympy.log(s)) / 2, h, 0, 3).removeO()
    w2 = sympy.series(sympy.sqrt(temperature / a) * (sympy.sqrt(s) - 1), h, 0, 2)
    claimed = sympy.sqrt(temperature / a) * h * a / 4
    for name, left, right in (
        ("KL = (ha)²/16 + …", kl, (h * a) ** 2 / 16),
        ("W₂ = √(T/a) ha/4 + …", w2.removeO(), claimed),
    ):
        yield identical(left, right, name, quantity=name)


# Two theorems, one-sided, along the whole chain.


class Path(NamedTuple):
    """Distances of an exact Gaussian chain to its target, at the steps 0, 1, ….

    Attributes:
        kl: KL(law of X_k | π), shape [steps + 1].
        w2: W₂, same shape.
    """

    kl: np.ndarray
    w2: np.ndarray


def _path(h: float) -> Path:
    """From N(start, I/10); T = 1. Means and variances by the scheme's own matrices."""
    process = OverdampedLangevin(quadratic(CURVATURES), 1.0)
    step = linear_step(Euler(), process, h)
    mean, covariance = START, np.eye(2) / 10
    rows = []
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(STEPS + 1):
            rows.append((mean, np.diag(covariance)))
            mean = step.matrix @ mean + step.shift
            spread = step.noise @ step.noise.T
            covariance = step.matrix @ covariance @ step.matrix.T + spread
    means, variances = (np.array(a) for a in zip(*rows, strict=True))
    ratio = variances * CURVATURES
    kl = (ratio - 1 - np.log(ratio) + CURVATURES * means**2).sum(axis=1) / 2
    gaps = (np.sqrt(variances) - 1 / np.sqrt(CURVATURES)) ** 2
    return Path(kl, np.sqrt((means**2 + gaps).sum(axis=1)))


def _held(ctx: Context, path: np.ndarray, bound: np.ndarray) -> Iterator[Evidence]:
    """Distance over bound, one-sided against 1: the largest; the last (the bias)."""
    if not path[-1] <= path[0]:
        yield ctx.diverged(1.0)
        return
    ratio = path / bound
    k = int(np.argmax(ratio))
    places = {"whole chain": (k, f"worst at step {k}"), "bias": (-1, "the last step")}
    for name, (place, note) in places.items():
        yield decide.upper_bound(
            1.0,
            decide.ladder([ratio[place]] * 3, condition=STEPS),
            delta=ctx.delta,
            quantity=name,
            note=f"one target, Hessian diag(1, 4); {note}",
        )


def _kl_bound(h: float, floor: float, first: float) -> np.ndarray:
    """e^{-αhk} KL₀ + floor · 8hdL²/α with α = 1, L = 4, d = 2."""
    k = np.arange(STEPS + 1)
    return np.exp(-h * k) * first + floor * 8 * h * 2 * CURVATURES[1] ** 2


@claim(
    "langevin.ula-kl-bound",
    title="The unadjusted algorithm under a log-Sobolev inequality: the bound on KL",
    source=VEMPALA_WIBISONO,
    statement=r"\mathrm{KL}(\rho_k\,|\,\pi) \le e^{-\alpha hk}\,\mathrm{KL}(\rho_0\,|\,"
    r"\pi) + \frac{8hdL^2}{\alpha}",
    hypotheses=(
        r"$\pi \propto e^{-f}$, log-Sobolev constant $\alpha$, $|\nabla^2 f| \le L$",
        ("$h \\le \\alpha/(4L^2)$", lambda p: p["h"] <= 1 / 64),
    ),
    grade="measured",
    delta=0.0,
    unit="of the bound",
    parameters={"h": 1 / 64},
)
def ula_kl_bound(ctx: Context) -> Iterator[Evidence]:
    """Along 2000 exact steps; in the end the bias is 7e-5 of its bound, and O(h²)."""
    h = float(ctx.parameters["h"])
    kl = _path(h).kl
    yield from _held(ctx, kl, _kl_bound(h, 1.0, kl[0]))


@ula_kl_bound.control("no bias term: KL would tend to 0")
def _(ctx: Context) -> Evidence:
    h = float(ctx.parameters["h"])
    kl = _path(h).kl
    return next(_held(ctx, kl, _kl_bound(h, 0.0, kl[0])))


ula_kl_bound.control("a step of 2.1/L", expected=DIVERGED, parameters={"h": 2.1 / 4})


def _w2_bound(h: float, floor: float, first: float) -> np.ndarray:
    """(1 - mh)^k W₂(ν₀) + floor · 1.65 (M/m) √(hd) with m = 1, M = 4, d = 2."""
    k = np.arange(STEPS + 1)
    return (1 - h) ** k * first + floor * 1.65 * CURVATURES[1] * math.sqrt(h * 2)


@claim(
    "langevin.ula-w2-bound",
    title="The unadjusted algorithm, strongly convex: the bound on the distance W₂",
    source=DALALYAN_KARAGULYAN,
    statement=r"W_2(\nu_k, \pi) \le (1 - mh)^k\,W_2(\nu_0, \pi) + 1.65\,\frac Mm"
    r"\sqrt{hd}",
    hypotheses=(
        r"$mI \le \nabla^2 f \le MI$",
        ("$h \\le 2/(m + M)$", lambda p: p["h"] <= 2 / 5),
    ),
    grade="measured",
    delta=0.0,
    unit="of the bound",
    parameters={"h": 1 / 64},
)
def ula_w2_bound(ctx: Context) -> Iterator[Evidence]:
    """Along 2000 exact steps; in the end the bias is 8e-3 of its bound, and O(h)."""
    h = float(ctx.parameters["h"])
    w2 = _path(h).w2
    yield from _held(ctx, w2, _w2_bound(h, 1.0, w2[0]))


@ula_w2_bound.control("no bias term: the distance would tend to 0")
def _(ctx: Context) -> Evidence:
    h = float(ctx.parameters["h"])
    w2 = _path(h).w2
    return next(_held(ctx, w2, _w2_bound(h, 0.0, w2[0])))


ula_w2_bound.control("a step of 2.1/M", expected=DIVERGED, parameters={"h": 2.1 / 4})
