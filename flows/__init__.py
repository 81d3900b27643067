"""Objectives, deterministic dynamics, the symbolic face, solving, trajectories."""

from flows import problems as problems
from flows._version import __version__ as __version__
from flows.accelerated import AcceleratedFlow as AcceleratedFlow
from flows.accelerated import (
    StronglyConvexAcceleratedFlow as StronglyConvexAcceleratedFlow,
)
from flows.accelerated import accelerated_start as accelerated_start
from flows.adaptive import AdamFlow as AdamFlow
from flows.adaptive import AdamState as AdamState
from flows.adaptive import RMSPropFlow as RMSPropFlow
from flows.adaptive import RMSPropState as RMSPropState
from flows.adaptive import adam_start as adam_start
from flows.central import CentralFlow as CentralFlow
from flows.central import CentralState as CentralState
from flows.central import StableFlow as StableFlow
from flows.central.averages import average as average
from flows.central.averages import average_loss as average_loss
from flows.central.averages import average_square as average_square
from flows.central.averages import covariance_trace as covariance_trace
from flows.central.averages import midpoints as midpoints
from flows.central.averages import second_variation as second_variation
from flows.central.averages import smoothed as smoothed
from flows.central.frozen import RestingMemory as RestingMemory
from flows.central.frozen import rest_memory as rest_memory
from flows.central.self_stabilisation import CubicModel as CubicModel
from flows.central.self_stabilisation import SelfStabilisation as SelfStabilisation
from flows.central.self_stabilisation import cubic_model as cubic_model
from flows.central.sharpness_reduction import AdaptiveOscillation as AdaptiveOscillation
from flows.central.sharpness_reduction import Chart as Chart
from flows.central.sharpness_reduction import HessianKernel as HessianKernel
from flows.central.sharpness_reduction import (
    NormalisedOscillation as NormalisedOscillation,
)
from flows.central.sharpness_reduction import RootLossOscillation as RootLossOscillation
from flows.central.sharpness_reduction import (
    SharpnessReductionFlow as SharpnessReductionFlow,
)
from flows.central.sharpness_reduction import (
    WeightDecayOscillation as WeightDecayOscillation,
)
from flows.central.stationary import (
    StationaryPreconditioner as StationaryPreconditioner,
)
from flows.central.stationary import StationaryScalar as StationaryScalar
from flows.central.stationary import (
    first_term_preconditioner as first_term_preconditioner,
)
from flows.central.stationary import optimisation_speed as optimisation_speed
from flows.central.stationary import (
    stationary_preconditioner as stationary_preconditioner,
)
from flows.central.stationary import stationary_scalar as stationary_scalar
from flows.chebyshev import RKC2 as RKC2
from flows.chebyshev import ROCK4 as ROCK4
from flows.checkpoint import Checkpoint as Checkpoint
from flows.conserved import balancedness as balancedness
from flows.conserved import drift as drift
from flows.conserved import is_conserved as is_conserved
from flows.conserved import neuron_balance as neuron_balance
from flows.conserved import null_projector as null_projector
from flows.conserved import rate_of_change as rate_of_change
from flows.conserved import (
    weight_normalisation_invariant as weight_normalisation_invariant,
)
from flows.corridors import CorridorMeter as CorridorMeter
from flows.corridors import corridor_meter as corridor_meter
from flows.damped import DampedFlow as DampedFlow
from flows.damped import OverdampedFlow as OverdampedFlow
from flows.data import Data as Data
from flows.data import parameters_of as parameters_of
from flows.deep_linear import DeepLinearFlow as DeepLinearFlow
from flows.derived_losses import RootLoss as RootLoss
from flows.derived_losses import WeightDecayed as WeightDecayed
from flows.dynamics import DerivedFlow as DerivedFlow
from flows.dynamics import Dynamics as Dynamics
from flows.dynamics import Flow as Flow
from flows.dynamics import Part as Part
from flows.errors import BadInput as BadInput
from flows.errors import FlowtheoryError as FlowtheoryError
from flows.errors import NonFiniteState as NonFiniteState
from flows.errors import NoSymbolicFace as NoSymbolicFace
from flows.errors import PrecisionError as PrecisionError
from flows.errors import SolveFailed as SolveFailed
from flows.errors import UnstableStep as UnstableStep
from flows.errors import require_float64 as require_float64
from flows.finite_sums import FiniteSum as FiniteSum
from flows.finite_sums import QuadraticSum as QuadraticSum
from flows.finite_sums import finite_sum as finite_sum
from flows.finite_sums import quadratic_sum as quadratic_sum
from flows.finite_sums import rows_of as rows_of
from flows.game import Game as Game
from flows.game import GameFlow as GameFlow
from flows.game import min_max as min_max
from flows.gradient import GradientFlow as GradientFlow
from flows.gradient import ModifiedHeavyBallFlow as ModifiedHeavyBallFlow
from flows.gradient import slip as slip
from flows.high_resolution import BregmanFlow as BregmanFlow
from flows.high_resolution import (
    HighResolutionAcceleratedFlow as HighResolutionAcceleratedFlow,
)
from flows.high_resolution import (
    HighResolutionHeavyBallFlow as HighResolutionHeavyBallFlow,
)
from flows.high_resolution import (
    HighResolutionNesterovFlow as HighResolutionNesterovFlow,
)
from flows.high_resolution import bregman_start as bregman_start
from flows.high_resolution import high_resolution_start as high_resolution_start
from flows.inertial_newton import ImplicitHessianFlow as ImplicitHessianFlow
from flows.inertial_newton import InertialNewtonFlow as InertialNewtonFlow
from flows.inertial_newton import InertialNewtonPsiFlow as InertialNewtonPsiFlow
from flows.inertial_newton import InertialNewtonState as InertialNewtonState
from flows.inertial_newton import (
    VanishingInertialNewtonFlow as VanishingInertialNewtonFlow,
)
from flows.inertial_oscillation import inertial_oscillation as inertial_oscillation
from flows.iterate import iterate as iterate
from flows.log_time import LogTimeFlow as LogTimeFlow
from flows.mirror import DualMirrorFlow as DualMirrorFlow
from flows.mirror import Entropy as Entropy
from flows.mirror import EuclideanPotential as EuclideanPotential
from flows.mirror import MirrorFlow as MirrorFlow
from flows.mirror import Potential as Potential
from flows.mirror import SimplexEntropy as SimplexEntropy
from flows.momentum_map import least_multiplier as least_multiplier
from flows.momentum_map import linear_momentum_map as linear_momentum_map
from flows.momentum_map import representing_matrix as representing_matrix
from flows.momentum_map import representing_rate as representing_rate
from flows.normalised import NormalisedFlow as NormalisedFlow
from flows.normalised import PolyakFlow as PolyakFlow
from flows.normalised import SignFlow as SignFlow
from flows.normalised import arrival as arrival
from flows.normalised import gradient_sign_change as gradient_sign_change
from flows.normalised import polyak_step as polyak_step
from flows.objective import Fact as Fact
from flows.objective import Facts as Facts
from flows.objective import Objective as Objective
from flows.objective import from_loss as from_loss
from flows.objective import from_sympy as from_sympy
from flows.oscillator import Oscillation as Oscillation
from flows.oscillator import damped_oscillator as damped_oscillator
from flows.phase import PhaseState as PhaseState
from flows.phase import at_rest as at_rest
from flows.preconditioned import Hessian as Hessian
from flows.preconditioned import NaturalGradientFlow as NaturalGradientFlow
from flows.preconditioned import PreconditionedFlow as PreconditionedFlow
from flows.preconditioned import SquareLoss as SquareLoss
from flows.preconditioned import (
    levenberg_marquardt_flow as levenberg_marquardt_flow,
)
from flows.preconditioned import newton_flow as newton_flow
from flows.principal import PrincipalFlow as PrincipalFlow
from flows.principal import PrincipalState as PrincipalState
from flows.reference import reference as reference
from flows.residual import MomentumResidualFlow as MomentumResidualFlow
from flows.residual import ResidualFlow as ResidualFlow
from flows.schedules import CustomSchedule as CustomSchedule
from flows.schedules import ExponentialSchedule as ExponentialSchedule
from flows.schedules import PowerSchedule as PowerSchedule
from flows.schedules import Schedule as Schedule
from flows.scheme import Draw as Draw
from flows.scheme import Scheme as Scheme
from flows.scheme import Step as Step
from flows.second_order import Coefficients as Coefficients
from flows.second_order import SecondOrderFlow as SecondOrderFlow
from flows.sharpness import Sharpness as Sharpness
from flows.sharpness import effective_sharpness as effective_sharpness
from flows.sliding import SignPath as SignPath
from flows.sliding import sign_flow_path as sign_flow_path
from flows.solve import solve as solve
from flows.sphere import RayleighFlow as RayleighFlow
from flows.sphere import curvature_product as curvature_product
from flows.sphere import rayleigh_quotient as rayleigh_quotient
from flows.stiffness import DenseSolverWarning as DenseSolverWarning
from flows.symbolic import equal_symbolically as equal_symbolically
from flows.symbolic import exactly as exactly
from flows.symbolic import latex as latex
from flows.symbolic import numerically as numerically
from flows.symbolic import symbol_vector as symbol_vector
from flows.symbolic import symbolically as symbolically
from flows.symbolic import symbols_like as symbols_like
from flows.symbolic import trace as trace
from flows.trajectory import Trajectory as Trajectory
from flows.weight_normalisation import WeightNormalised as WeightNormalised
from flows.weight_normalisation import WeightNormalisedFlow as WeightNormalisedFlow
from flows.weight_normalisation import WeightNormalisedState as WeightNormalisedState
from flows.weight_normalisation import polar as polar
from flows.weight_normalisation import sphere_multiplier as sphere_multiplier
from flows.weight_normalisation import weight_normalised as weight_normalised
from flows.weight_normalisation import (
    weight_normalised_limit as weight_normalised_limit,
)

__distribution__ = "flowtheory"
