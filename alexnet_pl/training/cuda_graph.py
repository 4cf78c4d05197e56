"""Replay a training step (§6) as a CUDA graph, which the host launches with one call."""

from collections.abc import Callable

import torch
from torch import Tensor

from alexnet_pl.data.loading.augment import Batch, Draws

Step = Callable[[Batch], None]
WARM_UP = 3  # plain steps before a capture, in which kernels are chosen and compiled


class CudaGraphStep:
    """A step captured once and replayed: its some hundred launches cost the host one.

    Whatever the host decides within a step is fixed at the capture, so `state` must return all of it (the rates, the
    noise); where it changes, one step runs plainly and the next is captured anew. The first steps run plainly too. All
    are true steps, in order.
    """

    def __init__(self, step: Step, state: Callable[[], object]) -> None:
        self.step, self.state, self.plain_steps = step, state, 0
        self.captured_state: object = None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []

    def __call__(self, batch: Batch) -> None:
        assert batch.draws is not None
        if self.captured_state != self.state() or self.plain_steps < WARM_UP:
            self.graph, self.captured_state = (
                None,
                self.state(),
            )  # a new rate rescales the velocity once
            self.plain_steps += 1
            return self.step(batch)
        if self.graph is None:
            self.capture(batch)
        given = [batch.images, batch.labels, *batch.draws]
        for own, new in zip(self.inputs, given, strict=True):
            if own is not new:
                own.copy_(new)
        assert self.graph is not None
        self.graph.replay()

    def capture(self, batch: Batch) -> None:
        """Record a step on copies of the batch's tensors; recording runs none of it. The loader's thread may go on."""
        assert batch.draws is not None
        self.graph = torch.cuda.CUDAGraph()
        self.inputs = [tensor.clone() for tensor in (batch.images, batch.labels, *batch.draws)]
        images, labels, *draws = self.inputs
        torch.cuda.synchronize()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.step(Batch(images, labels, Draws(*draws)))
