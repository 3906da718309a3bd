"""Differentiate plain NumPy: a tensor records a graph, a table of rules plays it backwards."""

from autograd_lite import rules as rules  # isort: skip
from autograd_lite import data as data
from autograd_lite import nn as nn
from autograd_lite import optim as optim
from autograd_lite import training as training
from autograd_lite.checkpoint import load as load
from autograd_lite.checkpoint import save as save
from autograd_lite.checks import check_closed_form as check_closed_form
from autograd_lite.checks import check_grads as check_grads
from autograd_lite.graphs import compare_graphs as compare_graphs
from autograd_lite.graphs import explain as explain
from autograd_lite.graphs import find_nonfinite as find_nonfinite
from autograd_lite.graphs import graph as graph
from autograd_lite.graphs import recording as recording
from autograd_lite.losses import cross_entropy as cross_entropy
from autograd_lite.losses import linear_cross_entropy as linear_cross_entropy
from autograd_lite.losses import log_softmax as log_softmax
from autograd_lite.losses import logsumexp as logsumexp
from autograd_lite.losses import softmax as softmax
from autograd_lite.losses import unfused_cross_entropy as unfused_cross_entropy
from autograd_lite.tape import derivative as derivative
from autograd_lite.tensor import Tensor as Tensor
from autograd_lite.tensor import composite as composite
from autograd_lite.tensor import no_grad as no_grad
from autograd_lite.tensor import primitive as primitive
from autograd_lite.training import evaluate as evaluate
from autograd_lite.training import fit as fit
from autograd_lite.training import plot_history as plot_history
from autograd_lite.transforms import elementwise_grad as elementwise_grad
from autograd_lite.transforms import grad as grad
from autograd_lite.transforms import hessian as hessian
from autograd_lite.transforms import hvp as hvp
from autograd_lite.transforms import jacobian as jacobian
from autograd_lite.transforms import jvp as jvp
from autograd_lite.transforms import value_and_grad as value_and_grad
from autograd_lite.transforms import vjp as vjp
