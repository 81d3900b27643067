"""How far gradient descent is from gradient flow: estimates and certificates."""

from discretize.certificate.approximation import Approximation as Approximation
from discretize.certificate.approximation import Certificate as Certificate
from discretize.certificate.approximation import Descent as Descent
from discretize.certificate.approximation import approximation as approximation
from discretize.certificate.approximation import (
    certify_linear_net as certify_linear_net,
)
from discretize.certificate.approximation import error_bound as error_bound
from discretize.certificate.error_law import ErrorFlow as ErrorFlow
from discretize.certificate.error_law import ErrorLaw as ErrorLaw
from discretize.certificate.error_law import ErrorState as ErrorState
from discretize.certificate.error_law import error_law as error_law
from discretize.certificate.spectrum import path_ends as path_ends
from discretize.certificate.theorem import error_growth as error_growth
