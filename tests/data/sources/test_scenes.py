"""Drawn scenes: repeatable, with boxes that tightly contain the objects."""

from pathlib import Path

import numpy as np
import pytest

from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.pipeline import make_store
from alexnet_pl.data.sources import scenes
from alexnet_pl.data.store.store import Store

SIZE = 96


def test_scene_depends_only_on_its_arguments_and_boxes_need_no_drawing() -> None:
    first, again = scenes.draw_scene(13, SIZE), scenes.draw_scene(13, SIZE)
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, scenes.draw_scene(13, SIZE, seed=1).image)
    annotation, label = scenes.annotate_scene(13, SIZE)
    assert annotation.boxes == first.boxes
    assert label == first.label
    assert annotation.coverage == Coverage.ALL


def test_boxes_have_documented_sizes_and_the_largest_gives_the_class() -> None:
    counts = []
    for index in range(60):
        annotation, label = scenes.annotate_scene(index, SIZE)
        counts.append(len(annotation.boxes))
        areas = [(box.right - box.left) * (box.bottom - box.top) for box in annotation.boxes]
        assert label == (annotation.boxes[int(np.argmax(areas))].label if areas else -1)
        height, width = scenes.lay_out(index, SIZE, scenes.OBJECTS, 0)[1:3]
        assert (min(height, width), max(height, width)) in ((SIZE, SIZE), (SIZE, SIZE * 4 // 3))
        for box in annotation.boxes:
            assert 0 <= box.left < box.right <= width
            assert 0 <= box.top < box.bottom <= height
            longer = max(box.right - box.left, box.bottom - box.top)
            assert 0.18 * SIZE <= longer <= 0.7 * SIZE + 0.5
    assert set(counts) == {0, 1, 2, 3}


@pytest.mark.parametrize("label", range(10))
def test_objects_fill_their_boxes(label: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On black instead of noise, in even light: visible pixels touch all edges of the box."""
    monkeypatch.setattr(scenes, "draw_background", lambda rng, size: np.zeros((3, size, size), np.float32))
    monkeypatch.setattr(scenes, "illumination", lambda rng, x, y: np.ones((1, 1), np.float32))
    monkeypatch.setattr(scenes, "paint_object", paint_white)
    scene = scenes.draw_scene(10 * label + label, SIZE, (1, 1))
    (box,) = scene.boxes
    rows, columns = np.nonzero(scene.image[0] >= 127)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == box[:4]
    assert box.label == label


def paint_white(image: np.ndarray, each: scenes.Object, strength: float) -> None:
    """Draw the object's opacity in gray levels."""
    opacity = each.opacity / each.opacity.max()
    for row in range(opacity.shape[0]):
        for column in range(opacity.shape[1]):
            y, x = row + each.top, column + each.left
            if 0 <= y < image.shape[1] and 0 <= x < image.shape[2]:
                image[:, y, x] = opacity[row, column]


def test_store_of_scenes_has_their_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes.source, "__defaults__", (scenes.OBJECTS, 12, 6))
    options = PrepareOptions(
        str(tmp_path / "s"), "scenes", SIZE, source="scenes", encoding="whole", objects=[0, 2], workers=1
    )
    assert make_store(options)
    split = Store(tmp_path / "s").whole("val")
    assert len(split) == 6
    for i in range(6):
        scene = scenes.draw_scene(12 + i, SIZE, (0, 2))
        assert split.sizes[i].tolist() == list(scene.image.shape[1:])
        assert np.allclose(split.boxes(i).numpy(), np.array([box[:4] for box in scene.boxes]).reshape(-1, 4), atol=1e-3)
        assert split.box_labels(i).tolist() == [box.label for box in scene.boxes]
        assert split.labels[i] == scene.label
        assert np.abs(split.image(i).numpy().astype(int) - scene.image).mean() < 6
