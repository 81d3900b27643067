"""The catalogue itself: every claim holds, in the strict environment."""

import os

import jax
import pytest

from proofs_check import Verdict, check, claims
from proofs_check.extras import advice

IDS = sorted(claims())
QUICK = [name for name in IDS if not claims()[name].full_only]
# About a second each, or more. `make demo` checks every claim, these too.
LONG = {
    "central_flow.adaptive-edge",
    "central_flow.digits-scalar-rmsprop",
    "central_flow.edge-adam",
    "central_flow.edge-averages",
    "central_flow.edge-matrix",
    "central_flow.edge-matrix-average",
    "central_flow.edge-nadam",
    "central_flow.momentum-drift",
    "central_flow.monotone-loss",
    "central_flow.normalised-on-minimisers",
    "central_flow.optimisation-speed",
    "central_flow.projected-gd",
    "central_flow.root-on-minimisers",
    "central_flow.scalar-rmsprop-monotone",
    "central_flow.sphere-flow",
    "central_flow.sphere-means",
    "central_flow.sphere-norm",
    "central_flow.stationary-preconditioner",
    "central_flow.valley-momentum",
    "central_flow.valley-scalar-rmsprop",
    "central_flow.wall-euler",
    "central_flow.wall-sections",
    "gradient_flow.accelerated-lyapunov",
    "gradient_flow.acceleration",
    "gradient_flow.balancedness",
    "gradient_flow.balancedness-decay",
    "gradient_flow.balancedness-drift",
    "gradient_flow.balancedness-step",
    "gradient_flow.closed-forms",
    "gradient_flow.corridor",
    "gradient_flow.corridor-decrease",
    "gradient_flow.deep-linear-chain",
    "gradient_flow.deep-linear-curvature",
    "gradient_flow.deep-linear-end-to-end",
    "gradient_flow.deep-linear-hessian",
    "gradient_flow.deep-linear-singular-values",
    "gradient_flow.descent-lemma",
    "gradient_flow.digits-modified-order",
    "gradient_flow.digits-order",
    "gradient_flow.energy",
    "gradient_flow.error-bound",
    "gradient_flow.exponentiated-gradient-linear",
    "gradient_flow.first-order-law",
    "gradient_flow.gd-is-euler",
    "gradient_flow.growth-factor",
    "gradient_flow.heavy-ball-rate",
    "gradient_flow.heavy-ball-regulariser",
    "gradient_flow.heavy-ball-slip",
    "gradient_flow.implicit-regularisation",
    "gradient_flow.length",
    "gradient_flow.lyapunov",
    "gradient_flow.max-margin",
    "gradient_flow.max-margin-direction",
    "gradient_flow.max-margin-growth",
    "gradient_flow.modified-bernoulli",
    "gradient_flow.modified-curl",
    "gradient_flow.modified-fourth-derivative",
    "gradient_flow.modified-order-1",
    "gradient_flow.modified-order-2",
    "gradient_flow.modified-order-3",
    "gradient_flow.modified-order-4",
    "gradient_flow.modified-terms",
    "gradient_flow.momentum-slip",
    "gradient_flow.natural",
    "gradient_flow.nesterov-rate",
    "gradient_flow.nesterov-slip",
    "gradient_flow.neuron-balance",
    "gradient_flow.newton",
    "gradient_flow.normalised-arrival",
    "gradient_flow.one-step-defect",
    "gradient_flow.polyak-flow",
    "gradient_flow.polyak-sgd-is-euler",
    "gradient_flow.principal-corrected",
    "gradient_flow.principal-edge",
    "gradient_flow.principal-local-order",
    "gradient_flow.principal-quadratic",
    "gradient_flow.principal-terms",
    "gradient_flow.principal-turn",
    "gradient_flow.replicator",
    "gradient_flow.reshuffling-epoch",
    "gradient_flow.reshuffling-regulariser",
    "gradient_flow.rkc-stability",
    "gradient_flow.sign-sliding",
    "gradient_flow.step-logarithm",
    "gradient_flow.threshold-adam",
    "gradient_flow.weight-normalisation-beats-descent",
    "gradient_flow.weight-normalisation-invariant",
    "gradient_flow.weight-normalisation-limit",
    "gradient_flow.weight-normalised-descent-is-euler",
    "gradient_flow.worst-case-accelerated",
    "gradient_flow.worst-case-gradient-descent",
    "gradient_flow.worst-case-lyapunov",
    "inertial.bregman-energy",
    "inertial.dissipation",
    "inertial.escape-time",
    "inertial.gradient-scaling",
    "inertial.high-resolution-accelerated",
    "inertial.high-resolution-accelerated-start",
    "inertial.high-resolution-constants",
    "inertial.high-resolution-heavy-ball",
    "inertial.high-resolution-nesterov",
    "inertial.implicit-hessian",
    "inertial.inertial-scaling",
    "inertial.inna-order",
    "inertial.mode-rates",
    "inertial.modified-flow",
    "inertial.modified-order",
    "inertial.nag-c-bound",
    "inertial.nag-sc-bound",
    "inertial.nag-sc-is-sgd-nesterov",
    "inertial.newton-flow-gradient",
    "inertial.sgd-is-inna",
    "inertial.small-friction",
    "inertial.small-mass",
    "inertial.step-limit",
    "inertial.step-regimes",
    "inertial.sublinear-rate",
    "inertial.without-hessian",
    "inertial.worst-case-nag-c",
    "langevin.align-strong-order",
    "langevin.bias-constants",
    "langevin.bias-orders",
    "langevin.chain-identity",
    "langevin.colder-than-gibbs",
    "langevin.diffrax-temperature",
    "langevin.effective-potential",
    "langevin.euler-threshold",
    "langevin.excess-bound",
    "langevin.excess-limit",
    "langevin.excess-of-powers",
    "langevin.explosion-probability",
    "langevin.gibbs-invariant",
    "langevin.moment-bound",
    "langevin.mtula-rates",
    "langevin.noise-below-half-ulp",
    "langevin.oabao-variance",
    "langevin.obabo-variance",
    "langevin.optimisers-are-the-formulas",
    "langevin.quicsort-strong-order",
    "langevin.regularised-target",
    "langevin.should-strong-order",
    "langevin.splitting-radius",
    "langevin.splitting-stability",
    "langevin.stationary-identity",
    "langevin.steep-well-divergence",
    "langevin.steep-well-prefix",
    "langevin.steep-well-stall",
    "langevin.strong-order-additive",
    "langevin.strong-order-multiplicative",
    "langevin.tamed-diffrax-euler",
    "langevin.tamed-diffrax-milstein",
    "langevin.tamed-milstein-order",
    "langevin.taming-half-order",
    "langevin.theopoula-is-tamed-euler",
    "langevin.tusla-is-tamed-euler",
    "langevin.tusla-stability",
    "momentum_resnet.depth-limit",
    "momentum_resnet.exact-inversion",
    "momentum_resnet.representable",
    "momentum_resnet.stored-bits",
    "negative_curvature.power-method",
    "negative_curvature.sphere-flow",
    "negative_curvature.success",
    "pdmp.averaging-order",
    "pdmp.averaging-variance",
    "pdmp.barrier",
    "pdmp.best-mass",
    "pdmp.boomerang-invariance",
    "pdmp.bouncy-invariance",
    "pdmp.bouncy-law",
    "pdmp.continuous-data",
    "pdmp.continuous-data-simulated",
    "pdmp.contraction",
    "pdmp.dirichlet-law",
    "pdmp.erlang-waits",
    "pdmp.fluctuations",
    "pdmp.fluctuations-gaussian",
    "pdmp.heavy-ball-to-process",
    "pdmp.inhomogeneous-clock",
    "pdmp.linear-moments",
    "pdmp.losing-momentum",
    "pdmp.markov-averaging",
    "pdmp.minibatch-clock",
    "pdmp.moment-equations",
    "pdmp.momentum-destabilises",
    "pdmp.momentum-variance",
    "pdmp.states-at-jumps",
    "pdmp.stationary-bias",
    "pdmp.thinning-bound",
    "pdmp.time-averages",
    "pdmp.undeclared-switches",
    "pdmp.variance",
    "pdmp.vector-variance",
    "pdmp.weighted-sampling",
    "pdmp.zero-mass-order",
    "pdmp.zero-mass-variance",
    "sde_models.adam-order",
    "sde_models.adam-step",
    "sde_models.minibatch-covariance",
    "sde_models.rmsprop-order",
    "sde_models.rmsprop-step",
    "sde_models.sgd-constants",
    "sde_models.sgd-moments",
    "sde_models.sgd-order-1",
    "sde_models.sgd-order-2",
    "sde_models.square-root-rule-order",
    "spine.adam-is-a-splitting",
    "spine.rmsprop-is-a-splitting",
    "spine.rmsprop-order",
    "spine.scalar-rmsprop-is-a-splitting",
    "spine.splitting-defect",
    "spine.switch-law",
    "spine.switch-variance",
    "spine.ula-bias",
}


def need(name):
    """Skip, with the line that installs it, where a claim lacks an optional extra."""
    if reason := advice(claims()[name].requires):
        pytest.skip(reason)


def test_the_long_claims_are_claims():
    assert set(QUICK) >= LONG


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in QUICK],
)
def test_claim_holds_and_its_controls_are_caught(name):
    need(name)
    # optax itself does not live with strict promotion.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        found = check(name)
    assert found.verdict is Verdict.HOLDS, str(found)
    assert found.controls, "a claim has at least one negative control"


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="for CI=true alone")
def test_nothing_of_the_catalogue_is_skipped_in_ci():
    parts = [part for c in claims().values() for part in [*c.routes, *c.controls]]
    assert not {reason for part in parts if (reason := advice(part.requires))}


@pytest.mark.slow
@pytest.mark.parametrize("name", IDS)
def test_claim_holds_in_full(name):
    need(name)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        found = check(name, effort="full", seed=1)
    assert found.verdict is Verdict.HOLDS, str(found)


def test_the_catalogue_covers_every_grade():
    grades = {claims()[name].grade for name in IDS}
    assert {str(g) for g in grades} == {"proved", "certified", "measured", "estimated"}
    assert len(IDS) >= 100
    assert len(QUICK) > 0.9 * len(IDS)
    assert {claims()[name].family for name in IDS} >= {"gradient_flow", "spine"}


def test_an_unstable_step_names_the_broken_hypothesis():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        table = check("spine.ula-bias", vary={"h": [0.25, 2.1]}, delta=0.1)
    text = str(table)
    assert "holds" in text
    assert "refuted" in text or "error" in text
    assert "h\\theta < 2" in text
