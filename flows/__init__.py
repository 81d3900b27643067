"""Objectives, deterministic dynamics, the symbolic face, solving, trajectories."""

from flows import problems as problems
from flows._version import __version__ as __version__
from flows.accelerated import AcceleratedFlow as AcceleratedFlow
from flows.accelerated import AcceleratedState as AcceleratedState
from flows.accelerated import (
    StronglyConvexAcceleratedFlow as StronglyConvexAcceleratedFlow,
)
from flows.accelerated import accelerated_start as accelerated_start
from flows.adaptive import AdamFlow as AdamFlow
from flows.adaptive import AdamState as AdamState
from flows.adaptive import RMSPropFlow as RMSPropFlow
from flows.adaptive import RMSPropState as RMSPropState
from flows.adaptive import adam_start as adam_start
from flows.corridors import CorridorMeter as CorridorMeter
from flows.corridors import corridor_meter as corridor_meter
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
from flows.game import Game as Game
from flows.game import GameFlow as GameFlow
from flows.game import min_max as min_max
from flows.gradient import GradientFlow as GradientFlow
from flows.gradient import ModifiedHeavyBallFlow as ModifiedHeavyBallFlow
from flows.gradient import slip as slip
from flows.iterate import iterate as iterate
from flows.mirror import DualMirrorFlow as DualMirrorFlow
from flows.mirror import Entropy as Entropy
from flows.mirror import EuclideanPotential as EuclideanPotential
from flows.mirror import MirrorFlow as MirrorFlow
from flows.mirror import Potential as Potential
from flows.mirror import SimplexEntropy as SimplexEntropy
from flows.normalised import NormalisedFlow as NormalisedFlow
from flows.normalised import PolyakFlow as PolyakFlow
from flows.normalised import SignFlow as SignFlow
from flows.normalised import arrival as arrival
from flows.normalised import gradient_sign_change as gradient_sign_change
from flows.normalised import polyak_step as polyak_step
from flows.objective import Data as Data
from flows.objective import Fact as Fact
from flows.objective import Facts as Facts
from flows.objective import Objective as Objective
from flows.objective import from_loss as from_loss
from flows.objective import from_sympy as from_sympy
from flows.objective import parameters_of as parameters_of
from flows.preconditioned import Hessian as Hessian
from flows.preconditioned import NaturalGradientFlow as NaturalGradientFlow
from flows.preconditioned import PreconditionedFlow as PreconditionedFlow
from flows.preconditioned import SquareLoss as SquareLoss
from flows.preconditioned import newton_flow as newton_flow
from flows.scheme import Draw as Draw
from flows.scheme import Scheme as Scheme
from flows.scheme import Step as Step
from flows.sharpness import Sharpness as Sharpness
from flows.sliding import SignPath as SignPath
from flows.sliding import sign_flow_path as sign_flow_path
from flows.solve import solve as solve
from flows.symbolic import equal_symbolically as equal_symbolically
from flows.symbolic import exactly as exactly
from flows.symbolic import latex as latex
from flows.symbolic import numerically as numerically
from flows.symbolic import symbol_vector as symbol_vector
from flows.symbolic import symbolically as symbolically
from flows.symbolic import symbols_like as symbols_like
from flows.symbolic import trace as trace
from flows.trajectory import Trajectory as Trajectory

__distribution__ = "flowtheory"
