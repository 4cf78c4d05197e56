"""Train small networks whole and split into two towers, in four processes, and record the differences."""

import json
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from networks import SMALL, watched
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.training.optimizer import MomentumSGD, parameter_groups
from alexnet_pl.training.strategies.tower_layers import gather_halves, keep_half

SWITCHES: dict[str, dict[str, Any]] = {
    "as run": {},
    "no norms": {"norm": False},
    "no overlap": {"overlap": False},
    "without conv2": {"without": "conv2"},
    "without conv3": {"without": "conv3"},
    "without conv4": {"without": "conv4"},
    "without conv5": {"without": "conv5"},
    "tanh": {"activation": "tanh"},
    "no dropout": {"dropout": 0.0},
    "dropout of a quarter": {"dropout": 0.25},
    "six convolutions and a bottleneck": {"conv6": True, "bottleneck": 32},
    "ReLU before pool1": {"relu_after_pool1": False},
    "norms across towers": {"norm_per_tower": False},
    "undivided alpha": {"alpha_over_n": False},
    "no spatial norm": {"spatial_norm": False},
    "narrow init": {"wide_init": False},
}
STEPS, IMAGES, CLASSES, UNITS = 10, 2, 10, 64


def few_units(dtype: torch.dtype = torch.float64, **switches: Any) -> AlexNet:
    """AlexNet with `UNITS` instead of 4,096 units."""
    with torch.device("meta"):
        net = AlexNet(num_classes=CLASSES, crop=SMALL, **switches)
        net.fc6, net.fc7 = nn.Linear(net.fc6.in_features, UNITS), nn.Linear(UNITS, UNITS)
        if net.bottleneck is not None:
            net.bottleneck = nn.Linear(UNITS, net.bottleneck.out_features)
        net.fc8 = nn.Linear(net.fc8.in_features if net.bottleneck is not None else UNITS, CLASSES)
    net = net.to_empty(device="cpu").to(dtype)
    torch.manual_seed(1)
    net.reset_parameters()
    return net


def batch(step: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    images = 60 * torch.randn(IMAGES, 3, SMALL, SMALL, generator=generator, dtype=dtype)
    return images, torch.randint(CLASSES, (IMAGES,), generator=generator)


def train(
    net: nn.Module, named: nn.Module, share: slice = slice(None), dtype: torch.dtype = torch.float64, steps: int = STEPS
) -> dict:
    """Run steps of §6 on `net`, whose layers are `named`; first logits and gradients, last weights and velocities."""
    torch.manual_seed(2)
    sgd = MomentumSGD(parameter_groups(named, 0.01, 0.0005, 2.0, False))
    found: dict[str, Any] = {}
    for step in range(steps):
        images, labels = (tensor[share] for tensor in batch(step, dtype))
        sgd.zero_grad()
        logits = net(images)
        F.cross_entropy(logits, labels).backward()
        if step == 0:
            found["logits"] = logits.detach()
            found["gradients"] = {name: p.grad.clone() for name, p in named.named_parameters()}
        sgd.step()
    found["weights"] = {name: p.detach() for name, p in named.named_parameters()}
    found["velocities"] = {name: sgd.state[p]["u"] for name, p in named.named_parameters()}
    return found


def joined(found: dict[str, Tensor], axes: dict[str, int], group: ProcessGroup) -> dict[str, Tensor]:
    return {name: gather_halves(v, axes[name], group) if name in axes else v for name, v in found.items()}


def distance(one: Tensor, other: Tensor) -> float:
    """Largest difference over the largest value."""
    assert one.shape == other.shape
    return float((one - other).abs().max() / one.abs().max().clamp_min(1e-300))


class Traffic(TorchDispatchMode):
    """Counts bytes that this process sends to the other of a pair, by collective operation."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        if name.startswith("c10d."):
            given = args[1] if "base" in name else args[0][0]  # (output, input, …) or ([tensor], …)
            share = given.nbytes // 2 if "reduce_scatter" in name else given.nbytes
            self.bytes[name] = self.bytes.get(name, 0) + share
        return func(*args, **(kwargs or {}))


def compare_towers(folder: Path) -> None:
    """Two pairs of processes share the settings to compare; then all four train one network of two towers on two halves
    of each batch. Each pair writes its results to a file in `folder`."""
    rank = dist.get_rank()
    towers, _ = dist.new_subgroups_by_enumeration([[0, 1], [2, 3]])
    shares, _ = dist.new_subgroups_by_enumeration([[0, 2], [1, 3]])
    tower, pair = rank % 2, rank // 2
    report = {name: compare(SWITCHES[name], tower, towers) for name in list(SWITCHES)[pair::2]}
    report["traffic"] = measure_traffic(tower, towers)
    for dtype in (torch.float64, torch.float32):
        found = compare_four(tower, pair, towers, shares, dtype)
        report |= {f"four processes, {dtype}": found} if found else {}
    if tower == 0:
        (folder / f"{pair}.json").write_text(json.dumps(report))


def compare(switches: dict[str, Any], tower: int, group: ProcessGroup) -> dict[str, float]:
    net, whole = few_units(**switches), None
    if tower == 0:
        reference = few_units(**switches)
        whole = train(reference, reference)
    axes = keep_half(net, tower, group)
    half = train(net, net)
    names = ("gradients", "weights", "velocities")
    joint = {kind: joined(half[kind], axes, group) for kind in names}
    if whole is None:
        return {}
    apart = {kind: max(distance(whole[kind][n], v) for n, v in joint[kind].items()) for kind in names}
    assert all(list(joint[kind]) == list(whole[kind]) for kind in names)
    return {"logits": distance(whole["logits"], half["logits"]), **apart}


def compare_four(
    tower: int, pair: int, towers: ProcessGroup, shares: ProcessGroup, dtype: torch.dtype
) -> dict[str, float]:
    """Without dropout, since each process has its own masks. Few steps in float32, since rounding may move a maximum to
    another pixel and make two equal networks diverge."""
    net, steps = few_units(dtype, dropout=0.0), STEPS if dtype == torch.float64 else 2
    axes = keep_half(net, tower, towers)
    both = DistributedDataParallel(net, process_group=shares)
    share = slice(pair * IMAGES // 2, (pair + 1) * IMAGES // 2)
    weights = joined(train(both, net, share, dtype, steps)["weights"], axes, towers)
    if tower or pair:
        return {}
    reference = few_units(dtype, dropout=0.0)
    whole = train(reference, reference, dtype=dtype, steps=steps)["weights"]
    return {"weights": max(distance(whole[name], value) for name, value in weights.items())}


def measure_traffic(tower: int, group: ProcessGroup) -> dict[str, dict[str, int]]:
    """Bytes sent by one step, and half of the inputs of conv3, fc6 and fc7 and the logits, of the whole network."""
    whole, net = few_units(), few_units()
    keep_half(net, tower, group)
    images, labels = batch(0)
    with torch.no_grad(), watched(whole, "conv3", "fc6", "fc7", "fc8") as seen:
        whole(images)
    with Traffic() as sent:
        F.cross_entropy(net(images), labels).backward()
    halves = {name: calls[0][0].nbytes // 2 for name, calls in seen.items() if name != "fc8"}
    return {"sent": sent.bytes, "halves": halves, "logits": {"fc8": seen["fc8"][0][1].nbytes}}
