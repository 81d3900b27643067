"""Exact laws of chains, without Monte Carlo."""

from discretize.chain_laws.bias import BiasConstants as BiasConstants
from discretize.chain_laws.bias import bias_constants as bias_constants
from discretize.chain_laws.distances import kl_divergence_1d as kl_divergence_1d
from discretize.chain_laws.distances import total_variation_1d as total_variation_1d
from discretize.chain_laws.distances import wasserstein_1d as wasserstein_1d
from discretize.chain_laws.distances import (
    wasserstein_quantiles as wasserstein_quantiles,
)
from discretize.chain_laws.kernel import TransitionKernel as TransitionKernel
from discretize.chain_laws.ladder import BiasLadder as BiasLadder
from discretize.chain_laws.ladder import bias_ladder as bias_ladder
from discretize.chain_laws.linear import LinearLaw as LinearLaw
from discretize.chain_laws.linear import LinearStep as LinearStep
from discretize.chain_laws.linear import linear_step as linear_step
from discretize.chain_laws.linear import stationary_covariance as stationary_covariance
from discretize.chain_laws.stationary import StationaryLaw as StationaryLaw
from discretize.chain_laws.switched import SwitchedLaw as SwitchedLaw
from discretize.chain_laws.switched import switched_law as switched_law
from discretize.chain_laws.tilt import EffectivePotential as EffectivePotential
from discretize.chain_laws.tilt import effective_potential as effective_potential
from discretize.chain_laws.tilt import step_operators as step_operators
