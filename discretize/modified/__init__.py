"""Modified equations: the flows that one-step and momentum methods really follow."""

from discretize.modified.logarithm import StepLogarithm as StepLogarithm
from discretize.modified.momentum import ModifiedMomentumFlow as ModifiedMomentumFlow
from discretize.modified.momentum import momentum_slip as momentum_slip
from discretize.modified.multistep import multistep_terms as multistep_terms
from discretize.modified.one_step import ModifiedFlow as ModifiedFlow
from discretize.modified.one_step import modified_terms as modified_terms
