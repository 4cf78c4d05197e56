"""Detector training (§5): the classifier is fine-tuned with a background class on windows of whole images.

For each image, one pass without gradients scores all windows; window_sampling.py selects some by these scores, and only
those pass through the classifier with dropout and gradients. The regressor is trained on the windows with an object;
its gradients stop at the features, as in localisation.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.detection.box_module import BoxModule, zero_loss
from alexnet_pl.detection.boxes import to_window_frame
from alexnet_pl.detection.pyramid import gather_windows, rescale_boxes, resize_image, window_boxes
from alexnet_pl.detection.regressor import box_loss
from alexnet_pl.detection.scene_loader import TrainingScene, numpy_boxes
from alexnet_pl.detection.window_sampling import sample_windows
from alexnet_pl.detection.window_writer import WindowBatch
from alexnet_pl.evaluation.dense import slide_classifier
from alexnet_pl.evaluation.image_scales import pyramid_sides


class DetectorModule(BoxModule):
    """Loss: cross-entropy of the windows' classes plus the box loss of the windows with an object."""

    loss_names = ("loss", "class_loss", "box_loss")

    def freeze(self) -> None:
        if self.options.fine_tune == "classifier":
            for name, layer in self.network.net.named_children():
                layer.requires_grad_(name.startswith("fc"))

    def training_step(self, batch: list[TrainingScene], index: int) -> Tensor:
        generator = np.random.default_rng([self.trainer.global_step, self.trainer.global_rank])
        return self.keep_losses(self.compute_losses(batch, generator))

    def validation_step(self, batch: list[TrainingScene], index: int) -> None:
        losses = self.compute_losses(batch, np.random.default_rng(index))
        self.log_val_losses(losses, len(batch))

    def compute_losses(self, batch: list[TrainingScene], generator: np.random.Generator) -> dict[str, Tensor]:
        samples = [self.pick_windows(scene, generator) for scene in batch]
        if not any(len(sample.labels) for sample in samples):  # no image, or no window is an object or background
            zero = zero_loss(self.parameters())
            return {"loss": zero, "class_loss": zero, "box_loss": zero}
        features, targets, labels = (torch.cat(parts) for parts in zip(*samples, strict=True))
        logits = self.network.net.classify(self.network.net.convolve_pooled(features)).flatten(1)
        classes = F.cross_entropy(logits.float(), labels)
        objects = labels < self.network.num_objects
        boxes = self.compute_box_loss(WindowBatch(features[objects].detach(), targets[objects], labels[objects]))
        return {"loss": classes + boxes, "class_loss": classes, "box_loss": boxes}

    def compute_box_loss(self, objects: WindowBatch) -> Tensor:
        if not len(objects.labels):
            return zero_loss(self.network.regressor.parameters())
        outputs = self.network.regressor(objects.features).flatten(2).float()
        return box_loss(outputs, objects.targets, objects.labels)

    def pick_windows(self, scene: TrainingScene, generator: np.random.Generator) -> WindowBatch:
        """Features with gradients, targets and labels of the sampled windows of an image."""
        network, options = self.network, self.options
        size: tuple[int, int] = tuple(scene.image.shape[1:])  # type: ignore[assignment]
        sides = pyramid_sides(size, network.window, scene.scale, options.zoom)
        maps = network.convolve(resize_image(scene.image, sides))
        windows = window_boxes(network.window, sides)
        boxes, labels = numpy_boxes(scene)
        boxes = rescale_boxes(boxes, size, sides)
        counts = options.positives, options.random_negatives, options.hard_negatives
        difficulty = self.score_difficulty(maps.detach())
        picked = sample_windows(
            windows, boxes, labels, difficulty, counts, network.num_objects, generator, scene.negatives
        )
        targets = np.zeros((len(picked.windows), 4))
        has_box = picked.boxes >= 0
        targets[has_box] = to_window_frame(boxes[picked.boxes[has_box]], windows[picked.windows[has_box]])
        features = gather_windows(network.pool(maps), network.window, torch.from_numpy(picked.windows))
        edges, classes = torch.from_numpy(targets).float(), torch.from_numpy(picked.labels)
        return WindowBatch(features, edges.to(features.device), classes.to(features.device))

    @torch.no_grad()
    def score_difficulty(self, maps: Tensor) -> np.ndarray:
        """Difficulty of each window, (windows,): 1 − the probability of background, without dropout."""
        training = self.network.net.training
        self.network.net.eval()
        scores = F.softmax(slide_classifier(self.network.net, maps).float(), 1)[0, -1]
        self.network.net.train(training)
        return 1 - scores.flatten().cpu().numpy()
