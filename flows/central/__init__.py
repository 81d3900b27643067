"""Central flows: optimisers at the edge of stability, averaged over oscillations."""

from flows.central.flow import CentralFlow as CentralFlow
from flows.central.flow import CentralState as CentralState
from flows.central.flow import StableFlow as StableFlow
from flows.central.rules import GradientDescent as GradientDescent
from flows.central.rules import Momentum as Momentum
from flows.central.rules import RMSProp as RMSProp
from flows.central.rules import Rule as Rule
from flows.central.rules import ScalarRMSProp as ScalarRMSProp
