"""A training step of ours beside the same network as people write it and beside torchvision's, each in a process of its
own: what one sets for its memory or its threads is not the others'."""

import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

CONTENDERS = ("ours, bf16", "ours, float32", "stock PyTorch, float32", "torchvision's alexnet, float32")
NORMS = ("ours, compiled", "ours, eager", "F.local_response_norm")
WARM = 2  # runs of a contender that do not count: compiling, first touches of memory


class Worker:
    """A process that holds a contender and runs it when told to."""

    def __init__(self, make: Callable[..., Callable[[], None]], *args: Any) -> None:
        context = get_context("spawn")
        self.line, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, make, args), daemon=True)
        self.process.start()

    def run(self) -> float:
        """Seconds of one run."""
        self.line.send(True)
        return self.line.recv()

    def stop(self) -> None:
        self.line.send(False)
        self.process.join()


def serve(line: Connection, make: Callable[..., Callable[[], None]], args: tuple[Any, ...]) -> None:
    job = make(*args)
    for _ in range(WARM):
        job()
    while line.recv():
        began = time.perf_counter()
        job()
        line.send(time.perf_counter() - began)


def make_step(name: str, batch_size: int, threads: int, model: dict[str, Any]) -> Callable[[], None]:
    """One step on a batch that is already augmented: forward, backward, update."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net, optimizer = contender(name, model)
    images = torch.randn(batch_size, 3, 224, 224) * 60
    if name.startswith("ours"):
        images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch_size) % 1000

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in name):
            loss = F.cross_entropy(net(images).float(), labels)
        loss.backward()
        optimizer.step()

    return step


def contender(name: str, model: dict[str, Any]) -> tuple[Any, Any]:
    """(network in training, its optimizer)."""
    import torch
    from torchvision.models import alexnet

    from alexnet_pl.bench.stock import stock
    from alexnet_pl.model import AlexNet
    from alexnet_pl.optim import MomentumSGD, parameter_groups
    from alexnet_pl.speed import Speed

    if "torchvision" in name:
        net = alexnet().train()
        return net, torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=0.0005)
    net = AlexNet(**model).train()
    if name.startswith("stock"):
        net = stock(net)
        return net, torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=0.0005)
    Speed().apply(net, torch.device("cpu"))
    groups = parameter_groups(net, 0.01, 0.0005, 2.0, False)
    return net, MomentumSGD(groups, 0.01, 0.9, 0.0005, fused=True)


def make_norm(name: str, batch_size: int, threads: int) -> Callable[[], None]:
    """Forward and backward of response normalisation on what it meets behind conv1 and conv2, float32."""
    import torch
    from torch.nn import functional as F

    from alexnet_pl.layers import ResponseNorm
    from alexnet_pl.speed import keep_freed_memory

    torch.set_num_threads(threads)
    keep_freed_memory()  # for all, as it is the operation that is compared
    shapes = ((batch_size, 96, 55, 55), (batch_size, 256, 27, 27))
    inputs = [torch.randn(shape, requires_grad=True) for shape in shapes]
    grads = [torch.randn(shape) for shape in shapes]
    norm = ResponseNorm(towers=1)
    norm.fast = "compiled" in name

    def run() -> None:
        for a, grad in zip(inputs, grads, strict=True):
            a.grad = None
            b = norm(a) if name.startswith("ours") else F.local_response_norm(a, 5, 5e-4, 0.75, 2.0)
            b.backward(grad)

    return run
