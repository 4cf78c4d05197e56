"""CUDA graph of a training step: which steps run eagerly and which are replayed; replay itself needs a GPU."""

from typing import Any

import pytest

from alexnet_pl.data.loading.augment import Batch
from alexnet_pl.training.cuda_graph import CudaGraphStep


class Replay:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def replay(self) -> None:
        self.log.append("replay")


def test_step_at_a_new_rate_runs_eagerly_before_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step rescales the velocity once; a captured one would rescale it at every replay."""
    log: list[str] = []
    rate = [0.1]

    def capture(self: CudaGraphStep, batch: Batch) -> None:
        log.append("capture")
        self.graph, self.inputs = Replay(log), []  # type: ignore[assignment]

    monkeypatch.setattr(CudaGraphStep, "capture", capture)
    monkeypatch.setattr("alexnet_pl.training.cuda_graph.zip", lambda *_, strict: [], raising=False)
    batch: Any = Batch(None, None, ())  # type: ignore[arg-type]
    graphed = CudaGraphStep(lambda _: log.append("plain"), lambda: tuple(rate))
    for step in range(7):
        if step == 5:
            rate[0] = 0.01
        graphed(batch)
    launched, replayed = ["plain"] * 3, ["capture", "replay"]
    assert log == [*launched, *replayed, "replay", "plain", *replayed], "three: see `EAGER_STEPS`"
    log.clear()
    for rate[0] in (0.02, 0.03, 0.03):
        graphed(batch)
    assert log == ["plain", "plain", "capture", "replay"], "twice in a row, or as the last of the first steps"
