"""Problems with known facts, each by one call."""

from flows.problems.digits import digits_mlp as digits_mlp
from flows.problems.small import Quadratic as Quadratic
from flows.problems.small import TaylorPolynomial as TaylorPolynomial
from flows.problems.small import double_well as double_well
from flows.problems.small import quadratic as quadratic
from flows.problems.small import taylor_polynomial as taylor_polynomial
from flows.problems.small import two_layer_product as two_layer_product
from flows.problems.small import wavy as wavy
