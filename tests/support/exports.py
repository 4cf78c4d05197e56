"""Exports of a run, and what readers of them do."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet_pl.commands import dispatch, registry
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.inference.graphs import FORMATS


def export(*words: object) -> None:
    """Run the command `export`."""
    dispatch.run_on_folders(registry.find("export"), [str(word) for word in words])


def stored_images(run: Path, count: int = 6) -> torch.Tensor:
    """The first validation images of a run."""
    return TrainedRun(run).store.split("val").images(np.arange(count))


def run_example(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Last line that the program in an exported card prints in its folder, of a drawn picture.jpg."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "picture.jpg")
    (program,) = re.findall(r"```python\n(.+?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    exec(program, {})
    return capsys.readouterr().out.splitlines()[-1]


def write_graphs_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let format=onnx write weights, since tests of the folder need no graph."""
    monkeypatch.setitem(FORMATS, "onnx", ("model.onnx", *FORMATS["safetensors"][1:]))
