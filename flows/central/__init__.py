"""Central flows: optimisers at the edge of stability, averaged over oscillations."""

from flows.central.averages import average as average
from flows.central.averages import average_loss as average_loss
from flows.central.averages import average_square as average_square
from flows.central.averages import covariance_trace as covariance_trace
from flows.central.averages import midpoints as midpoints
from flows.central.averages import second_variation as second_variation
from flows.central.averages import smoothed as smoothed
from flows.central.eigenblock import hessian_at as hessian_at
from flows.central.flow import CentralFlow as CentralFlow
from flows.central.flow import CentralState as CentralState
from flows.central.flow import StableFlow as StableFlow
from flows.central.frozen import RestingMemory as RestingMemory
from flows.central.frozen import rest_memory as rest_memory
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
from flows.central.sections import Sections as Sections
from flows.central.sections import solve_sections as solve_sections
from flows.central.spectrum import Block as Block
from flows.central.spectrum import cold_block as cold_block
from flows.central.spectrum import refresh_block as refresh_block
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
from flows.central.validity import Finding as Finding
from flows.central.validity import Validity as Validity
from flows.central.validity import ValidityWarning as ValidityWarning
from flows.central.validity import check_start as check_start
from flows.central.validity import kinks as kinks
from flows.central.validity import validity as validity
