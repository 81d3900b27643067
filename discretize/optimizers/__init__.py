"""Optimisers that optax lacks, in optax's protocol."""

from discretize.optimizers.drift_adjusted import drift_adjusted as drift_adjusted
from discretize.optimizers.exponentiated_gradient import (
    exponentiated_gradient as exponentiated_gradient,
)
from discretize.optimizers.exponentiated_gradient import (
    move_in_logarithms as move_in_logarithms,
)
from discretize.optimizers.inna import inna as inna
from discretize.optimizers.innaprop import innaprop as innaprop
from discretize.optimizers.langevin import sgld as sgld
from discretize.optimizers.langevin import tamed_langevin as tamed_langevin
from discretize.optimizers.langevin import tula as tula
from discretize.optimizers.nesterov import NesterovState as NesterovState
from discretize.optimizers.nesterov import descent_point as descent_point
from discretize.optimizers.nesterov import nag_c as nag_c
from discretize.optimizers.nesterov import nag_c_momentum as nag_c_momentum
from discretize.optimizers.nesterov import nag_sc as nag_sc
from discretize.optimizers.reshuffled import reshuffled_sgd as reshuffled_sgd
from discretize.optimizers.root_loss import root_loss_sgd as root_loss_sgd
from discretize.optimizers.root_loss import scale_by_root_loss as scale_by_root_loss
from discretize.optimizers.scalar_rms import scalar_rmsprop as scalar_rmsprop
from discretize.optimizers.scalar_rms import scale_by_scalar_rms as scale_by_scalar_rms
from discretize.optimizers.theopoula import theopoula as theopoula
from discretize.optimizers.tusla import tusla as tusla
from discretize.optimizers.weight_normalised import (
    move_in_scale_and_direction as move_in_scale_and_direction,
)
from discretize.optimizers.weight_normalised import (
    move_scale_and_project as move_scale_and_project,
)
from discretize.optimizers.weight_normalised import rpgd as rpgd
from discretize.optimizers.weight_normalised import (
    weight_normalised_sgd as weight_normalised_sgd,
)
