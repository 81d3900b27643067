"""One small example of every dynamics: name -> (model, a state)."""

import jax.numpy as jnp
from helpers import WAVY_START

import discretize
import flows
import sde
from discretize.modified import ModifiedFlow
from flows.central import RMSProp
from flows.problems import double_well, quadratic, wavy

X = jnp.array(WAVY_START)
V = jnp.array([0.3, 0.7])
LABEL = jnp.asarray(1)


def payoff(x, y, p):
    return p["a"] * x[0] * y[0] + x[0] ** 3 / 3 - jnp.sin(y[0])


def one_output(x):
    return jnp.tanh(x[0] * x[1:])


def spread(x):
    return 0.6 + 0.2 * jnp.cos(x)


def switching(convention):
    centres = jnp.array([[1.0, 0.5], [-1.0, 0.25], [0.0, 2.0]])
    index = sde.UniformIndex(3, 1.3, convention)
    model = sde.StochasticGradientProcess(flows.quadratic_sum(centres, 0.7), index)
    return model, sde.SwitchingState(X, LABEL)


def away_from_datum(x, v):
    return 0.5 * jnp.sum((x - v[0]) ** 2) + x[0] * x[1] * v[0] ** 2


def parabola(p):
    return jnp.stack([p[0], 0.5 * p[0] ** 2])


def rotating(t, x):
    return jnp.stack([jnp.sin(x[1]) - x[0], jnp.cos(t) * x[0] * x[1]])


EXAMPLES = {
    "gradient flow": (flows.GradientFlow(wavy()), X),
    "gradient flow with descent's error": (
        discretize.ErrorFlow(wavy()),
        discretize.ErrorState(X, jnp.array([0.2, -0.4])),
    ),
    "modified heavy ball": (flows.ModifiedHeavyBallFlow(wavy(), 0.05, 0.6), X),
    "accelerated": (
        flows.AcceleratedFlow(wavy(), 3.0),
        flows.PhaseState(X, jnp.array([0.2, -0.4])),
    ),
    "accelerated, strongly convex": (
        flows.StronglyConvexAcceleratedFlow(wavy(), 0.7),
        flows.PhaseState(X, jnp.array([0.2, -0.4])),
    ),
    "momentum residual": (
        flows.MomentumResidualFlow(rotating, 0.4),
        flows.PhaseState(X, V),
    ),
    "residual": (flows.ResidualFlow(rotating), X),
    "inertial newton": (
        flows.InertialNewtonFlow(wavy(), jnp.cos, 0.3, lambda t: 1 + t, 1.2),
        flows.PhaseState(X, V),
    ),
    "inertial newton, psi": (
        flows.InertialNewtonPsiFlow(wavy(), 0.5, 0.25, 2.0),
        flows.InertialNewtonState(X, V),
    ),
    "implicit hessian damping": (
        flows.ImplicitHessianFlow(wavy(), 0.5, 0.25, 2.0),
        flows.PhaseState(X, V),
    ),
    "inertial newton, vanishing friction": (
        flows.VanishingInertialNewtonFlow(wavy(), 3.0, 0.5),
        flows.PhaseState(X, V),
    ),
    "heavy ball, high resolution": (
        flows.HighResolutionHeavyBallFlow(wavy(), 0.25, 0.04),
        flows.PhaseState(X, V),
    ),
    "nesterov, high resolution": (
        flows.HighResolutionNesterovFlow(wavy(), 0.25, 0.04),
        flows.PhaseState(X, V),
    ),
    "accelerated, high resolution": (
        flows.HighResolutionAcceleratedFlow(wavy(), 0.04),
        flows.PhaseState(X, V),
    ),
    "bregman": (flows.BregmanFlow(wavy(), 4.0), flows.PhaseState(X, V)),
    "levenberg-marquardt": (flows.levenberg_marquardt_flow(wavy(), 0.5, 2.0), X),
    "adam": (
        flows.AdamFlow(wavy(), 0.4, 1.1, 0.03, 0.02),
        flows.AdamState(X, jnp.array([0.2, -0.4]), V),
    ),
    "adam without correction": (
        flows.AdamFlow(wavy(), 0.4, 1.1, 0.03, 0.02, False),
        flows.AdamState(X, jnp.array([0.2, -0.4]), V),
    ),
    "rmsprop": (flows.RMSPropFlow(wavy(), 0.5, 0.25), flows.RMSPropState(X, V)),
    "rmsprop, eps outside": (
        flows.RMSPropFlow(wavy(), 0.5, 0.25, eps_in_sqrt=False),
        flows.RMSPropState(X, V),
    ),
    "stable flow of rmsprop": (
        flows.StableFlow(wavy(), RMSProp(0.2, 0.75, 0.01, 0.02)),
        flows.CentralState(X, V),
    ),
    "deep linear, end to end": (flows.DeepLinearFlow(wavy(), (1, 2), 2), X),
    "log time": (flows.LogTimeFlow(flows.GradientFlow(wavy()), 0.5), X),
    "game": (flows.GameFlow(flows.min_max(payoff, 1, a=0.8)), X),
    "ornstein-uhlenbeck": (
        sde.OrnsteinUhlenbeck(jnp.array([0.5, 2.0]), jnp.array([1.0, -1.0]), 0.75),
        X,
    ),
    "overdamped": (sde.OverdampedLangevin(wavy(), 0.6), X),
    "overdamped, the drift alone": (
        sde.DriftFlow(sde.OverdampedLangevin(wavy(), 0.6)),
        X,
    ),
    "underdamped": (
        sde.UnderdampedLangevin(wavy(), 1.5, 0.6, V),
        sde.LangevinState(X, jnp.array([0.2, -0.4])),
    ),
    "underdamped, without a force": (
        sde.UnderdampedLangevin(wavy(), 1.5, 0.6, V).joint_parts()["U"],
        sde.LangevinState(X, jnp.array([0.2, -0.4])),
    ),
    "modified sgd": (
        sde.StochasticModifiedEquation(quadratic([1.5]), sde.FactorNoise(spread), 0.1),
        X[:1],
    ),
    "noisy rmsprop": (
        sde.RMSPropSDE(quadratic([1.5]), sde.FactorNoise(spread), 0.5, 0.8, 0.1),
        flows.RMSPropState(X[:1], V[:1]),
    ),
    "noisy adam": (
        sde.AdamSDE(quadratic([1.5]), sde.FactorNoise(spread), 0.5, 2.0, 0.8, 0.1),
        flows.AdamState(X[:1], jnp.array([0.2]), V[:1]),
    ),
    "users' functions": (
        sde.ItoDiffusion(lambda t, y: jnp.sin(t) - y**3, lambda t, y: spread(y)),
        X[:1],
    ),
    "switching gradient": (
        sde.StochasticGradientProcess(
            flows.finite_sum([wavy(), quadratic([1.0, 3.0])]), sde.UniformIndex(2, 1.3)
        ),
        sde.SwitchingState(X, LABEL),
    ),
    "damped": (
        flows.DampedFlow(wavy(), flows.PowerSchedule(0.7, 2.0, -1.0), 0.9),
        flows.PhaseState(X, jnp.array([0.2, -0.4])),
    ),
    "overdamped gradient": (flows.OverdampedFlow(wavy(), 1.7), X),
    "switching with momentum": (
        sde.StochasticGradientMomentumProcess(
            flows.finite_sum([wavy(), quadratic([1.0, 3.0])]),
            sde.UniformIndex(2, flows.PowerSchedule(1.3)),
            flows.ExponentialSchedule(0.7, -0.2),
            0.9,
        ),
        sde.SwitchingMomentumState(X, jnp.array([0.2, -0.4]), LABEL),
    ),
    "fluctuations": (
        sde.Fluctuations(switching("fresh_draw")[0]),
        sde.FluctuationState(X, jnp.array([0.2, -0.4])),
    ),
    "fluctuations with momentum": (
        sde.MomentumFluctuations(
            sde.StochasticGradientMomentumProcess(
                flows.finite_sum([wavy(), quadratic([1.0, 3.0])]),
                sde.WeightedIndex(jnp.array([0.25, 0.75]), 1.3),
                flows.ExponentialSchedule(0.7, -0.2),
                0.9,
            )
        ),
        sde.FluctuationMomentumState(X, jnp.array([0.2, -0.4]), V, X),
    ),
    "zig-zag": (
        sde.ZigZag(wavy(), 0.3),
        sde.LangevinState(X, jnp.array([1.0, -1.0])),
    ),
    "bouncy particle": (
        sde.BouncyParticle(wavy(), 0.7),
        sde.LangevinState(X, jnp.array([0.2, -0.4])),
    ),
    "boomerang": (
        sde.Boomerang(double_well(), 0.7, 1.5, X[:1]),
        sde.LangevinState(X[:1] + 0.3, jnp.array([0.4])),
    ),
    "switching, never repeat": switching("never_repeat"),
    "switching, fresh draw": switching("fresh_draw"),
    "continuous data": (
        sde.ContinuousDataProcess(away_from_datum, 0.7, 1.25),
        sde.ContinuousDataState(X, jnp.array([0.4])),
    ),
    "preconditioned": (flows.PreconditionedFlow(wavy(), jnp.array([0.5, 2.0])), X),
    "rayleigh by differences": (
        flows.RayleighFlow(wavy(), jnp.array([0.4, -0.3]), 0.25),
        X,
    ),
    "newton": (flows.newton_flow(wavy()), X),
    "natural gradient": (
        flows.NaturalGradientFlow(flows.SquareLoss(one_output, jnp.array([0.4]), 2)),
        X,
    ),
    "mirror, simplex": (flows.MirrorFlow(wavy(), flows.SimplexEntropy()), X),
    "mirror, orthant": (flows.MirrorFlow(wavy(), flows.Entropy()), X),
    "mirror, dual": (flows.DualMirrorFlow(wavy(), flows.Entropy()), V),
    "normalised": (flows.NormalisedFlow(wavy(), 0.25), X),
    "sign": (flows.SignFlow(wavy()), X),
    "sign, smoothed": (flows.SignFlow(wavy(), 0.25), X),
    "polyak": (flows.PolyakFlow(wavy(), -2.0, 3.0, 0.125, 0.5), X),
    "modified": (
        ModifiedFlow(
            flows.GradientFlow(double_well()), discretize.Euler(), jnp.asarray(0.1), 2
        ),
        X[:1],
    ),
    "step logarithm": (
        discretize.StepLogarithm(
            flows.GradientFlow(double_well()), discretize.Euler(), 0.1, 2
        ),
        X[:1],
    ),
    "modified momentum": (
        discretize.ModifiedMomentumFlow(
            flows.GradientFlow(double_well()), 0.1, 0.4, 2, nesterov=True
        ),
        X[:1],
    ),
    "reshuffled": (
        discretize.ShuffledFlow(
            flows.finite_sum([wavy(), quadratic([1.0, 3.0])]), [[0], [1]], 0.1
        ),
        X,
    ),
    "principal": (
        flows.PrincipalFlow(double_well(), 0.1),
        flows.PrincipalState(X[:1], V[:1]),
    ),
    "weight-normalised": (
        flows.WeightNormalisedFlow(wavy(), 0.75),
        flows.WeightNormalisedState(jnp.array([1.3]), X),
    ),
    "self-stabilisation": (flows.SelfStabilisation(0.3, 1.4), X),
    "sharpness reduction, chart": (
        flows.SharpnessReductionFlow(
            wavy(), flows.AdaptiveOscillation(0.7), flows.Chart(parabola)
        ),
        X[:1],
    ),
    "sharpness reduction, kernel": (
        flows.SharpnessReductionFlow(
            wavy(), flows.RootLossOscillation(), flows.HessianKernel(1)
        ),
        X,
    ),
    "training": (discretize.Training(wavy()), X),
}
