"""Timing of training steps and of the norms: this package, the same network in stock PyTorch, torchvision's alexnet."""

import copy
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.json_records import JsonObject
from alexnet_pl.models.layers import LocalResponseNorm, NormLayer
from alexnet_pl.models.local_response_norm import NormSpec
from alexnet_pl.runtime.allocator import LARGE_PAGES, ask_for_large_pages, keep_freed_memory
from alexnet_pl.runtime.precision import use_tf32
from alexnet_pl.training.performance import Performance

BF16, TF32, FLOAT32 = "bf16", "tf32", "float32"
TF32_CONV = "TF32 convolutions"  # and float32 products, PyTorch's default on a GPU
OURS, STOCK, TORCHVISION = "ours", "stock PyTorch", "torchvision's alexnet"
CANDIDATES = (f"{OURS}, {BF16}", f"{OURS}, {FLOAT32}", f"{STOCK}, {FLOAT32}", f"{TORCHVISION}, {FLOAT32}")
EAGER, COMPILED = "ours, neither compiled nor a graph", "ours, compiled, no graph"
SEARCHED = "ours, cudnn.benchmark"
SPLIT = "ours, a convolution for each group"
SPLIT_SEARCHED = f"{SPLIT}, cudnn.benchmark"
GRAPHS = (OURS, SEARCHED, SPLIT, SPLIT_SEARCHED)
GPU_CANDIDATES = (  # TF32 last: torch compiles anew for it
    *(f"{network}, {BF16}" for network in (*GRAPHS, COMPILED, EAGER, STOCK)),
    f"{OURS}, {FLOAT32}",
    f"{STOCK}, {TF32_CONV}",
    f"{TORCHVISION}, {TF32_CONV}",
    f"{OURS}, {TF32}",
)
NORMS = ("ours, compiled", "ours, eager", "F.local_response_norm")
GPU_REPETITIONS = 20  # steps per timed run on a GPU, synchronized at the end


class Workload(NamedTuple):
    """Sizes of a step, and the recipe's sections `model` and `performance`, which stock candidates ignore."""

    batch_size: int
    crop: int
    device: str
    threads: int
    model: JsonObject
    performance: JsonObject

    @property
    def steps(self) -> int:
        return GPU_REPETITIONS if self.device == "cuda" else 1


def make_step(name: str, work: Workload) -> Callable[[], None]:
    """Return a function that runs `work.steps` steps (forward, backward, update) on an augmented batch."""
    network, _, precision = name.rpartition(", ")
    ours = network in (*GRAPHS, COMPILED, EAGER)
    torch.backends.cudnn.benchmark = network in (SEARCHED, SPLIT_SEARCHED)
    os.environ[LARGE_PAGES] = str(int(ours))
    torch.set_num_threads(work.threads)
    torch.manual_seed(0)
    if ours:  # stock candidates keep PyTorch's default
        use_tf32(precision == TF32)
    images = 60 * torch.randn(work.batch_size, 3, work.crop, work.crop, device=work.device)
    labels = torch.arange(work.batch_size, device=work.device) % work.model["num_classes"]
    if ours:
        images = images.to(input_type(network, precision, work), memory_format=torch.channels_last)
    step = plain_step(network, precision, work)
    if network in GRAPHS:
        step = captured_step(step, images, labels)

    def run() -> None:
        for _ in range(work.steps):
            step(images, labels)
        if work.device == "cuda":
            torch.cuda.synchronize()

    return run


def input_type(network: str, precision: str, work: Workload) -> torch.dtype:
    """Type in which the training's augmentation hands images to the network."""
    performance, device = own_performance(network, work), torch.device(work.device)
    return torch.bfloat16 if precision == BF16 and performance.rounds_images(device) else torch.float32


def own_performance(network: str, work: Workload) -> Performance:
    performance = Performance(**work.performance)
    return replace(performance, compile=False) if network == EAGER else performance


def plain_step(network: str, precision: str, work: Workload) -> Callable[[Any, Any], None]:
    net, optimizer = make_candidate(network, work)

    def step(images: Any, labels: Any) -> None:
        optimizer.zero_grad()
        with torch.autocast(work.device, torch.bfloat16, enabled=precision == BF16, cache_enabled=False):
            loss = F.cross_entropy(net(images).float(), labels)
        loss.backward()
        optimizer.step()

    return step


def captured_step(step: Callable[[Any, Any], None], images: Any, labels: Any) -> Callable[[Any, Any], None]:
    """Run the step as a CUDA graph, as `performance.cuda_graph=true` does."""
    if images.device.type != "cuda":
        return step
    from alexnet_pl.data.loading.augment import Batch, Draws
    from alexnet_pl.training.cuda_graph import CudaGraphStep

    graphed = CudaGraphStep(lambda batch: step(batch.images, batch.labels), lambda: ())
    none = Draws(*(labels[:0] for _ in range(3)))

    def replayed(images: Any, labels: Any) -> None:
        images, labels = graphed.inputs[:2] or (images, labels)  # the graph's own inputs need no copy
        graphed(Batch(images, labels, none))

    return replayed


def make_candidate(network: str, work: Workload) -> tuple[Any, Any]:
    """Return (network in training mode, its optimizer)."""
    from torchvision.models import alexnet

    from alexnet_pl.models.alexnet import AlexNet
    from alexnet_pl.training.optimizer import MomentumSGD, parameter_groups

    if network == TORCHVISION:
        net = alexnet(num_classes=work.model["num_classes"]).to(work.device).train()
        return net, torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=0.0005)
    net = AlexNet(**work.model, crop=work.crop).to(work.device).train()
    if network == STOCK:
        net = with_stock_norms(net)
        return net, torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=0.0005)
    performance = own_performance(network, work)
    performance.apply(net, torch.device(work.device))
    if network in (SPLIT, SPLIT_SEARCHED):
        split_groups(net)
    groups = parameter_groups(net, 0.01, 0.0005, 2.0, False)
    return net, MomentumSGD(groups, 0.01, 0.9, 0.0005, fused=performance.optimized)


class GroupwiseConv(nn.Module):
    """A grouped convolution computed as one convolution for each group, which cuDNN may have faster kernels for."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        assert conv.bias is not None
        weights, biases = conv.weight.chunk(conv.groups), conv.bias.chunk(conv.groups)
        outputs = [
            F.conv2d(part, weight, bias, conv.stride, conv.padding)  # type: ignore[arg-type]
            for part, weight, bias in zip(x.chunk(conv.groups, 1), weights, biases, strict=True)
        ]
        return torch.cat(outputs, 1)


def split_groups(net: nn.Module) -> None:
    """Replace the grouped convolutions of `net`."""
    for name, layer in list(net.named_children()):
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            setattr(net, name, GroupwiseConv(layer))


def make_norm(name: str, work: Workload) -> Callable[[], None]:
    """Return a function that runs response normalization, forward and backward, on conv1's and conv2's shapes: on a GPU
    as in training, in two towers, bfloat16 and channels-last memory."""
    torch.set_num_threads(work.threads)
    ask_for_large_pages()
    keep_freed_memory()  # large pages and kept memory for all candidates, since only the operation is compared
    norm = LocalResponseNorm(towers=2 if work.device == "cuda" else 1)
    norm.compiled = "compiled" in name
    layer = norm if name.startswith(OURS) else StockNorm(norm.spec)
    shapes = ((work.batch_size, 96, 55, 55), (work.batch_size, 256, 27, 27))
    inputs = [responses(shape, work.device).requires_grad_() for shape in shapes]
    grads = [responses(shape, work.device) for shape in shapes]

    def run() -> None:
        for _ in range(work.steps):
            for a, grad in zip(inputs, grads, strict=True):
                a.grad = None
                layer(a).backward(grad)
        if work.device == "cuda":
            torch.cuda.synchronize()

    return run


def responses(shape: tuple[int, ...], device: str) -> Tensor:
    """Normal random numbers in the type and memory format that a layer's responses have in training on `device`."""
    if device == "cuda":
        return torch.randn(shape, device=device, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    return torch.randn(shape, device=device)


class StockNorm(nn.Module):
    """Normalization layer computed with PyTorch's functions."""

    def __init__(self, rule: NormSpec) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, a: Tensor) -> Tensor:
        n, k, alpha, beta, towers, spatial = self.rule
        if spatial:
            return a / (k + alpha * n * n * F.avg_pool2d(a.square(), n, 1, n // 2)).pow(beta)
        return torch.cat([F.local_response_norm(half, n, alpha * n, beta, k) for half in a.chunk(towers, 1)], 1)


def with_stock_norms(net: nn.Module) -> nn.Module:
    """Copy of `net` with its normalization layers replaced by `StockNorm`."""
    net = copy.deepcopy(net).to(memory_format=torch.contiguous_format)
    for name, layer in list(net.named_children()):
        if isinstance(layer, NormLayer):
            setattr(net, name, StockNorm(layer.spec))
    return net
