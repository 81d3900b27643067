"""Schemes, discrete optimisers, and what ties them to a dynamics."""

from discretize import figures as figures
from discretize.certificate import Approximation as Approximation
from discretize.certificate import Certificate as Certificate
from discretize.certificate import Descent as Descent
from discretize.certificate import ErrorFlow as ErrorFlow
from discretize.certificate import ErrorLaw as ErrorLaw
from discretize.certificate import ErrorState as ErrorState
from discretize.certificate import approximation as approximation
from discretize.certificate import certify_linear_net as certify_linear_net
from discretize.certificate import error_bound as error_bound
from discretize.certificate import error_growth as error_growth
from discretize.certificate import error_law as error_law
from discretize.compare import UnstableStepWarning as UnstableStepWarning
from discretize.compare import compare as compare
from discretize.comparison import Comparison as Comparison
from discretize.comparison import Outcome as Outcome
from discretize.convergence import Ladder as Ladder
from discretize.convergence import convergence as convergence
from discretize.correspondence import Correspondence as Correspondence
from discretize.correspondence import Exact as Exact
from discretize.correspondence import Order as Order
from discretize.correspondence import Pairing as Pairing
from discretize.corridors import decrease_defect as decrease_defect
from discretize.edge import Edge as Edge
from discretize.edge import edge as edge
from discretize.edge import edge_of as edge_of
from discretize.edge_run import EdgeRun as EdgeRun
from discretize.edge_run import edge_along as edge_along
from discretize.local_order import local_defect as local_defect
from discretize.local_order import local_order as local_order
from discretize.local_order import splitting_defect as splitting_defect
from discretize.modified import ModifiedFlow as ModifiedFlow
from discretize.modified import ModifiedMomentumFlow as ModifiedMomentumFlow
from discretize.modified import StepLogarithm as StepLogarithm
from discretize.modified import modified_terms as modified_terms
from discretize.modified import momentum_slip as momentum_slip
from discretize.modified import multistep_terms as multistep_terms
from discretize.optimiser import OptaxStep as OptaxStep
from discretize.optimiser import Training as Training
from discretize.optimizers import drift_adjusted as drift_adjusted
from discretize.optimizers import exponentiated_gradient as exponentiated_gradient
from discretize.optimizers import move_in_logarithms as move_in_logarithms
from discretize.optimizers import reshuffled_sgd as reshuffled_sgd
from discretize.optimizers import root_loss_sgd as root_loss_sgd
from discretize.optimizers import rpgd as rpgd
from discretize.optimizers import scalar_rmsprop as scalar_rmsprop
from discretize.optimizers import scale_by_scalar_rms as scale_by_scalar_rms
from discretize.optimizers import weight_normalised_sgd as weight_normalised_sgd
from discretize.order import order as order
from discretize.order_fit import OrderFit as OrderFit
from discretize.order_fit import fit_order as fit_order
from discretize.proof import prove as prove
from discretize.rows import ADAM as ADAM
from discretize.rows import HEAVY_BALL as HEAVY_BALL
from discretize.rows import RMSPROP as RMSPROP
from discretize.rows import ROWS as ROWS
from discretize.rows import SCALAR_RMSPROP as SCALAR_RMSPROP
from discretize.rows import SGD as SGD
from discretize.rows import correspondences as correspondences
from discretize.rows.derived_losses import ROOT_LOSS_SGD as ROOT_LOSS_SGD
from discretize.rows.derived_losses import WEIGHT_DECAY_SGD as WEIGHT_DECAY_SGD
from discretize.rows.first_order import EXPONENTIATED_GRADIENT as EXPONENTIATED_GRADIENT
from discretize.rows.first_order import NORMALISED_GD as NORMALISED_GD
from discretize.rows.first_order import POLYAK as POLYAK
from discretize.rows.first_order import POLYAK_SGD as POLYAK_SGD
from discretize.rows.first_order import SIGN_SGD as SIGN_SGD
from discretize.rows.first_order import (
    UNNORMALISED_EXPONENTIATED_GRADIENT as UNNORMALISED_EXPONENTIATED_GRADIENT,
)
from discretize.rows.modified import NESTEROV as NESTEROV
from discretize.rows.modified import SGD_MODIFIED as SGD_MODIFIED
from discretize.rows.modified import momentum_modified as momentum_modified
from discretize.rows.modified import sgd_modified as sgd_modified
from discretize.rows.modified import shuffled_sgd as shuffled_sgd
from discretize.rows.weight_normalised import RPGD as RPGD
from discretize.rows.weight_normalised import (
    WEIGHT_NORMALISED_SGD as WEIGHT_NORMALISED_SGD,
)
from discretize.schemes import BAOAB as BAOAB
from discretize.schemes import EXACT_EMA as EXACT_EMA
from discretize.schemes import CentralAux as CentralAux
from discretize.schemes import CentralEuler as CentralEuler
from discretize.schemes import Chebyshev as Chebyshev
from discretize.schemes import Euler as Euler
from discretize.schemes import ImplicitEuler as ImplicitEuler
from discretize.schemes import ProjectedEuler as ProjectedEuler
from discretize.schemes import RungeKutta as RungeKutta
from discretize.schemes import SemiImplicitEuler as SemiImplicitEuler
from discretize.schemes import Splitting as Splitting
from discretize.schemes import as_diffrax_solver as as_diffrax_solver
from discretize.schemes import lie as lie
from discretize.schemes import strang as strang
from discretize.self_stabilisation import SelfStabilised as SelfStabilised
from discretize.self_stabilisation import self_stabilisation as self_stabilisation
from discretize.shuffled import FiniteSum as FiniteSum
from discretize.shuffled import MeanEpoch as MeanEpoch
from discretize.shuffled import ShuffledEpoch as ShuffledEpoch
from discretize.shuffled import ShuffledFlow as ShuffledFlow
from discretize.shuffled import finite_sum as finite_sum
from discretize.shuffled import partition as partition
from discretize.stability import Stability as Stability
from discretize.stability import characteristic_polynomial as characteristic_polynomial
from discretize.stability import stability as stability
from discretize.stability import stability_of as stability_of

__distribution__ = "flowtheory"
