"""Exact laws of chains, without Monte Carlo."""

from discretize.chain_laws.kernel import TransitionKernel as TransitionKernel
from discretize.chain_laws.linear import LinearLaw as LinearLaw
from discretize.chain_laws.linear import LinearStep as LinearStep
from discretize.chain_laws.linear import linear_step as linear_step
from discretize.chain_laws.linear import stationary_covariance as stationary_covariance
from discretize.chain_laws.stationary import StationaryLaw as StationaryLaw
