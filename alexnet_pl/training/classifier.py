"""LightningModule for training and testing (§6, §5.1): multinomial logistic regression with on-device augmentation."""

import math
from collections.abc import Mapping
from itertools import islice
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.config.migration import SCHEMA
from alexnet_pl.config.test_views import DenseViews
from alexnet_pl.data.loading.augment import CROP_POSITIONS, Augment, Batch
from alexnet_pl.data.loading.datamodule import image_share
from alexnet_pl.data.loading.loaders import EvalLoader
from alexnet_pl.data.loading.whole_images import WholeBatch
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.dense import dense_scores
from alexnet_pl.evaluation.metrics import ErrorRates
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.cifar import ConvNet, LocalNet
from alexnet_pl.models.overfeat import OverFeat
from alexnet_pl.runtime import uncached_autocast
from alexnet_pl.training.cuda_graph import CudaGraphStep
from alexnet_pl.training.loggers import logs_now, write_metrics
from alexnet_pl.training.optimizer import MomentumSGD, parameter_groups
from alexnet_pl.training.performance import UNOPTIMIZED, Performance

Net = AlexNet | ConvNet | LocalNet | OverFeat


class Classifier(L.LightningModule):
    """LightningModule for classification: network, on-device augmentation, error rates.

    A checkpoint carries everything that a later `predict` needs without the store: the switches of network and
    augmentation, the mean image, the color components, and the class list.
    """

    net: Net
    augment: Augment
    train_sums: Tensor  # loss, wrong answers, images since the last line of the log
    epoch_sums: Tensor  # the same of the epoch's earlier lines

    def __init__(
        self,
        net: Net,
        augment: Augment,
        switches: Mapping[str, Any],
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 0.0005,
        bias_lr_scale: float = 2.0,
        decay_biases: bool = False,
        no_decay_layers: list[str] | None = None,
        views: str = "ten",
        dense: DenseViews | None = None,
        speed: Performance = UNOPTIMIZED,
    ) -> None:
        """`switches`: how `net` and `augment` were built, {"model": …, "augment": …}; lr … no_decay_layers are §6's.
        `dense`: to test by OverFeat's windows in place of `views`."""
        super().__init__()
        if min(lr, momentum, weight_decay, bias_lr_scale) < 0:
            raise ValueError(
                f"lr={lr}, momentum={momentum}, weight_decay={weight_decay}, bias_lr_scale={bias_lr_scale}: "
                "none below 0"
            )
        if momentum >= 1:
            raise ValueError(f"momentum={momentum}: below 1, or no step would ever fade")
        if dense is None and views not in CROP_POSITIONS:
            raise UserError(f"test.views={views}: one of {', '.join(CROP_POSITIONS)}, dense")
        if dense is not None:
            check_sliding(net)
        self.net, self.augment, self.architecture = net, augment, dict(switches)
        self.views, self.dense = dense.name if dense else views, dense
        self.speed, self.step = speed, self.train_step
        self.automatic_optimization = False  # the update rule is the paper's, and a CUDA graph may replay it
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.bias_lr_scale, self.decay_biases, self.no_decay_layers = bias_lr_scale, decay_biases, no_decay_layers or []
        if unknown := set(self.no_decay_layers) - dict(net.named_children()).keys():
            raise ValueError(f"no_decay_layers={sorted(unknown)[0]}: the network has no such layer")
        self.classes: list[list[str]] = []
        self.last_metrics: dict[str, Tensor] = {}  # of the last validation or test
        self.dataset_info: dict[str, Any] = {}  # of the images trained on
        self.progress_metrics: dict[str, float] = {}  # `log(prog_bar=True)` would read the GPU each step
        self.labelled = True  # whether the labels of the tested split are known
        self.lineage: list[dict[str, Any]] = []  # runs whose layers were carried over, oldest first
        self.val_errors, self.test_errors = ErrorRates(), ErrorRates()
        for name in ("train_sums", "epoch_sums"):
            self.register_buffer(name, torch.zeros(3), persistent=False)

    def setup(self, stage: str) -> None:
        """Before a fit, take mean, color components and classes from the store; a checkpoint replaces the first two."""
        for errors in (self.val_errors, self.test_errors):  # counted over processes with different images
            errors.process_group = getattr(self.trainer.strategy, "data", None)
        store = self.trainer.datamodule.store  # type: ignore[attr-defined]
        outputs = self.net.num_classes
        if len(store.classes) != outputs:
            raise UserError(f"model.num_classes={outputs}: the store at {store.root} has {len(store.classes)} classes")
        if stage == "test":
            self.labelled = store.split(self.trainer.datamodule.test_split_name).labelled  # type: ignore[attr-defined]
        if stage != "fit":
            return self.check_classes(self.classes, store.classes)
        self.classes = store.classes
        counts = {"classes": len(store.classes), "images": len(store.split("train"))}
        self.dataset_info = {"name": store.name, "fingerprint": store.fingerprint, **counts}
        self.augment.set_statistics(store.mean, store.covariance)

    def configure_model(self) -> None:
        """Before DDP lays out its buckets after the weights."""
        self.apply_performance(self.trainer.strategy.root_device)

    def apply_performance(self, device: torch.device) -> None:
        """Prepare network and augmentation for the device that they will run on."""
        self.speed.apply(self.net, device)
        self.augment.blocked = self.speed.optimized and device.type == "cpu"
        self.augment.fused = self.speed.uses_compile(device) and device.type == "cuda"

    def configure_optimizers(self) -> MomentumSGD:
        if self.speed.uses_cuda_graph(self.device, alone=isinstance(self.trainer.strategy, SingleDeviceStrategy)):
            self.step = CudaGraphStep(self.train_step, self.graph_state)
        rates = (self.lr, self.weight_decay, self.bias_lr_scale, self.decay_biases)
        groups = parameter_groups(self.net, *rates, self.no_decay_layers)
        return MomentumSGD(groups, self.lr, self.momentum, self.weight_decay, fused=self.speed.optimized)

    def graph_state(self) -> tuple[float, ...]:
        """Values that a step takes from the host and a captured graph fixes: rate of each group, color noise."""
        return (*(group["lr"] for group in self.sgd.param_groups), self.augment.noise)

    @property
    def sgd(self) -> MomentumSGD:
        return self.optimizers(use_pl_optimizer=False)  # type: ignore[return-value]

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.step(batch)
        self.count_step()
        if logs_now(self.trainer):
            self.log_training()

    def count_step(self) -> None:
        """Advance `global_step`. Lightning counts calls of the optimizer through its own wrapper, which a replayed CUDA
        graph never makes; there is no public way to count otherwise."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        progress.increment_completed()

    def train_step(self, batch: Batch) -> None:
        """One step of gradient descent (§5); adds to `train_sums` on the device."""
        assert batch.draws is not None
        sgd = self.sgd
        sgd.zero_grad()
        with uncached_autocast(self.device.type):
            logits = self.net(self.speed.to_memory_format(self.augment(batch.images, batch.draws)))
            loss = F.cross_entropy(logits.float(), batch.labels)
        self.manual_backward(loss)
        sgd.step()
        wrong = (logits.detach().argmax(1) != batch.labels).sum()
        size = torch.full_like(loss, len(batch.labels))
        self.train_sums += torch.stack([loss.detach() * size, wrong, size])

    def log_training(self) -> None:
        """Log mean loss and top-1 error, over all devices, since the last line of the log. The host waits for them."""
        sums = self.trainer.strategy.reduce(self.train_sums.clone(), reduce_op="sum")
        assert isinstance(sums, Tensor)
        mean_loss, mean_wrong = (sums[:2] / sums[2]).tolist()
        self.epoch_sums += self.train_sums
        self.train_sums.zero_()
        self.check_finite(mean_loss)
        values = {"train/loss": mean_loss, "train/top1_error": 100 * mean_wrong}
        self.progress_metrics |= values
        write_metrics(self.trainer, values)

    def check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise UserError(f"the training loss is {loss} by step {self.global_step}; try a smaller optim.lr")

    def on_train_epoch_start(self) -> None:
        """An epoch that is resumed in its middle has no start."""
        self.train_sums.zero_()
        self.epoch_sums.zero_()

    def epoch_error(self) -> float:
        """Percent of the epoch's training images that the network got wrong when their minibatch's turn came, before it
        learned from them: the running error that the program printed and Figure 1 draws."""
        sums = self.trainer.strategy.reduce(self.epoch_sums + self.train_sums, reduce_op="sum")
        assert isinstance(sums, Tensor)
        return float(100 * sums[1] / sums[2])

    def on_validation_model_zero_grad(self) -> None:
        """Gradients stay where they are: a captured step writes them there again."""

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """(N, classes) log-probabilities, which callbacks show."""
        scores = self.log_probabilities(batch.images, "center")[: len(batch.labels)]
        self.val_errors.update(scores, batch.labels)
        return scores

    def on_validation_epoch_end(self) -> None:
        self.log_errors("val", self.val_errors)

    def test_step(self, batch: Batch | WholeBatch, batch_idx: int) -> Tensor:
        """(N, classes) log-probabilities, which callbacks save."""
        scores = self.test_scores(batch.images)[: len(batch.labels)]
        if self.labelled:
            self.test_errors.update(scores, batch.labels)
        return scores

    def on_test_epoch_end(self) -> None:
        if self.labelled:
            self.log_errors("test", self.test_errors)

    def test_scores(self, images: Tensor | list[Tensor]) -> Tensor:
        """(N, classes) log-probabilities by the views of the test; `images`: squares (N, 3, size, size) uint8, or for
        dense views also a list of (3, H, W) of any sizes."""
        if self.dense is None:
            assert isinstance(images, Tensor)
            return self.log_probabilities(images, self.views)
        return dense_scores(self.net, self.prepare_picture, list(images), self.dense)  # type: ignore[arg-type]

    def prepare_picture(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W), 0 … 255, of any size → what the network reads."""
        return self.speed.to_memory_format(pictures - self.augment.color_mean)

    def log_probabilities(self, images: Tensor, which: str) -> Tensor:
        """(N, 3, size, size) uint8 → (N, classes): log of the softmax outputs' arithmetic mean over the views."""
        views, together = self.augment.views(images, which), self.speed.views_together(images)
        total, count = torch.zeros((), device=images.device), 0
        while some := list(islice(views, together)):
            joined = torch.cat(some) if len(some) > 1 else some[0]
            probabilities = F.softmax(self.net(self.speed.to_memory_format(joined)).float(), 1)
            total, count = total + probabilities.unflatten(0, (len(some), -1)).sum(0), count + len(some)
        mean = total / count
        return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()

    def log_errors(self, stage: str, errors: ErrorRates) -> None:
        """Log the errors of a split. Raises RuntimeError if an image was missed or counted twice."""
        found = errors.compute()
        errors.reset()
        loader = self.trainer.val_dataloaders if stage == "val" else self.trainer.test_dataloaders
        assert isinstance(loader, EvalLoader)
        if not self.trainer.sanity_checking and found["count"] != loader.total:
            raise RuntimeError(f"{stage}: counted {int(found['count'])} images of {loader.total}")
        if found["nonfinite"]:
            self.print(f"{stage}: {int(found['nonfinite'])} images got scores that are not finite; counted as wrong")
        values = {f"{stage}/top1_error": found["top1_error"], f"{stage}/top5_error": found["top5_error"]}
        everywhere = {"sync_dist": True, "reduce_fx": "max"}  # every process has the same already
        self.log_dict(values, prog_bar=True, **everywhere)
        self.log(f"{stage}/loss", found["nll"], **everywhere)
        if stage == "val":
            self.log("step", float(self.global_step), **everywhere)
        self.last_metrics = found

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.check_classes(checkpoint["alexnet_pl"]["classes"], self.classes)
        self.check_images(checkpoint["alexnet_pl"].get("store", {}))
        if "sums" in checkpoint["alexnet_pl"]:
            first = image_share(self.trainer)[0] == 0  # which goes on from what all had counted
            self.train_sums, self.epoch_sums = checkpoint["alexnet_pl"]["sums"].to(self.device) * first
        self.lineage = checkpoint["alexnet_pl"].get("lineage", [])

    def check_classes(self, learned: list[list[str]], there: list[list[str]]) -> None:
        if [identity for identity, _ in learned] != [identity for identity, _ in there]:
            raise UserError("ckpt_path: the checkpoint was trained on other classes than the store at data.root has")

    def check_images(self, trained_on: dict[str, Any]) -> None:
        """Raise UserError if the store at `data.root` is not the one that the fit was started with."""
        before, now = trained_on.get("fingerprint"), self.dataset_info.get("fingerprint")
        if before and now and before != now:
            raise UserError(
                f"data.root: the store holds other images ({now[:12]}) than the checkpoint was trained on "
                f"({before[:12]}); give that store, or start a new fit"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        about = {"schema": SCHEMA, "switches": self.architecture, "classes": self.classes, "store": self.dataset_info}
        checkpoint["alexnet_pl"] = about
        checkpoint["alexnet_pl"]["lineage"] = self.lineage
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        sums = torch.stack([self.train_sums, self.epoch_sums])
        sums = sums.to(self.trainer.strategy.root_device)  # where processes meet, also when a fit has ended
        sums = self.trainer.strategy.reduce(sums, reduce_op="sum")
        self.check_finite(float(sums[:, 0].sum()))  # between two lines of the log nothing else would notice
        checkpoint["alexnet_pl"]["sums"] = sums
        checkpoint["alexnet_pl"]["course"] = {
            "seed": data.seed,
            "batch_size": data.batch_size,
            "include_val_after_epoch": data.include_val_after_epoch,
        }


def check_sliding(net: Net) -> None:
    """Raise UserError for a network that cannot be used as a sliding window."""
    if isinstance(net, ConvNet | LocalNet):
        raise UserError("test.views=dense: for the networks of ImageNet, model.name=alexnet or overfeat")
    try:
        _ = net.window
    except ValueError as error:
        raise UserError(f"test.views=dense: model.{error}") from error
