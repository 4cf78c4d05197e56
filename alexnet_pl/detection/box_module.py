"""BoxModule: base LightningModule for training the regressor (§4) and the detector (§5).

The paper prints no learning rate, batch size, number of epochs or update rule for either. Adam with a learning rate
that decays linearly to zero works without a search.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from alexnet_pl.config.box_options import BoxOptions
from alexnet_pl.config.migration import SCHEMA
from alexnet_pl.detection.box_network import BoxNetwork
from alexnet_pl.json_records import JsonObject, to_json
from alexnet_pl.runs.records import LineageStage
from alexnet_pl.training.adam_module import AdamModule


class BoxModule(AdamModule):
    """Base module whose checkpoints contain everything that `detect` needs.

    `switches`: settings of the network, {"model", "augment", "boxes"}; `store`: identity of the training images.
    """

    loss_names: tuple[str, ...] = ("loss",)

    def __init__(
        self,
        network: BoxNetwork,
        switches: JsonObject,
        classes: list[list[str]],
        store: JsonObject,
        lr: float = 0.001,
        weight_decay: float = 0.0,
        epochs: int = 1,
    ) -> None:
        super().__init__(lr, epochs, weight_decay)
        self.network, self.switches, self.classes, self.store_info = network, switches, classes, store
        self.lineage: list[LineageStage] = []
        self.options = BoxOptions(**switches["boxes"])
        # Lightning's own mean over processes divides the number of images as an integer
        self.val_losses = nn.ModuleList(MeanMetric() for _ in self.loss_names)
        self.freeze()

    def freeze(self) -> None:
        """Freeze the parameters that are not trained; called once, by the constructor."""

    def log_val_losses(self, losses: Mapping[str, Tensor], count: int) -> None:
        """Log the mean of each loss over all processes; `count`: images or windows of this batch."""
        for name, metric in zip(self.loss_names, self.val_losses, strict=True):
            assert isinstance(metric, MeanMetric)
            metric.update(losses[name], count)
            self.log(f"val/{name}", metric, prog_bar=True)

    def on_save_checkpoint(self, checkpoint: JsonObject) -> None:
        self.check_finite()
        checkpoint["alexnet_pl"] = {
            "schema": SCHEMA,
            "switches": self.switches,
            "classes": self.classes,
            "store": self.store_info,
            "lineage": [to_json(stage) for stage in self.lineage],
            "course": self.course,
        }


def zero_loss(parameters: Iterable[nn.Parameter]) -> Tensor:
    """A loss of 0 whose gradients are zeros, for a process without a window: all processes must have all gradients."""
    return 0 * torch.stack([parameter.sum() for parameter in parameters if parameter.requires_grad]).sum()
