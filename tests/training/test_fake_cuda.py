"""A training step and its evaluation on fake CUDA tensors, which have shapes and devices but no data: a tensor left on
the CPU fails here without a GPU.

Gradients are filled in, since the autograd engine needs a driver.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from alexnet_pl.config.views import DenseViews
from alexnet_pl.data.loading.augment import Augment, Draws, gather_pixels
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.cifar import ConvNet
from alexnet_pl.models.local_response_norm import NormFunction, NormSpec
from alexnet_pl.models.overfeat import OverFeat
from alexnet_pl.retrieval.extractor import find_reader
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.optimizer import MomentumSGD, parameter_groups
from alexnet_pl.training.performance import Performance

pytestmark = pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="this torch was built without CUDA")
CUDA, IMAGES = torch.device("cuda", 0), 4
DENSE = DenseViews(scales=(1, 2), aspect="crop")
NETS: dict[str, tuple[Callable[[], nn.Module], int, int, DenseViews | None]] = {
    "AlexNet": (lambda: AlexNet(num_classes=7, crop=67, width=0.25), 67, 80, None),
    "as printed": (
        lambda: AlexNet(num_classes=7, crop=67, relu_after_pool1=False, norm_per_tower=False, spatial_norm=False),
        67,
        80,
        None,
    ),
    "CIFAR-10": (lambda: ConvNet(num_classes=7), 32, 32, None),
    "OverFeat": (lambda: OverFeat(num_classes=7, net="fast", crop=231, width=0.125), 231, 256, DENSE),
}


def on_gpu(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(*shape, dtype=dtype, device=CUDA)


@contextmanager
def bfloat16() -> Iterator[None]:
    """Autocast, which `torch.autocast` refuses without a GPU."""
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.set_autocast_cache_enabled(False)
    yield
    torch.set_autocast_enabled("cuda", False)
    torch.set_autocast_cache_enabled(True)


def move(module: nn.Module) -> None:
    """Replace parameters and buffers by fake tensors on the GPU."""
    for part in module.modules():
        for name, weight in part.named_parameters(recurse=False):
            fake = torch.empty_strided(weight.shape, weight.stride(), device=CUDA)
            part._parameters[name] = nn.Parameter(fake)
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = on_gpu(*buffer.shape, dtype=buffer.dtype)


def make_module(name: str) -> Classifier:
    make, crop, size, dense = NETS[name]
    with torch.device("meta"):
        net = make()
    performance = Performance(compile=False)
    net.to(memory_format=performance.memory_format)  # type: ignore[call-overload]
    return Classifier(net, Augment(size=size, crop=crop), {}, performance=performance, dense=dense)


def draw_batch(size: int) -> tuple[Tensor, Draws, Tensor]:
    images = on_gpu(IMAGES, 3, size, size, dtype=torch.uint8)
    corners = on_gpu(IMAGES, 2, dtype=torch.int64)
    draws = Draws(corners, on_gpu(IMAGES, dtype=torch.bool), on_gpu(IMAGES, 3))
    return images, draws, on_gpu(IMAGES, dtype=torch.int64)


@pytest.fixture(params=list(NETS))
def module(request: pytest.FixtureRequest) -> Iterator[Classifier]:
    made = make_module(request.param)
    with FakeTensorMode(allow_non_fake_inputs=True):
        move(made)
        yield made


def test_training_step_stays_on_the_gpu(module: Classifier) -> None:
    images, draws, labels = draw_batch(module.augment.size)
    groups = parameter_groups(module.net, 0.01, 0.0005, 2.0, False)
    sgd = MomentumSGD(groups, 0.01, 0.9, 0.0005, fused=False)  # the fused update has no fake kernel
    for _ in range(2):
        with bfloat16():
            logits = module.net(module.in_memory_format(module.augment(images, draws)))
        loss = F.cross_entropy(logits.float(), labels)
        for weight in module.net.parameters():
            weight.grad = torch.empty_like(weight)
        sgd.step()
        module.sums.add(loss, logits, labels)
    assert {loss.device, module.sums.unlogged.device, *(value.device for value in module.net.parameters())} == {CUDA}


def test_views_are_evaluated_on_the_gpu(module: Classifier) -> None:
    images, _, _ = draw_batch(module.augment.size)
    with torch.no_grad(), bfloat16():
        for views in ("center", "ten"):
            assert module.log_probabilities(images, views).device == CUDA
        if module.dense:
            photographs = [on_gpu(3, 256 + 20 * i, 300, dtype=torch.uint8) for i in range(3)]
            assert module.test_scores(photographs).device == CUDA


@pytest.mark.parametrize("layer", ["fc7", "pixels", "conv1", "conv5"])
def test_features_are_read_on_the_gpu(layer: str) -> None:
    made = make_module("AlexNet").eval()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode(), bfloat16():
        move(made)
        (view,) = made.augment.views(draw_batch(80)[0], "center")
        assert find_reader(made, layer, "features.layer")(made, view).float().device == CUDA


@pytest.mark.parametrize("spec", [NormSpec(5, 2.0, 1e-4, 0.75, 2, False), NormSpec(5, 1.0, 1e-3, 0.75, 1, True)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_gradient_of_a_norm_has_the_type_of_its_input(spec: NormSpec, dtype: torch.dtype) -> None:
    with FakeTensorMode():
        a, grad = (on_gpu(2, 2, 8, 13, 13, dtype=dtype) for _ in range(2))
        context = SimpleNamespace(saved_tensors=(a,), spec=spec, use_compile=False)
        found, *_ = NormFunction.backward(context, grad)
    assert (found.device, found.dtype) == (CUDA, dtype)


@pytest.mark.parametrize("per_position", [False, True])
def test_augmentation_kernel_writes_channels_last_bfloat16(per_position: bool) -> None:
    augment = Augment(size=80, crop=67)
    with FakeTensorMode(allow_non_fake_inputs=True):
        move(augment)
        images, draws, _ = draw_batch(80)
        mean = augment.mean_image if per_position else augment.center_mean
        noise = augment.noise_colors(draws)
        found = gather_pixels(images, draws, mean, noise, 1.1, 67, per_position, torch.bfloat16)
    assert (found.shape, found.dtype, found.device) == ((IMAGES, 3, 67, 67), torch.bfloat16, CUDA)
    assert found.is_contiguous(memory_format=torch.channels_last)
