"""One-step schemes."""

from discretize.schemes.central import CentralAux as CentralAux
from discretize.schemes.central import CentralEuler as CentralEuler
from discretize.schemes.chebyshev import Chebyshev as Chebyshev
from discretize.schemes.euler import Euler as Euler
from discretize.schemes.euler import ImplicitEuler as ImplicitEuler
from discretize.schemes.euler import SemiImplicitEuler as SemiImplicitEuler
from discretize.schemes.from_diffrax import FromDiffrax as FromDiffrax
from discretize.schemes.grid_switch import GridSwitch as GridSwitch
from discretize.schemes.kinetic import KLMC as KLMC
from discretize.schemes.kinetic import SGHMC as SGHMC
from discretize.schemes.milstein import Milstein as Milstein
from discretize.schemes.momentum import MomentumEuler as MomentumEuler
from discretize.schemes.runge_kutta import RungeKutta as RungeKutta
from discretize.schemes.runge_kutta import as_diffrax_solver as as_diffrax_solver
from discretize.schemes.saddle_escape import CurvatureDescent as CurvatureDescent
from discretize.schemes.saddle_escape import Escape as Escape
from discretize.schemes.saddle_escape import PerturbedDescent as PerturbedDescent
from discretize.schemes.splitting import ABOBA as ABOBA
from discretize.schemes.splitting import AOBOA as AOBOA
from discretize.schemes.splitting import BAOAB as BAOAB
from discretize.schemes.splitting import BUB as BUB
from discretize.schemes.splitting import EXACT_EMA as EXACT_EMA
from discretize.schemes.splitting import OABAO as OABAO
from discretize.schemes.splitting import OBABO as OBABO
from discretize.schemes.splitting import UBU as UBU
from discretize.schemes.splitting import Splitting as Splitting
from discretize.schemes.splitting import lie as lie
from discretize.schemes.splitting import strang as strang
from discretize.schemes.stochastic_gradient import StochasticAdam as StochasticAdam
from discretize.schemes.stochastic_gradient import (
    StochasticGradient as StochasticGradient,
)
from discretize.schemes.stochastic_gradient import (
    StochasticRMSProp as StochasticRMSProp,
)
from discretize.schemes.tamed import BalancedEuler as BalancedEuler
from discretize.schemes.tamed import TamedCoefficientsEuler as TamedCoefficientsEuler
from discretize.schemes.tamed import TamedEuler as TamedEuler
from discretize.schemes.truncated import (
    ProjectedEulerMaruyama as ProjectedEulerMaruyama,
)
from discretize.schemes.truncated import TruncatedEuler as TruncatedEuler
from discretize.schemes.velocity_jumps import DBD as DBD
from discretize.schemes.velocity_jumps import RDBDR as RDBDR
from discretize.schemes.weight_normalised import ProjectedEuler as ProjectedEuler
