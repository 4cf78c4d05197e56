"""BoxRegressor (§4.1): pooled maps of layer 5 → edges of a box."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FULL_WINDOW = (0.0, 0.0, 1.0, 1.0)


class BoxRegressor(nn.Module):
    """Two hidden layers and four outputs: left, top, right, bottom of a box relative to the window.

        pooled maps  (N, maps, 5, 5)   of the accurate network; larger maps give one output per window
        fc1          4096 of 5×5       ReLU
        fc2          1024              ReLU
        fc3             4              or 4 for each class

    `classes`: 0 for a regressor shared by all classes ("single-class", better in the paper), else the number of classes
    with four outputs each. Weights start from N(0, 2 / inputs), those of the last layer from N(0, 0.01²) with biases
    that predict the window itself; the paper does not specify the initialization.
    """

    def __init__(self, maps: int, kernel: int, units: tuple[int, int] = (4096, 1024), classes: int = 0) -> None:
        super().__init__()
        self.heads = max(classes, 1)
        self.fc1 = nn.Conv2d(maps, units[0], kernel)
        self.fc2 = nn.Conv2d(units[0], units[1], 1)
        self.fc3 = nn.Conv2d(units[1], 4 * self.heads, 1)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, mean_square: float = 1.0) -> None:
        """Initialize the weights. `mean_square`: that of the input features, to normalize the first layer's scale."""
        for layer, square in ((self.fc1, mean_square), (self.fc2, 1.0)):
            nn.init.normal_(layer.weight, std=math.sqrt(2 / (layer.weight[0].numel() * square)))
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.fc3.weight, std=0.01)
        self.fc3.bias.copy_(torch.tensor(FULL_WINDOW).repeat(self.heads))  # type: ignore[union-attr]

    def forward(self, pooled: Tensor, dilation: int = 1) -> Tensor:
        """(N, maps, h, w) → (N, heads, 4, h′, w′); `dilation`: for maps pooled at stride 1 (§3.3)."""
        x = F.relu(F.conv2d(pooled, self.fc1.weight, self.fc1.bias, dilation=dilation))
        return self.fc3(F.relu(self.fc2(x))).unflatten(1, (self.heads, 4))


def box_loss(predictions: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """Squared distance of the four edges (§4.2), mean over windows, in units of the window's side.

    `predictions`: (N, heads, 4); `targets`: (N, 4); `labels`: (N,) class of each box, which selects the outputs if
    each class has its own.
    """
    heads = predictions.shape[1]
    outputs = predictions[:, 0] if heads == 1 else predictions[torch.arange(len(labels), device=labels.device), labels]
    return (outputs - targets).square().sum(1).mean()
