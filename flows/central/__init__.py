"""Central flows: optimisers at the edge of stability, averaged over oscillations."""

from flows.central.flow import CentralFlow as CentralFlow
from flows.central.flow import CentralState as CentralState
from flows.central.flow import StableFlow as StableFlow
from flows.central.linear_response import Instant as Instant
from flows.central.linear_response import Response as Response
from flows.central.linear_response import complementarity as complementarity
from flows.central.linear_response import response as response
from flows.central.linear_response import third_derivatives as third_derivatives
from flows.central.linear_response import velocity as velocity
from flows.central.rules import GradientDescent as GradientDescent
from flows.central.rules import Momentum as Momentum
from flows.central.rules import RMSProp as RMSProp
from flows.central.rules import Rule as Rule
from flows.central.rules import ScalarRMSProp as ScalarRMSProp
from flows.central.sdcp import Complementarity as Complementarity
from flows.central.sdcp import smat as smat
from flows.central.sdcp import solve_sdcp as solve_sdcp
from flows.central.sdcp import svec as svec
from flows.central.spectrum import Block as Block
from flows.central.spectrum import cold_block as cold_block
from flows.central.spectrum import refresh_block as refresh_block
