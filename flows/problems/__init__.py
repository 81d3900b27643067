"""Problems with known facts, each by one call."""

from flows.problems.closed_form import SolvedObjective as SolvedObjective
from flows.problems.deep_linear import DeepLinear as DeepLinear
from flows.problems.deep_linear import MatrixLeastSquares as MatrixLeastSquares
from flows.problems.deep_linear import balanced_factors as balanced_factors
from flows.problems.deep_linear import deep_linear as deep_linear
from flows.problems.deep_linear import end_to_end as end_to_end
from flows.problems.deep_linear import imbalance as imbalance
from flows.problems.digits import digits_mlp as digits_mlp
from flows.problems.quadratic import Quadratic as Quadratic
from flows.problems.quadratic import quadratic as quadratic
from flows.problems.regression import least_squares as least_squares
from flows.problems.regression import logistic_regression as logistic_regression
from flows.problems.rosenbrock import rosenbrock as rosenbrock
from flows.problems.scalar_losses import exponential as exponential
from flows.problems.scalar_losses import logistic as logistic
from flows.problems.scalar_product import scalar_product as scalar_product
from flows.problems.separable import MaxMargin as MaxMargin
from flows.problems.separable import max_margin as max_margin
from flows.problems.separable import separable_exponential as separable_exponential
from flows.problems.small import TaylorPolynomial as TaylorPolynomial
from flows.problems.small import double_well as double_well
from flows.problems.small import taylor_polynomial as taylor_polynomial
from flows.problems.small import wavy as wavy
