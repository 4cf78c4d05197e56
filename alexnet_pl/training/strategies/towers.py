"""The two-GPU scheme of §4.2 (§3.2 of 2012), model parallel: on two processes, or on pairs that share each batch."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.optim import Optimizer

from alexnet_pl.errors import UserError
from alexnet_pl.training.strategies.data_parallel import DataParallelStrategy
from alexnet_pl.training.strategies.tower_layers import TOWERS, gather_halves, keep_half, own_half


class TowerStrategy(DataParallelStrategy):
    """Each process keeps half of the network (`tower_layers`); processes 2i and 2i + 1 are a pair with the same images.

    Several pairs share each batch like data parallel processes; equal towers average their gradients. Checkpoints
    contain the whole network, so that they can be exchanged with fits on one device.
    """

    kind = "towers"
    axes: dict[str, int]  # parameter name → axis along which it is cut
    data: ProcessGroup  # processes with the same tower
    pair: ProcessGroup  # both towers of one network

    def setup_environment(self) -> None:
        state = torch.get_rng_state()
        super().setup_environment()  # Lightning seeds again here; dropout must continue as in a single process
        torch.set_rng_state(state)
        if self.world_size % TOWERS:
            raise UserError(f"trainer.strategy=towers: {self.world_size} devices are not an even number")
        self.axes = {}
        grid = torch.arange(self.world_size).view(-1, TOWERS)
        limit = timedelta(seconds=self.options.timeout)
        groups: list[Any] = [
            dist.new_subgroups_by_enumeration(axis.tolist(), timeout=limit)[0] for axis in (grid.T, grid)
        ]
        names = ("data", "tower")
        self.mesh = DeviceMesh.from_group(groups, self.root_device.type, mesh=grid, mesh_dim_names=names)
        self.data, self.pair = (self.mesh.get_group(name) for name in names)
        self.tower = self.mesh.get_local_rank("tower")
        self._ddp_kwargs["process_group"] = self.data

    @property
    def distributed_sampler_kwargs(self) -> dict[str, int]:
        """Arguments that give both processes of a pair the same share of the images."""
        return {"num_replicas": self.world_size // TOWERS, "rank": self.global_rank // TOWERS}

    def setup(self, trainer: L.Trainer) -> None:
        """Cut the network, which must be whole until a checkpoint's weights are loaded."""
        assert self.lightning_module is not None
        self.axes = keep_half(self.net, self.tower, self.pair)
        if trainer.state.fn == TrainerFn.FITTING:
            return super().setup(trainer)
        assert self.accelerator is not None
        self.accelerator.setup(trainer)  # Lightning's setup would then copy the first process's weights to all
        self.model_to_device()
        self.setup_precision_plugin()

    @property
    def net(self) -> Any:
        return getattr(self.lightning_module, "net", None)  # keep_half raises UserError for anything but an AlexNet

    def configure_ddp(self) -> None:
        if self.mesh["data"].size() > 1:
            super().configure_ddp()

    def reduce(self, tensor: Tensor, group: Any = None, reduce_op: Any = "mean") -> Tensor:
        """Reduce over processes with different images; both processes of a pair have the same value."""
        return super().reduce(tensor, self.data if group is None else group, reduce_op)

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Reduce over all processes, since a signal may reach only one process of a pair."""
        votes = torch.tensor(int(decision), device=self.root_device)
        dist.all_reduce(votes)
        return bool(votes == self.world_size) if all else bool(votes)

    def whole(self, name: str, half: Tensor) -> Tensor:
        """Gather a parameter or its velocity from both towers; `half`: this tower's part. Both must call this."""
        if name not in self.axes:
            return half
        moved = half.detach().to(self.root_device)  # device on which processes communicate, even after the fit
        return gather_halves(moved, self.axes[name], self.pair).to(half.device).contiguous()

    def whole_norms(self, norms: Tensor) -> Tensor:
        """Norms of complete tensors, from the norms of both halves."""
        squares = norms.square()
        dist.all_reduce(squares, group=self.pair)
        return squares.sqrt()

    def lightning_module_state_dict(self) -> dict[str, Tensor]:
        state, prefix = super().lightning_module_state_dict(), "net."
        return {name: self.whole(name.removeprefix(prefix), value) for name, value in state.items()}

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        state: dict[str, Any] = super().optimizer_state(optimizer)
        moving = {i: kept["u"] for i, kept in sorted(state["state"].items()) if "u" in kept}  # layers not frozen
        velocities = {i: {"u": self.whole(name_of(state, i), u)} for i, u in moving.items()}
        return {**state, "state": velocities}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        halves = [self.half_state(state) for state in checkpoint["optimizer_states"]]
        super().load_optimizer_state_dict({**checkpoint, "optimizer_states": halves})

    def half_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Cut the state of an optimizer of the whole network to this tower's."""
        velocities = {}
        for i, kept in state["state"].items():
            if (u := kept.get("u")) is None:  # a frozen layer
                continue
            axis = self.axes.get(name_of(state, i))
            velocities[i] = {"u": u if axis is None else own_half(u, axis, self.tower).clone()}
        return {**state, "state": velocities}


def name_of(state: dict[str, Any], index: int) -> str:
    """Name of the parameter with this index in an optimizer's state; each group has one parameter and its name."""
    return next(group["name"] for group in state["param_groups"] if index in group["params"])
