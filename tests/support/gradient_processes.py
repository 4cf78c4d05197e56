"""Gradients averaged by two processes with the options of section `distributed`."""

import json
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments import LightningEnvironment
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from alexnet_pl.config.options import DistributedOptions
from alexnet_pl.training.strategies.data_parallel import DataParallelStrategy

STEPS = 3  # buckets are rebuilt after the first step
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "compressed": {"compress_gradients": True},
}


class Network(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(*(nn.Linear(20, 20) for _ in range(4)))

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


def images(rank: int, step: int) -> Tensor:
    return torch.randn(5, 20, generator=torch.Generator().manual_seed(10 * step + rank))


def own_gradients(rank: int, step: int) -> list[Tensor]:
    """Gradients of one process's images alone."""
    net = Network()
    net(images(rank, step)).square().mean().backward()
    return [parameter.grad for parameter in net.parameters() if parameter.grad is not None]


class Sent(TorchDispatchMode):
    """Records types and sizes of the tensors sent by the compression hook."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: list[tuple[str, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(func).startswith("c10d.allreduce"):
            self.tensors += [(str(tensor.dtype), tensor.nbytes) for tensor in args[0]]
        return func(*args, **(kwargs or {}))


def compare_gradients(folder: Path) -> None:
    """For each set of options, record whether the averaged gradients are exactly as expected, and what was sent."""
    rank, report = dist.get_rank(), {}
    for name, given in OPTIONS.items():
        strategy = DataParallelStrategy(folder, "fit", DistributedOptions(**given))
        strategy.parallel_devices = [torch.device("cpu")] * 2
        strategy.cluster_environment = LightningEnvironment()
        strategy.model = Network()
        strategy.configure_ddp()
        exact = []
        for step in range(STEPS):
            strategy.model.zero_grad()
            with Sent() as sent:
                strategy.model(images(rank, step)).square().mean().backward()
            expected = averaged([own_gradients(other, step) for other in range(2)], "compress_gradients" in given)
            exact += [torch.equal(p.grad, e) for p, e in zip(strategy.model.parameters(), expected, strict=True)]
        report[name] = {"exact": exact, "sent": sent.tensors}
    if rank == 0:
        (folder / "report.json").write_text(json.dumps(report))


def averaged(gradients: list[list[Tensor]], compressed: bool) -> list[Tensor]:
    """Mean of gradients, halved before adding, which is exact; with compression, both in bfloat16."""
    kind = torch.bfloat16 if compressed else torch.float32
    return [(one.to(kind) / 2 + other.to(kind) / 2).float() for one, other in zip(*gradients, strict=True)]
