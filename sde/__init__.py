"""Random dynamics: diffusions, jump processes, noise, ensembles."""

from sde.adaptive import AdamSDE as AdamSDE
from sde.adaptive import RMSPropSDE as RMSPropSDE
from sde.continuous_data import ContinuousDataProcess as ContinuousDataProcess
from sde.continuous_data import ContinuousDataState as ContinuousDataState
from sde.coupled import Coupled as Coupled
from sde.coupled import Gaps as Gaps
from sde.coupled import simulate_coupled as simulate_coupled
from sde.declared import SwitchedSolution as SwitchedSolution
from sde.declared import solve_switching as solve_switching
from sde.diagnostics import effective_sample_size as effective_sample_size
from sde.diagnostics import r_hat as r_hat
from sde.diffusion import Diffusion as Diffusion
from sde.diffusion import NoisyPart as NoisyPart
from sde.drift_flow import DriftFlow as DriftFlow
from sde.ensemble import Ensemble as Ensemble
from sde.fluctuations import FluctuationMomentumState as FluctuationMomentumState
from sde.fluctuations import Fluctuations as Fluctuations
from sde.fluctuations import FluctuationState as FluctuationState
from sde.fluctuations import MomentumFluctuations as MomentumFluctuations
from sde.fluctuations import fluctuations as fluctuations
from sde.fokker_planck import fokker_planck_defect as fokker_planck_defect
from sde.fokker_planck import gibbs_log_density as gibbs_log_density
from sde.fokker_planck import is_invariant_density as is_invariant_density
from sde.gaussian_moments import gaussian_moments as gaussian_moments
from sde.gibbs import GibbsLaw as GibbsLaw
from sde.gibbs import gibbs_law as gibbs_law
from sde.gradient_noise import FactorNoise as FactorNoise
from sde.gradient_noise import GradientNoise as GradientNoise
from sde.hazards import ClockChange as ClockChange
from sde.hazards import EventLocation as EventLocation
from sde.index import Index as Index
from sde.index import MarkovIndex as MarkovIndex
from sde.index import UniformIndex as UniformIndex
from sde.index import WeightedIndex as WeightedIndex
from sde.index_path import IndexPath as IndexPath
from sde.index_path import draw_index_path as draw_index_path
from sde.index_path import enough_events as enough_events
from sde.ito import ItoDiffusion as ItoDiffusion
from sde.jump_process import JumpProcess as JumpProcess
from sde.jumps import ExactJumps as ExactJumps
from sde.jumps import JumpCount as JumpCount
from sde.kinetic import FreeLangevin as FreeLangevin
from sde.kinetic import FreeMotion as FreeMotion
from sde.kinetic import Kick as Kick
from sde.kinetic import LangevinState as LangevinState
from sde.kinetic import UnderdampedLangevin as UnderdampedLangevin
from sde.kinetic import VelocityBath as VelocityBath
from sde.langevin import OrnsteinUhlenbeck as OrnsteinUhlenbeck
from sde.langevin import OverdampedLangevin as OverdampedLangevin
from sde.laws import Deterministic as Deterministic
from sde.laws import Finite as Finite
from sde.laws import Gaussian as Gaussian
from sde.laws import Law as Law
from sde.minibatch import MinibatchNoise as MinibatchNoise
from sde.modified_equations import (
    StochasticModifiedEquation as StochasticModifiedEquation,
)
from sde.moments import Moment as Moment
from sde.moments import MomentSystem as MomentSystem
from sde.moments import generator_images as generator_images
from sde.moments import moment_equations as moment_equations
from sde.moments import stationary_moments as stationary_moments
from sde.noise import Noise as Noise
from sde.noise_path import draw_noise as draw_noise
from sde.samplers import Boomerang as Boomerang
from sde.samplers import BouncyParticle as BouncyParticle
from sde.samplers import VelocityJumps as VelocityJumps
from sde.samplers import ZigZag as ZigZag
from sde.scaling import AdaptiveHyperparameters as AdaptiveHyperparameters
from sde.scaling import AdaptiveScales as AdaptiveScales
from sde.scaling import adaptive_scales as adaptive_scales
from sde.scaling import square_root_scaling as square_root_scaling
from sde.simulate import simulate as simulate
from sde.skeleton import Skeleton as Skeleton
from sde.skeleton import draw_skeleton as draw_skeleton
from sde.skeleton import follow_index_path as follow_index_path
from sde.skeleton import path_key as path_key
from sde.skeleton_gaps import largest_gap as largest_gap
from sde.skeletons import Skeletons as Skeletons
from sde.skeletons import simulate_skeletons as simulate_skeletons
from sde.stationarity import gaussian_law as gaussian_law
from sde.stationarity import is_stationary as is_stationary
from sde.stationarity import stationarity_defects as stationarity_defects
from sde.stationarity import two_state_law as two_state_law
from sde.statistics import Counts as Counts
from sde.statistics import Estimate as Estimate
from sde.statistics import Histogram as Histogram
from sde.statistics import Moments as Moments
from sde.statistics import Quantile as Quantile
from sde.statistics import Statistic as Statistic
from sde.statistics import Statistics as Statistics
from sde.switched_linear import LinearFields as LinearFields
from sde.switched_linear import growth_exponent as growth_exponent
from sde.switched_linear import linear_fields as linear_fields
from sde.switched_linear import moment_abscissa as moment_abscissa
from sde.switched_linear import tail_index as tail_index
from sde.switched_moments import SwitchedMoments as SwitchedMoments
from sde.switched_moments import (
    stationary_switched_moments as stationary_switched_moments,
)
from sde.switched_moments import (
    transient_switched_moments as transient_switched_moments,
)
from sde.switching import (
    StochasticGradientMomentumProcess as StochasticGradientMomentumProcess,
)
from sde.switching import StochasticGradientProcess as StochasticGradientProcess
from sde.switching import Switching as Switching
from sde.switching import SwitchingMomentumState as SwitchingMomentumState
from sde.switching import SwitchingState as SwitchingState
from sde.switching import full_gradient as full_gradient
from sde.switching import zero_mass as zero_mass
from sde.switching_laws import DirichletMixture as DirichletMixture
from sde.switching_laws import switching_law as switching_law
from sde.wasserstein import Distance as Distance
from sde.wasserstein import wasserstein as wasserstein

__distribution__ = "flowtheory"
