"""Central flows: optimisers at the edge of stability, averaged over oscillations."""

from flows.central.flow import CentralFlow as CentralFlow
from flows.central.flow import CentralState as CentralState
from flows.central.flow import StableFlow as StableFlow
from flows.central.rules import GradientDescent as GradientDescent
from flows.central.rules import Momentum as Momentum
from flows.central.rules import RMSProp as RMSProp
from flows.central.rules import Rule as Rule
from flows.central.rules import ScalarRMSProp as ScalarRMSProp
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
