"""Box prediction for an image: window positions, classes and per-class merging, with a network of known outputs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from one_class import merge_boxes
from torch import nn
from torchvision.transforms.functional import center_crop, resize

from alexnet_pl.config.box_options import BoxOptions, DetectOptions
from alexnet_pl.detection import finder as finder_module
from alexnet_pl.detection.box_network import BoxNetwork, WindowOutputs
from alexnet_pl.detection.finder import BoxFinder, Candidates, PredictedBoxes
from alexnet_pl.detection.merging import Merged, MergeOptions, merge_classes
from alexnet_pl.detection.pyramid import window_boxes, window_grid
from alexnet_pl.evaluation.image_scales import pyramid_sides
from alexnet_pl.models.sliding_window import WindowGeometry

LOCALISER = BoxOptions("localise", scales=[1])
GEOMETRY = WindowGeometry(113, 221, 36, 3, 3, 2)
IMAGE = torch.zeros(3, 160, 200, dtype=torch.uint8)
TRUE_BOX = np.array([40.0, 30, 120, 130])


class Known(nn.Module):
    """Predicts class 1 in the windows that contain the center of TRUE_BOX, and that box exactly."""

    window, num_objects, background = GEOMETRY, 3, True

    def forward(self, picture: torch.Tensor) -> WindowOutputs:
        sides = tuple(picture.shape[2:])
        windows = window_boxes(GEOMETRY, sides)
        scale = np.array([sides[1] / 200, sides[0] / 160] * 2)
        box = TRUE_BOX * scale
        inside = ((windows[:, :2] < box[:2] + 40) & (windows[:, 2:] > box[2:] - 40)).all(1)
        scores = torch.full((4, len(windows)), 0.1)
        scores[1] = torch.from_numpy(np.where(inside, 0.6, 0.1))
        edges = (box - np.tile(windows[:, :2], 2)) / GEOMETRY.window
        grid = window_grid(GEOMETRY, sides)
        return WindowOutputs(scores.view(4, *grid), torch.from_numpy(edges.T.copy()).view(1, 4, *grid))


def finder(**options: object) -> BoxFinder:
    trained = BoxOptions("detect", scales=[1, 4])
    return BoxFinder(Known(), trained, DetectOptions(**options), torch.device("cpu"))  # type: ignore[arg-type]


def test_scores_of_windows_of_all_scales_add_up() -> None:
    made = finder(classes=1)
    some, found = made.candidates(IMAGE), made.find(IMAGE)
    windows = sum(np.prod(window_grid(GEOMETRY, pyramid_sides((160, 200), GEOMETRY, scale))) for scale in (1, 4))
    assert len(some.labels) == windows
    assert set(some.labels.tolist()) == {1}
    assert len(found.labels) == 1
    assert found.boxes[0] == pytest.approx(TRUE_BOX, abs=1e-4)
    assert found.scores[0] == pytest.approx(some.scores.sum())
    suppressed = finder(classes=1, combine="nms").find(IMAGE)
    assert suppressed.scores[0] == pytest.approx(0.6)
    assert suppressed.boxes[0] == pytest.approx(TRUE_BOX, abs=1e-4)


def test_classes_of_a_shared_regressor_are_merged_together_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made, counts = finder(classes=3), []
    some = made.candidates(IMAGE)

    def count_classes(boxes: np.ndarray, scores: np.ndarray, options: MergeOptions) -> list[Merged]:
        counts.append(len(scores))
        return merge_classes(boxes, scores, options)

    monkeypatch.setattr(finder_module, "merge_classes", count_classes)
    found = made.combine(some)
    assert counts == [3]
    for label in range(3):
        own, mine = some.select(some.labels == label), found.select(found.labels == label)
        alone = merge_boxes(own.boxes, own.scores)
        assert np.array_equal(mine.boxes, alone.boxes)
        assert np.array_equal(mine.scores, alone.scores)


def test_photograph_is_resized_as_the_stored_images_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger scales enlarge stored images, so a network has never seen the details of a photograph."""
    made, seen = finder(classes=1), []
    made.network.size, find = 160, made.find
    monkeypatch.setattr(made, "find", lambda image: seen.append(image) or find(image))
    photograph = torch.randint(0, 256, (3, 480, 600), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = made.find_in_photograph(photograph, "bilinear")
    torch.testing.assert_close(seen[0], resize(photograph, [160], antialias=True), atol=1, rtol=0)
    assert found.boxes[0] == pytest.approx(3 * TRUE_BOX, abs=1e-3)


def test_windows_below_the_minimum_score_are_ignored() -> None:
    assert (finder(least_score=0.2).candidates(IMAGE).scores > 0.5).all()
    assert len(finder(least_score=0.9).find(IMAGE).labels) == 0
    exactly = float(torch.tensor(0.6))
    assert set(finder(least_score=exactly).candidates(IMAGE).scores.tolist()) == {exactly}


def test_classes_are_chosen_by_their_best_window() -> None:
    """Class 2 has a higher mean over the windows than class 1, which is certain of some."""
    made = finder(classes=1)
    known = made.network.forward

    def forward(picture: torch.Tensor) -> WindowOutputs:
        answers = known(picture)
        return answers._replace(scores=torch.stack([*answers.scores[:2], torch.full_like(answers.scores[0], 0.59)]))

    made.network.forward = forward  # type: ignore[method-assign]
    some = made.candidates(IMAGE)
    assert set(some.labels.tolist()) == {1}
    assert some.scores.mean() < 0.59, "otherwise the mean would choose class 1 too"


def test_background_is_never_predicted() -> None:
    assert set(finder(classes=9).candidates(IMAGE).labels.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("size", [(160, 200), (375, 500), (500, 333), (160, 160)])  # even and odd grids
def test_center_is_one_window_in_the_middle_of_the_image(network: BoxNetwork, size: tuple[int, int]) -> None:
    """With a regressor that predicts each window itself, the box is the window; pixels outside it do not count."""
    nn.init.zeros_(network.regressor.fc3.weight)
    image = torch.randint(256, (3, *size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = BoxFinder(network, LOCALISER, DetectOptions(positions="center", classes=1, scales=[1]), torch.device("cpu"))
    some = found.candidates(image)
    (box,), (height, width) = some.boxes, pyramid_sides(size, network.window, 1)
    assert (box[:2] + box[2:]) / 2 == pytest.approx([size[1] / 2, size[0] / 2])
    assert (box[2:] - box[:2]) == pytest.approx([113 * size[1] / width, 113 * size[0] / height])
    picture = nn.functional.interpolate(image[None].float(), (height, width), mode="bilinear", antialias=True)
    crop = center_crop(picture, [113, 113])
    with torch.no_grad():
        expected = network.net(crop - network.mean).softmax(1).max()
    assert some.scores == pytest.approx([float(expected)], rel=1e-4)


def test_requested_class_is_marked() -> None:
    some = finder(classes=1).candidates(IMAGE, requested=[2])
    assert set(some.labels[some.requested].tolist()) == {2}
    assert set(some.labels[~some.requested].tolist()) == {1}


def test_requested_class_is_kept_below_the_minimum_score() -> None:
    """It is marked in all scales then, so that the guesses do not depend on the request."""
    plain, some = (finder(classes=3, least_score=0.2).candidates(IMAGE, requested) for requested in ([], [1, 2]))
    assert not plain.requested.any()
    assert np.array_equal(plain.boxes, some.select(~some.requested).boxes)
    assert set(some.labels[some.requested].tolist()) == {1, 2}
    assert (some.labels == 1).sum() == (some.labels == 2).sum()


def test_all_windows_of_a_photograph_at_six_scales_are_merged() -> None:
    """The paper's network: 2,298 windows, of which each has the true box."""
    geometry, size, scales = WindowGeometry(221, 221, 36, 3, 3, 5), (333, 500), [1, 2, 3, 4, 5, 6]
    windows = sum(np.prod(window_grid(geometry, pyramid_sides(size, geometry, scale))) for scale in scales)
    some = Candidates(np.zeros(windows, int), np.full(windows, 0.5), np.tile(TRUE_BOX, (windows, 1)), np.zeros(windows))
    made = finder()
    assert made.combine(some).scores == pytest.approx([0.5 * windows])
    assert made.left_out == 0


def test_windows_above_the_maximum_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alexnet_pl.detection.finder.MAX_CANDIDATES", 2)
    made = finder()
    scores = np.array([0.1, 0.3, 0.2, 0.4, 0.5])
    found = made.combine(Candidates(np.array([0, 0, 0, 0, 1]), scores, np.tile(TRUE_BOX, (5, 1)), np.zeros(5)))
    assert found.scores == pytest.approx([0.7, 0.5])
    assert made.left_out == 2


def test_boxes_without_an_area_are_dropped() -> None:
    made = finder(classes=1)
    turned = made.network.forward
    made.network.forward = lambda picture: turned(picture)._replace(boxes=turned(picture).boxes.flip(1))  # type: ignore[method-assign]
    assert len(made.candidates(IMAGE).labels) == len(made.find(IMAGE).labels) == 0


def test_guesses_have_one_box_per_class_best_first() -> None:
    made = finder(classes=3)
    found = made.select_guesses(made.find(IMAGE))
    assert found.labels[0] == 1
    assert len(set(found.labels.tolist())) == len(found.labels) == 3
    assert (np.diff(found.scores) <= 0).all()


def test_guesses_are_of_the_five_best_classes() -> None:
    labels, scores = np.array([6, 2, 6, 0, 5, 2, 1, 3]), np.arange(8, 0, -1) / 8
    found = finder().select_guesses(PredictedBoxes(labels, scores, np.arange(32.0).reshape(8, 4)))
    assert found.labels.tolist() == [6, 2, 0, 5, 1]
    assert found.boxes[:, 0].tolist() == [0, 4, 12, 16, 24]


def test_prediction_matches_hand_calculation(network: BoxNetwork, options: BoxOptions) -> None:
    """Computed by hand for one scale and class: softmax, box relative to the window, box in the image, merging."""
    image = (255 * torch.rand(3, 130, 150)).to(torch.uint8)
    made = BoxFinder(network, replace(options, scales=[1]), DetectOptions(classes=1), torch.device("cpu"))
    some = made.candidates(image)
    sides = pyramid_sides((130, 150), network.window, 1)
    picture = nn.functional.interpolate(image[None].float(), sides, mode="bilinear", antialias=True)
    with torch.no_grad():
        answers = network(picture)
    label = int(answers.scores.flatten(1).amax(1).argmax())
    assert set(some.labels.tolist()) == {label}
    expected = []
    for y in range(answers.scores.shape[1]):
        for x in range(answers.scores.shape[2]):
            edges = answers.boxes[0, :, y, x].numpy() * 113 + np.array([12 * x, 12 * y] * 2)
            edges = edges * np.array([150 / sides[1], 130 / sides[0]] * 2)
            expected.append(np.clip(edges, 0, [150, 130, 150, 130]))
    np.testing.assert_allclose(some.boxes, expected, atol=1e-4)
    merged = merge_boxes(expected, answers.scores[label].flatten().numpy())
    np.testing.assert_allclose(made.find(image).boxes, merged.boxes, atol=1e-3)
