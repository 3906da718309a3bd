"""Checks of gradients against numeric derivatives and against closed forms.

Numeric derivatives are central differences, extrapolated to step 0 (Richardson) in extended
precision where the function allows it: good to about 12 digits, so a rule that is wrong by one part
in a million does not pass. Each comes with an estimate of its own error, and one that is too rough
to judge by is a failure that says so. They cannot see a loss of accuracy in the function itself; a
closed form can.
"""

from autograd_lite.checks.closed_forms import check_closed_form
from autograd_lite.checks.orders import check_grads
from autograd_lite.checks.reports import Cell, ClosedFormReport
from autograd_lite.checks.ulps import ulp_distance

__all__ = ["Cell", "ClosedFormReport", "check_closed_form", "check_grads", "ulp_distance"]


def __dir__() -> list[str]:
    return __all__
