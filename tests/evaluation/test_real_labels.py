"""ReaL errors against the expression of its authors, and other files."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.prediction_file import Block, PredictionFileWriter
from alexnet_pl.evaluation.prediction_writer import best_classes
from alexnet_pl.evaluation.real_labels import image_index, read_real, real_errors
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo

CLASSES, IMAGES = 20, 50


@pytest.fixture
def best(tmp_path: Path) -> np.ndarray:
    """Five best classes of each image, saved in another order than the image numbers."""
    chance = np.random.default_rng(0)
    answers = np.stack([chance.permutation(CLASSES)[:5] for _ in range(IMAGES)]).astype(np.int32)
    order = chance.permutation(IMAGES)
    names = [f"val/ILSVRC2012_val_{number + 1:08d}.JPEG" for number in order]
    writer = PredictionFileWriter(tmp_path / "probabilities.parquet", CLASSES, with_probabilities=False)
    writer.add(Block(names, np.zeros(IMAGES, np.int32), answers[order], None))
    writer.close(TestDescription(dataset=DatasetInfo(), views="ten", checkpoint=CheckpointInfo(sha256="0")))
    return answers


def test_errors_match_the_authors_expression(tmp_path: Path, best: np.ndarray) -> None:
    chance = np.random.default_rng(1)
    real = [chance.permutation(CLASSES)[: chance.integers(0, 4)].tolist() for _ in range(IMAGES)]
    (tmp_path / "real.json").write_text(json.dumps(real))
    found = real_errors(tmp_path / "probabilities.parquet", read_real(tmp_path / "real.json", CLASSES))
    right1 = [best[i][0] in real[i] for i in range(IMAGES) if real[i]]
    right5 = [any(answer in real[i] for answer in best[i]) for i in range(IMAGES) if real[i]]
    assert 0 < len(right1) < IMAGES
    assert found["count"] == len(right1)
    assert found["top1_error"] == pytest.approx(100 - 100 * np.mean(right1))
    assert found["top5_error"] == pytest.approx(100 - 100 * np.mean(right5))


def test_image_with_scores_that_are_not_finite_is_wrong(tmp_path: Path) -> None:
    """Also where all classes are right: the classes of a ranking of NaN are arbitrary."""
    scores = torch.rand(4, CLASSES)
    scores[1, 3] = torch.nan
    names = [f"ILSVRC2012_val_{number + 1:08d}.JPEG" for number in range(4)]
    writer = PredictionFileWriter(tmp_path / "probabilities.parquet", CLASSES, with_probabilities=False)
    writer.add(Block(names, np.zeros(4, np.int32), best_classes(scores).numpy(), None))
    writer.close(TestDescription(dataset=DatasetInfo(), views="ten", checkpoint=CheckpointInfo(sha256="0")))
    found = real_errors(tmp_path / "probabilities.parquet", [set(range(CLASSES))] * 4)
    assert found == {"top1_error": 25.0, "top5_error": 25.0, "count": 4, "nonfinite": 1}


WRONG = ["[" * 200_000, "[[1e400]]", '[[1.9, true, "3"]]', "[[1.0]]", "[[true]]", '["12"]', " " * 2**24 + "[[1]]"]


@pytest.mark.parametrize("content", ["{}", "[[]]", "[[1], [99]]", "[1, 2]", "no", '[["a"]]', *WRONG])
def test_other_file_is_reported_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "real.json").write_text(content)
    with pytest.raises(UserError, match=r"test.labels: ") as error:
        read_real(tmp_path / "real.json", CLASSES)
    assert "\n" not in str(error.value)


def test_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "real.json")
    with pytest.raises(UserError, match=r"test.labels: .*no file of at most"):
        read_real(tmp_path / "real.json", CLASSES)


@pytest.mark.usefixtures("best")
def test_other_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ILSVRC2012_val_\d+.JPEG is not one of the 3 validation images"):
        real_errors(tmp_path / "probabilities.parquet", [{0}, {1}, {2}])


def test_names_of_hugging_face_have_the_same_number() -> None:
    names = ("val/ILSVRC2012_val_00000012.JPEG", "val/ILSVRC2012_val_00000012_n01751748.JPEG")
    assert [image_index(name, 50_000) for name in names] == [11, 11]
