"""Optimisers that optax lacks, in optax's protocol."""

from discretize.optimizers.scalar_rms import scalar_rmsprop as scalar_rmsprop
from discretize.optimizers.scalar_rms import scale_by_scalar_rms as scale_by_scalar_rms
