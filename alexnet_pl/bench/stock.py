"""The same network as people write it: PyTorch's own layers, eager, in float32, channels first, PyTorch's optimizer."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.layers import NormLayer
from alexnet_pl.normalisation import Rule


class StockNorm(nn.Module):
    """One of the three norms by PyTorch's own functions."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, a: Tensor) -> Tensor:
        n, k, alpha, beta, towers, spatial = self.rule
        if spatial:
            return a / (k + alpha * n * n * F.avg_pool2d(a.square(), n, 1, n // 2)).pow(beta)
        return torch.cat([F.local_response_norm(half, n, alpha * n, beta, k) for half in a.chunk(towers, 1)], 1)


def stock(net: nn.Module) -> nn.Module:
    """A copy of `net` with its norms exchanged."""
    net = copy.deepcopy(net).to(memory_format=torch.contiguous_format)
    for name, layer in list(net.named_children()):
        if isinstance(layer, NormLayer):
            setattr(net, name, StockNorm(layer.rule))
    return net
