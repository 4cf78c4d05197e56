"""CUDA graph of a training step (§6), launched by the host with one call."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from alexnet_pl.data.loading.augment import Batch, Draws

Step = Callable[[Batch], None]
EAGER_STEPS = 3  # run before the first capture: the first compiles kernels, the second is the first with a velocity


@cache
def capture_stream(device: torch.device) -> torch.cuda.Stream:
    """Stream for captures on `device`. PyTorch's default belongs to the device of a process's first capture."""
    return torch.cuda.Stream(device)


class CudaGraphStep:
    """Training step that is captured once and then replayed, so that one launch replaces hundreds of kernel launches.

    Values that the host computes within a step are frozen at capture. `state` must return all of them (learning rates,
    noise). When they change, the next step runs eagerly, since a new rate rescales the velocity once, and the one after
    it is captured again. The first `EAGER_STEPS` steps also run eagerly. Every call trains on its batch.
    """

    def __init__(self, step: Step, state: Callable[[], object]) -> None:
        self.step, self.state, self.eager_steps, self.replays = step, state, 0, 0
        self.captured_state: object = None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []

    def __call__(self, batch: Batch) -> None:
        assert batch.draws is not None
        if self.captured_state != self.state() or self.eager_steps < EAGER_STEPS:
            self.graph, self.captured_state = None, self.state()
            self.eager_steps += 1
            return self.step(batch)
        if self.graph is None:
            self.capture(batch)
        tensors = [batch.images, batch.labels, *batch.draws]
        for static, new in zip(self.inputs, tensors, strict=True):
            static.copy_(new)
        assert self.graph is not None
        self.graph.replay()
        self.replays += 1

    def capture(self, batch: Batch) -> None:
        """Record a step on copies of the batch's tensors, without running it. The loader's thread may keep working."""
        assert batch.draws is not None
        self.graph = torch.cuda.CUDAGraph()
        self.inputs = [tensor.clone() for tensor in (batch.images, batch.labels, *batch.draws)]
        images, labels, *draws = self.inputs
        torch.cuda.synchronize()
        stream = capture_stream(images.device)
        with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
            self.step(Batch(images, labels, Draws(*draws)))
