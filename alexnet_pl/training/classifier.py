"""LightningModule for training and testing a classifier (§6, §5.1), with augmentation on the device."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.config.migration import SCHEMA
from alexnet_pl.config.views import DenseViews
from alexnet_pl.data.loading.augment import CROP_POSITIONS, Augment, Batch
from alexnet_pl.data.loading.datamodule import ImageStore, image_share
from alexnet_pl.data.loading.loaders import EvalLoader
from alexnet_pl.data.loading.whole_images import WholeBatch
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.dataset_info import describe_dataset
from alexnet_pl.evaluation.dense import dense_scores
from alexnet_pl.evaluation.metrics import ErrorRates
from alexnet_pl.evaluation.view_average import average_views
from alexnet_pl.json_records import JsonObject, to_json
from alexnet_pl.models.networks import Net, check_sliding
from alexnet_pl.runs.checkpoint_checks import LIMITED, OVER_CLASSES, check_same_classes, check_same_images
from alexnet_pl.runs.checkpoint_metadata import read_lineage
from alexnet_pl.runs.records import DatasetInfo, LineageStage
from alexnet_pl.runtime.precision import uncached_autocast
from alexnet_pl.training.cuda_graph import CudaGraphStep
from alexnet_pl.training.loggers import should_log, write_metrics
from alexnet_pl.training.optimizer import MomentumSGD, check_constants, check_layer_decay, parameter_groups
from alexnet_pl.training.performance import UNOPTIMIZED, Performance
from alexnet_pl.training.running_sums import RunningSums


class Classifier(L.LightningModule):
    """LightningModule for classification: network, on-device augmentation, error rates.

    Checkpoints contain everything that `predict` needs, so that it works without the store: arguments of network and
    augmentation, mean image, principal components of color, and class list. `load(…)` or `open_run(…).module` opens
    one; `load_from_checkpoint` cannot, because the network is an argument.

    It is trained by the command `fit`, with this package's data. A Trainer or loop of your own trains `Classifier.net`,
    an ordinary module.
    """

    net: Net
    augment: Augment

    def __init__(
        self,
        net: Net,
        augment: Augment,
        architecture: Mapping[str, Any],
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 0.0005,
        bias_lr_scale: float = 2.0,
        decay_biases: bool = False,
        layer_decay: dict[str, float] | None = None,
        views: str = "ten",
        dense: DenseViews | None = None,
        performance: Performance = UNOPTIMIZED,
    ) -> None:
        """Initialize the module; `lr` to `layer_decay` are the settings of §6.

        `architecture`: the arguments that `net` and `augment` were built with, {"model": …, "augment": …}. `views`: the
        crops averaged in a test, "center", "ten" or "nine". `dense`: test with OverFeat's windows instead of `views`.

        Raises ValueError or UserError for a value out of range.
        """
        super().__init__()
        check_constants(lr=lr, momentum=momentum, weight_decay=weight_decay, bias_lr_scale=bias_lr_scale)
        if dense is None and views not in CROP_POSITIONS:
            raise UserError(f"test.views={views}: one of {', '.join(CROP_POSITIONS)}, dense")
        if dense is not None:
            check_sliding(net)
        self.net, self.augment, self.architecture = net, augment, dict(architecture)
        self.views, self.dense = dense.name if dense else views, dense
        self.performance, self.step_function = performance, self.train_step
        self.automatic_optimization = False  # for the paper's update rule, and for CUDA graphs that replay the step
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.bias_lr_scale, self.decay_biases, self.layer_decay = bias_lr_scale, decay_biases, dict(layer_decay or {})
        check_layer_decay(self.layer_decay, net)
        self.rate_scales: dict[str, float] = {}  # factor of `lr` by layer; 1 for layers not named
        self.classes: list[list[str]] = []
        self.last_metrics: dict[str, Tensor] = {}  # metrics of the last validation or test
        self.trained_on = DatasetInfo()
        self.filter = ""  # resizing filter of the training images; not known in older checkpoints and for drawn images
        self.progress_metrics: dict[str, float] = {}  # `log(prog_bar=True)` would wait for the GPU at each step
        self.labeled = True  # whether the labels of the tested split are known
        self.lineage: list[LineageStage] = []  # earlier runs that layers were copied from, oldest first
        self.sums, self.val_errors, self.test_errors = RunningSums(), ErrorRates(), ErrorRates()

    def setup(self, stage: str) -> None:
        """Set classes and, for a fit, image statistics from the store; loading a checkpoint replaces the statistics."""
        for errors in (self.val_errors, self.test_errors):  # processes count different images
            errors.process_group = getattr(self.trainer.strategy, "data", None)
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, ImageStore):
            raise UserError(
                "Classifier: trains on data of this package, as the command fit; use Classifier.net elsewhere"
            )
        data.check_num_classes(self.net.num_classes)
        store = data.store
        if stage == "test":
            self.labeled = store.split(data.test_split_name).labeled
        if stage != "fit":
            return check_same_classes(self.classes, store.classes)
        self.classes = store.classes
        self.trained_on = describe_dataset(store, "train")
        self.filter = (store.manifest.settings or {}).get("filter", "")
        self.augment.set_statistics(store.mean, store.covariance)

    def configure_model(self) -> None:
        """Set the memory format in this hook, after which DDP lays out its gradient buckets like the weights."""
        self.apply_performance(self.trainer.strategy.root_device)

    def apply_performance(self, device: torch.device) -> None:
        """Choose memory format, compiled norms and augmentation kernel for `device`."""
        self.performance.apply(self.net, device)
        rounds = self.performance.rounds_images(device)
        self.augment.image_by_image = rounds and device.type == "cpu"
        self.augment.fused = rounds and device.type == "cuda"

    def configure_optimizers(self) -> MomentumSGD:
        if self.performance.uses_cuda_graph(
            self.device, single_device=isinstance(self.trainer.strategy, SingleDeviceStrategy)
        ):
            self.step_function = CudaGraphStep(self.train_step, self.graph_state)
        settings = (self.lr, self.weight_decay, self.bias_lr_scale, self.decay_biases)
        groups = parameter_groups(self.net, *settings, self.layer_decay, self.rate_scales)
        return MomentumSGD(groups, self.lr, self.momentum, self.weight_decay, fused=self.performance.optimized)

    def graph_state(self) -> tuple[float, ...]:
        """Host values that a captured graph would freeze: learning rate of each group, color noise."""
        return (*(group["lr"] for group in self.sgd.param_groups), self.augment.noise)

    @property
    def sgd(self) -> MomentumSGD:
        return self.optimizers(use_pl_optimizer=False)  # type: ignore[return-value]

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.step_function(batch)
        self.count_step()
        if should_log(self.trainer):
            self.log_training()

    def count_step(self) -> None:
        """Advance `global_step`.

        Lightning counts the calls of its own optimizer wrapper, which a replayed CUDA graph does not make. There is no
        public way to advance the counter.
        """
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        progress.increment_completed()

    def train_step(self, batch: Batch) -> None:
        """Run forward, backward and update on one batch (§6)."""
        assert batch.draws is not None
        sgd = self.sgd
        sgd.zero_grad()
        with uncached_autocast(self.device.type):
            logits = self.net(self.in_memory_format(self.augment(batch.images, batch.draws)))
            loss = F.cross_entropy(logits.float(), batch.labels)
        self.manual_backward(loss)
        sgd.step()
        self.sums.add(loss, logits, batch.labels)

    def in_memory_format(self, images: Tensor) -> Tensor:
        """The images in the memory format of the network's weights."""
        return images.contiguous(memory_format=self.performance.memory_format)

    def log_training(self) -> None:
        """Log mean loss and top-1 error since the last call, over all devices. Synchronizes host and device."""
        mean_loss, error = self.sums.take(self.trainer.strategy)
        self.check_finite(mean_loss)
        values = {"train/loss": mean_loss, "train/top1_error": error}
        self.progress_metrics |= values
        write_metrics(self.trainer, values)

    def check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise UserError(f"the training loss is {loss} by step {self.global_step}; try a smaller optim.lr")

    def on_train_epoch_start(self) -> None:
        """Reset the sums. Lightning does not call this for an epoch resumed in the middle, whose sums are kept."""
        self.sums.reset()

    def epoch_error(self) -> float:
        """Running training error of the epoch in percent, over all devices (Figure 1)."""
        return self.sums.epoch_error(self.trainer.strategy)

    def on_validation_model_zero_grad(self) -> None:
        """Do nothing: a captured CUDA graph writes to the gradient tensors' addresses, so they must be kept."""

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Update the validation errors; return (N, classes) log-probabilities for callbacks."""
        scores = self.log_probabilities(batch.images, "center")[: len(batch.labels)]
        self.val_errors.update(scores, batch.labels)
        return scores

    def on_validation_epoch_end(self) -> None:
        self.log_errors("val", self.val_errors)

    def on_test_start(self) -> None:
        """Dense views differ in size from batch to batch: norms compiled for each size would take minutes."""
        if self.dense:
            replace(self.performance, compile=False).apply(self.net, self.device)

    def test_step(self, batch: Batch | WholeBatch, batch_idx: int) -> Tensor:
        """Update the test errors; return (N, classes) log-probabilities for callbacks."""
        scores = self.test_scores(batch.images)[: len(batch.labels)]
        if self.labeled:
            self.test_errors.update(scores, batch.labels)
        return scores

    def on_test_epoch_end(self) -> None:
        if self.labeled:
            self.log_errors("test", self.test_errors)

    def test_scores(self, images: Tensor | list[Tensor]) -> Tensor:
        """Log-probabilities (N, classes), averaged over the views of the test.

        `images`: (N, 3, size, size) uint8; for dense views also a list of (3, H, W) of any sizes.
        """
        if self.dense is None:
            assert isinstance(images, Tensor)
            return self.log_probabilities(images, self.views)
        return dense_scores(self.net, self.prepare_picture, list(images), self.dense)  # type: ignore[arg-type]

    def prepare_picture(self, pictures: Tensor) -> Tensor:
        """Input of the network for images of any size: (N, 3, H, W), 0 to 255 → the same shape, minus the mean."""
        return self.in_memory_format(pictures - self.augment.color_mean)

    def log_probabilities(self, images: Tensor, view_set: str) -> Tensor:
        """Log of the softmax outputs averaged over views: (N, 3, size, size) uint8 → (N, classes).

        `view_set`: "center", "ten" or "nine" (`Augment.views`).
        """
        views, per_pass = self.augment.views(images, view_set), self.performance.views_per_pass(images)
        return average_views(self.net, self.in_memory_format, views, per_pass)

    def log_errors(self, stage: str, errors: ErrorRates) -> None:
        """Log the error rates of a split. Raises RuntimeError if an image was skipped or counted twice."""
        metrics = errors.compute()
        errors.reset()
        loader = self.trainer.val_dataloaders if stage == "val" else self.trainer.test_dataloaders
        assert isinstance(loader, EvalLoader)
        if metrics["count"] != loader.total:
            raise RuntimeError(f"{stage}: counted {int(metrics['count'])} images of {loader.total}")
        if metrics["nonfinite"]:
            self.print(f"{stage}: {int(metrics['nonfinite'])} images got scores that are not finite; counted as wrong")
        values = {f"{stage}/top1_error": metrics["top1_error"], f"{stage}/top5_error": metrics["top5_error"]}
        options = {"sync_dist": True, "reduce_fx": "max"}  # the values are the same in all processes
        self.log_dict(values, prog_bar=True, **options)
        self.log(f"{stage}/loss", metrics["nll"], **options)
        if stage == "val":
            self.log("step", float(self.global_step), **options)
            self.log("epoch", float(self.current_epoch + 1), **options)  # Lightning adds it only without "step"
        self.last_metrics = metrics

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        check_same_images(checkpoint["alexnet_pl"], self.classes, self.trained_on.fingerprint)
        if "sums" in checkpoint["alexnet_pl"]:
            first = image_share(self.trainer)[0] == 0  # sums are saved over all processes, so only one resumes them
            self.sums.restore(checkpoint["alexnet_pl"]["sums"].to(self.device) * first)
        self.lineage = read_lineage(checkpoint["alexnet_pl"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        sums = self.sums.save(self.trainer.strategy)
        self.check_finite(float(sums[:, 0].sum()))  # the loss may have diverged since metrics were last logged
        checkpoint["alexnet_pl"] = {
            "schema": SCHEMA,
            "switches": self.architecture,
            "classes": self.classes,
            "store": to_json(self.trained_on),
            "filter": self.filter,
            "lineage": [to_json(stage) for stage in self.lineage],
            "sums": sums,
            "course": self.course,
        }

    @property
    def course(self) -> JsonObject:
        """Settings in a checkpoint that a resumed fit must share."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        return {
            "seed": data.seed,
            "batch_size": data.batch_size,
            "include_val_after_epoch": data.include_val_after_epoch,
            "shuffle": data.shuffle,
            LIMITED: OVER_CLASSES,
        }
