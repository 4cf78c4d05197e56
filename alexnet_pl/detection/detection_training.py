"""Training of a detector (§5): the classifier goes on learning, with a background class, from windows of whole images.

Of each image, one pass without gradients scores all windows; those that are learned from are chosen by these scores
(window_sampling.py), and only they go through the classifier again, with dropout and gradients. The regressor learns
from the windows with an object, and its gradients end at the features, as in localisation.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.detection.box_module import BoxModule
from alexnet_pl.detection.boxes import to_window_frame
from alexnet_pl.detection.pyramid import gather_windows, make_picture, picture_sides, resized, window_boxes
from alexnet_pl.detection.regressor import box_loss
from alexnet_pl.detection.scene_loader import Scene, numpy_boxes
from alexnet_pl.detection.window_cache import Windows
from alexnet_pl.detection.window_sampling import sample_windows
from alexnet_pl.evaluation.dense import slide_classifier


class DetectorModule(BoxModule):
    """Loss: cross-entropy of the windows' classes, and the squared distance of the boxes of those with an object."""

    def freeze(self) -> None:
        if self.options.fine_tune == "classifier":
            for name, layer in self.network.net.named_children():
                layer.requires_grad_(name.startswith("fc"))

    def training_step(self, batch: list[Scene], index: int) -> Tensor:
        chance = np.random.default_rng([self.trainer.global_step, self.trainer.global_rank])
        losses = self.losses(batch, chance)
        loss = self.check_loss(losses["loss"])
        values = {f"train/{name}": value.detach() for name, value in losses.items()}
        self.log_dict(values, prog_bar=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: list[Scene], index: int) -> None:
        losses = self.losses(batch, np.random.default_rng(index))
        values = {f"val/{name}": value for name, value in losses.items()}
        self.log_dict(values, prog_bar=True, batch_size=len(batch), sync_dist=True)

    def losses(self, batch: list[Scene], chance: np.random.Generator) -> dict[str, Tensor]:
        found = [self.pick_windows(scene, chance) for scene in batch]
        features, targets, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        if not len(labels):  # no window of these images is an object or background
            nothing = features.sum() * 0
            return {"loss": nothing, "class_loss": nothing, "box_loss": nothing}
        classes = F.cross_entropy(self.network.net.classify(features).flatten(1).float(), labels)
        objects = labels < self.network.objects
        answers = self.network.regressor(features[objects].detach()).flatten(2).float()
        boxes = box_loss(answers, targets[objects], labels[objects]) if objects.any() else classes.new_zeros(())
        return {"loss": classes + boxes, "class_loss": classes, "box_loss": boxes}

    def pick_windows(self, scene: Scene, chance: np.random.Generator) -> Windows:
        """Features, with gradients, of the windows of an image that are learned from."""
        network, options = self.network, self.options
        size: tuple[int, int] = tuple(scene.image.shape[1:])  # type: ignore[assignment]
        sides = picture_sides(size, network.window, scene.scale, options.zoom)
        maps = network.convolve(make_picture(scene.image, sides))
        windows = window_boxes(network.window, sides)
        boxes, labels = numpy_boxes(scene)
        boxes = resized(boxes, size, sides)
        counts = options.positives, options.random_negatives, options.hard_negatives
        offending = self.offending(maps.detach())
        picked = sample_windows(windows, boxes, labels, offending, counts, network.objects, chance, scene.negatives)
        targets = np.zeros((len(picked.windows), 4))
        real = picked.boxes >= 0
        targets[real] = to_window_frame(boxes[picked.boxes[real]], windows[picked.windows[real]])
        features = gather_windows(network.pool(maps), network.window, torch.from_numpy(picked.windows))
        edges, classes = torch.from_numpy(targets).float(), torch.from_numpy(picked.labels)
        return Windows(features, edges.to(features.device), classes.to(features.device))

    @torch.no_grad()
    def offending(self, maps: Tensor) -> np.ndarray:
        """(windows,) how little each window of a picture looks like background, without dropout."""
        training = self.network.net.training
        self.network.net.eval()
        scores = F.softmax(slide_classifier(self.network.net, maps).float(), 1)[0, -1]
        self.network.net.train(training)
        return 1 - scores.flatten().cpu().numpy()
