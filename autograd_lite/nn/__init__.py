"""Modules, layers, activations, losses and initial values, by PyTorch's names."""

from autograd_lite.nn import init as init
from autograd_lite.nn.convolution import AvgPool2d as AvgPool2d
from autograd_lite.nn.convolution import Conv2d as Conv2d
from autograd_lite.nn.convolution import MaxPool2d as MaxPool2d
from autograd_lite.nn.functions import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from autograd_lite.nn.functions import cross_entropy as cross_entropy
from autograd_lite.nn.functions import gelu as gelu
from autograd_lite.nn.functions import huber_loss as huber_loss
from autograd_lite.nn.functions import kl_div as kl_div
from autograd_lite.nn.functions import l1_loss as l1_loss
from autograd_lite.nn.functions import leaky_relu as leaky_relu
from autograd_lite.nn.functions import log_softmax as log_softmax
from autograd_lite.nn.functions import mse_loss as mse_loss
from autograd_lite.nn.functions import relu as relu
from autograd_lite.nn.functions import sigmoid as sigmoid
from autograd_lite.nn.functions import silu as silu
from autograd_lite.nn.functions import softmax as softmax
from autograd_lite.nn.functions import softplus as softplus
from autograd_lite.nn.functions import tanh as tanh
from autograd_lite.nn.layers import GELU as GELU
from autograd_lite.nn.layers import BatchNorm1d as BatchNorm1d
from autograd_lite.nn.layers import Dropout as Dropout
from autograd_lite.nn.layers import Embedding as Embedding
from autograd_lite.nn.layers import Flatten as Flatten
from autograd_lite.nn.layers import LayerNorm as LayerNorm
from autograd_lite.nn.layers import LeakyReLU as LeakyReLU
from autograd_lite.nn.layers import Linear as Linear
from autograd_lite.nn.layers import ReLU as ReLU
from autograd_lite.nn.layers import Sigmoid as Sigmoid
from autograd_lite.nn.layers import SiLU as SiLU
from autograd_lite.nn.layers import Softplus as Softplus
from autograd_lite.nn.layers import Tanh as Tanh
from autograd_lite.nn.module import Module as Module
from autograd_lite.nn.module import Sequential as Sequential
