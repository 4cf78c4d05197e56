"""Scenes are reflected as torch would, without threads of torch in the thread that reads."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from alexnet_pl.detection.scene_loader import TrainingScene, read_scene

IMAGE = torch.randint(256, (3, 600, 500), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
BOXES = torch.tensor([[10.0, 20.0, 110.0, 220.0]])


def read(flipped: bool) -> TrainingScene:
    labels = torch.zeros(1, dtype=torch.int64)
    split: Any = SimpleNamespace(image=lambda i: IMAGE, boxes=lambda i: BOXES, box_labels=lambda i: labels)
    split.coverage = np.ones(1, np.uint8)
    return read_scene(split, 0, 1, flipped)


def test_reflected_scene_is_the_mirror_image() -> None:
    scene = read(flipped=True)
    assert torch.equal(scene.image, IMAGE.flip(2))
    assert scene.boxes.tolist() == [[390.0, 20.0, 490.0, 220.0]]
    assert read(flipped=False).image is IMAGE


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
def test_reading_thread_starts_no_threads_of_torch() -> None:
    """A second team of OpenMP, of as many threads as there are cores, slows the training down."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(int).result()
            threads = len(os.listdir("/proc/self/task"))
            thread.submit(read, flipped=True).result()
            assert len(os.listdir("/proc/self/task")) <= threads
    finally:
        torch.set_num_threads(before)
