"""TrainedNetwork: a torch module that classifies images of any size, with the preprocessing of §3 and views of §5.1."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.config.schema import instantiate
from alexnet_pl.data.images import resize_center_crop
from alexnet_pl.data.loading.augment import CROP_POSITIONS, Augment
from alexnet_pl.errors import UserError
from alexnet_pl.inference.pictures import CenterView, Picture, list_pictures, read_pixels
from alexnet_pl.inference.weights import Weights, read_weights
from alexnet_pl.models.activations import layer_activations, learned_layers
from alexnet_pl.models.networks import Net, make_named_net

BATCH = 32  # images that are in memory at a time, with their activations


class Prediction(NamedTuple):
    """One predicted class: its id, name and probability."""

    class_id: str
    name: str
    probability: float


def check_views(views: str) -> None:
    if views not in CROP_POSITIONS:
        raise UserError(f"views={views}: one of {', '.join(CROP_POSITIONS)}")


class TrainedNetwork(nn.Module):
    """(N, 3, H, W) uint8 RGB → (N, classes) probabilities, averaged over the views; in evaluation mode.

    Images that are not `size` × `size` (256 in the paper) are resized so that the shorter side is `size`, then
    center-cropped (§3). `net` is the network without preprocessing, (N, 3, crop, crop) → logits. No weight requires a
    gradient: call `requires_grad_(True)` on `net` to train it, or to read gradients in hooks of your own. Threads may
    share the network.
    """

    net: Net
    augment: Augment

    def __init__(self, weights: Weights, views: str = "ten") -> None:
        """Raises UserError if `views` is unknown or the tensors do not fit the architecture."""
        super().__init__()
        check_views(views)
        self.weights_info, self.view_set = weights.info, views
        architecture = weights.info.architecture
        try:
            with torch.device("meta"):  # allocates nothing: `assign` below puts the weights in
                self.augment = instantiate(Augment, architecture["augment"], "augment")
                model = {**architecture["model"], "num_classes": len(weights.info.classes)}
                self.net = make_named_net(model, self.augment.crop)
            self.load_state_dict({name: tensor.float() for name, tensor in weights.tensors.items()}, assign=True)
        except (OverflowError, RuntimeError, TypeError) as error:
            raise UserError(f"weights: do not fit the architecture ({str(error).splitlines()[-1].strip()})") from error
        self.requires_grad_(False).eval()

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the outputs."""
        return [name for _, name in self.weights_info.classes]

    @property
    def size(self) -> int:
        """Side of the square images that views are cropped from, in pixels."""
        return self.augment.size

    def forward(self, images: Tensor) -> Tensor:
        views = [
            F.softmax(self.net(view).float(), 1) for view in self.augment.views(self.to_squares(images), self.view_set)
        ]
        return torch.stack(views).mean(0)

    def to_squares(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 3, size, size), uint8."""
        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
            raise ValueError(f"{tuple(images.shape)} {images.dtype}: expected uint8 images (N, 3, H, W)")
        if images.shape[-2:] == (self.size, self.size):
            return images
        if not len(images):
            return images.new_empty(0, 3, self.size, self.size)
        filter_name = self.weights_info.filter
        return torch.stack([resize_center_crop(image.cpu(), self.size, filter_name) for image in images]).to(
            images.device
        )

    @torch.no_grad()
    def predict(self, images: Picture | Sequence[Picture], top: int = 5) -> list[list[Prediction]]:
        """The `top` most probable classes of each image, best first, by views of its central square; the command
        `predict` classifies whole images if the network is tested on them (`test.views=dense`).

        `images`: one image or a sequence of images, each a Pillow image, a file (a path, bytes, or a file object), or
        uint8 RGB values as a (3, H, W) tensor or an (H, W, 3) array of NumPy. A tensor or array of four dimensions is a
        sequence of images.
        Raises ValueError for `top` below 1.
        """
        if top < 1:
            raise ValueError(f"top={top}: at least 1")
        probabilities = torch.cat([self(batch) for batch in self.to_batches(images)])
        best = probabilities.topk(min(top, len(self.classes)))
        classes = self.weights_info.classes
        rows = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        return [[Prediction(classes[i][0], classes[i][1], p) for p, i in zip(*row, strict=True)] for row in rows]

    @property
    def layers(self) -> list[str]:
        """Names of the layers that `features` reads."""
        return learned_layers(self.net)

    @overload
    def features(self, images: Picture | Sequence[Picture], layer: str = "fc7") -> Tensor: ...

    @overload
    def features(self, images: Picture | Sequence[Picture], layer: Sequence[str]) -> dict[str, Tensor]: ...

    @torch.no_grad()
    def features(
        self, images: Picture | Sequence[Picture], layer: str | Sequence[str] = "fc7"
    ) -> Tensor | dict[str, Tensor]:
        """Activations of a layer for the center view: (N, 4096) for fc7, the features of Figure 4 (§7.1);
        (N, units, 1, 1) for a fully connected layer of OverFeat; (N, maps, H, W) for a convolution, before norm and
        pooling; logits for the last layer.

        Several layers give a dictionary, computed in one forward pass. The tensors need no gradient, but layers that
        are trained may read them.
        """
        names = [layer] if isinstance(layer, str) else layer
        parts = [
            layer_activations(self.net, next(self.augment.views(batch, "center")), names)
            for batch in self.to_batches(images)
        ]
        outputs = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return outputs[layer] if isinstance(layer, str) else outputs

    def transforms(self) -> CenterView:
        """Function from an image to an input of `net`: its center view minus the mean image, (3, crop, crop) float32 on
        the CPU. Data sets may hold it, also in the workers of a DataLoader."""
        return CenterView(self.augment, self.weights_info.filter)

    def to_batches(self, images: Picture | Sequence[Picture]) -> Iterator[Tensor]:
        """`to_batch` for `BATCH` images at a time."""
        image_list = list_pictures(images)
        for start in range(0, max(1, len(image_list)), BATCH):
            yield self.to_batch(image_list[start : start + BATCH])

    def to_batch(self, images: Picture | Sequence[Picture]) -> Tensor:
        """Resize and stack images: (N, 3, size, size) uint8 on the network's device."""
        image_list = list_pictures(images)
        if not image_list:
            raise ValueError("no images")
        squares = [resize_center_crop(read_pixels(image), self.size, self.weights_info.filter) for image in image_list]
        return torch.stack(squares).to(self.augment.mean_image.device)


def load(source: str | Path, views: str = "ten") -> TrainedNetwork:
    """Load a trained network from a run folder, a checkpoint, an exported folder or file, or hf://user/repo.

    `views`: the views that probabilities are averaged over (§5.1): ten, center or nine, of squares also for a network
    that is tested on whole images (`test.views=dense`), which the command `predict` classifies whole. Raises UserError
    if there is no trained network at `source`.
    """
    return build_network(read_weights(source), source, views)


def build_network(weights: Weights, source: str | Path, views: str = "ten") -> TrainedNetwork:
    """Build the network of `weights`, which were read from `source`. Raises UserError, naming `source`, if they do not
    fit their settings."""
    check_views(views)
    try:
        return TrainedNetwork(weights, views)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
