"""OverFeat on the command line: `fit`, then `test` in every window, against the paper's loop over nine offsets."""

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from box_runs import make_scenes
from command_line import alexnet_pl
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.data.store.store import Store
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.models.overfeat import OverFeat

TINY = (
    *("data.name=scenes", "data.root=store", "data.size=120", "data.batch_size=5", "model.width=0.02"),
    *("trainer.precision=32-true", "trainer.accelerator=cpu", "trainer.max_epochs=1", "hydra.run.dir=run"),
)
SIDES = {1: (125, 125), 2: (149, 161)}  # Table 5 times 113 / 221, rounded to 113 plus a multiple of the stride 12


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a store of five validation scenes, with one to three objects each, and a run trained on it."""
    folder = tmp_path_factory.mktemp("dense")
    make_scenes(folder / "store")
    done = alexnet_pl("fit", "-c", "overfeat_demo", *TINY, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def scores_of_nine_offsets(net: OverFeat, view: Tensor) -> Tensor:
    """(classes,) maxima of the softmax outputs over all windows of an image (3, H, W), computed as in §3.3."""
    maps, outputs = net.convolve(view[None]), []
    for down, right in itertools.product(range(3), repeat=2):
        pooled = F.max_pool2d(maps[:, :, down:, right:], 3, 3)
        if min(pooled.shape[2:]) >= 2:  # else no window of the classifier fits at this offset
            outputs.append(F.softmax(net.classify(pooled)[0].flatten(1), 0))
    return torch.cat(outputs, 1).amax(1)


def expected_probabilities(folder: Path, scales: list[int]) -> np.ndarray:
    module, scenes = TrainedRun(folder / "run").module, Store(folder / "store").whole("val")
    rows = []
    with torch.inference_mode():
        for number in range(len(scenes)):
            image = scenes.image(number)[None].float()
            height, width = image.shape[2:]
            total = torch.zeros(module.net.num_classes)
            for scale in scales:
                sides = SIDES[scale] if height <= width else SIDES[scale][::-1]
                ratio = max(sides[0] / height, sides[1] / width)
                whole = (max(sides[0], round(height * ratio)), max(sides[1], round(width * ratio)))
                resized = F.interpolate(image, whole, mode="bilinear", antialias=True)[0]
                top, left = (whole[0] - sides[0]) // 2, (whole[1] - sides[1]) // 2
                view = resized[:, top : top + sides[0], left : left + sides[1]] - 118.380948
                total += scores_of_nine_offsets(module.net, view) + scores_of_nine_offsets(module.net, view.flip(2))
            rows.append((total / total.sum()).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("scales", [[1], [1, 2]])
def test_saved_probabilities_are_those_of_nine_offsets(place: Path, scales: list[int]) -> None:
    words = ("test.views=dense", f"test.scales={','.join(map(str, scales))}", "test.save_predictions=true")
    done = alexnet_pl("test", "run", *words, cwd=place)
    assert done.returncode == 0, done.stderr
    name = "_".join(["val-dense_fine", *map(str, scales)])
    result = json.loads((place / f"run/results/{name}/result.json").read_text())
    assert result["images"] == 5
    saved = pq.read_table(place / f"run/results/{name}/probabilities.parquet").to_pydict()
    found = np.array(saved["probabilities"], np.float32)
    wanted = expected_probabilities(place, scales)
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-4)  # saved in half precision
    labels = np.array(saved["label"])
    assert result["top1_error"] == pytest.approx(100 * (wanted.argmax(1) != labels).mean())


def test_unknown_scale_and_stride_are_named(place: Path) -> None:
    for word, says in (("test.scales=1,9", "9"), ("test.stride=medium", "medium")):
        done = alexnet_pl("test", "run", "test.views=dense", word, cwd=place)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert says in done.stderr
        assert word.partition("=")[0] in done.stderr
