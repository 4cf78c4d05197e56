"""Every figure of a small run: drawn data against the run folder's files and numpy."""

import csv
import json
import os
import re
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from matplotlib.colors import same_color, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from omegaconf import OmegaConf
from PIL import Image
from running import check_words

from alexnet_pl.cli.main import main
from alexnet_pl.commands import dispatch, registry
from alexnet_pl.commands.figures import find_runs
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.store.integrity import compute_fingerprint
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures import catalog, examples, figure4, markdown, training_curves
from alexnet_pl.figures.filter_responses import compute_responses, find_largest
from alexnet_pl.figures.style import DARK, LIGHT, THEMES, Theme, draw_for_notebook
from alexnet_pl.inference.top_patches import find_top_patches
from alexnet_pl.models.filters import scale_to_unit_range
from alexnet_pl.models.other_alexnets import CaffeAlexNet


def command(words: list[str]) -> None:
    dispatch.run_on_folders(registry.find("figures"), words)


@pytest.fixture
def run(tiny_run: Path) -> TrainedRun:
    return TrainedRun(tiny_run)


@pytest.fixture
def light(tiny_run: Path, tmp_path: Path) -> Path:
    """Run folder without checkpoints and features, which are large."""
    folder = tmp_path / "light"
    shutil.copytree(tiny_run, folder, ignore=shutil.ignore_patterns("checkpoints", "features"))
    return folder


@pytest.fixture
def copy(light: Path, tiny_run: Path) -> Path:
    (light / "checkpoints").mkdir()
    os.link(tiny_run / "checkpoints/last.ckpt", light / "checkpoints/last.ckpt")
    return light


def drawn(picture: catalog.FigureEntry, theme: Theme = LIGHT) -> Figure:
    return draw_for_notebook(picture.drawing, theme)


def rows(run: TrainedRun) -> list[dict[str, str]]:
    with (run.folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def images_in(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_figure_3_has_every_kernel_of_the_network(run: TrainedRun) -> None:
    weight = run.module.net.conv1.weight
    halves = images_in(drawn(catalog.kernel_figure(run, True), DARK))
    assert len(halves) == 2
    wanted = scale_to_unit_range(weight).permute(0, 2, 3, 1).numpy()
    tiles = [half[1:12, 1 + 12 * c : 12 * c + 12] for half in halves for c in range(12)]
    np.testing.assert_allclose(np.stack(tiles), wanted, atol=1e-6)
    assert halves[0].shape == (1 * 12 + 1, 12 * 12 + 1, 3), "12 of 24 kernels, a quarter of the width"
    np.testing.assert_allclose(halves[1][0], np.broadcast_to(to_rgb(DARK.page), (145, 3)), atol=1e-6)


def test_imported_caffe_network_has_two_halves() -> None:
    """Its config does not say so, since Caffe's network always has them."""
    net = CaffeAlexNet(10, width=0.25)
    trained: Any = SimpleNamespace(module=SimpleNamespace(net=net), cfg=OmegaConf.create({"model": {"name": "caffe"}}))
    picture = catalog.kernel_figure(trained, True)
    assert "GPU 2" in picture.caption
    assert len(images_in(drawn(picture))) == 2
    weight, numbers = find_largest(trained, 3)
    assert (numbers < len(weight) // 2).tolist() == [True] * 3 + [False] * 3


def test_bars_of_figure_4_match_the_test(run: TrainedRun) -> None:
    table = pq.read_table(run.folder / "results/val-center/probabilities.parquet")
    figure = drawn(catalog.prediction_figure(run, True))
    store = Store(run.cfg.data.root).split("val")
    numbers = [2, 7, 13, 18, 24, 29, 30, 35]  # middle of each eighth of 40 images sorted by class, (i + 6) mod 10
    panels = [axes for axes in figure.axes if axes.patches]
    assert len(panels) == len(numbers) == len(images_in(figure))
    whole = np.empty((len(store), 3, 72, 72), np.uint8)
    store.read(np.arange(len(store)), whole)
    names = [name for _, name in Store(run.cfg.data.root).classes]
    for number, axes, image in zip(numbers, panels, images_in(figure), strict=True):
        row = table.slice(number, 1).to_pylist()[0]
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)][1::2]  # each is on one of length 1
        lengths = [bar.get_width() for bar in bars]
        assert lengths == [float(row["probabilities"][best]) for best in row["best"]]
        assert lengths == sorted(lengths, reverse=True)
        assert sum(lengths) <= 1 + 5 * 2**-11  # rounded to float16
        assert np.array_equal(image, whole[number].transpose(1, 2, 0))
        texts = [text.get_text() for text in axes.texts]
        assert texts[0] == names[row["label"]]
        assert texts[1::2] == [names[best] for best in row["best"]]
        right = [same_color(bar.get_facecolor(), LIGHT.right) for bar in bars]
        assert right == [best == row["label"] for best in row["best"]]
        assert [text.startswith("✓") for text in texts[2::2]] == right


def test_predictions_are_computed_if_there_is_no_test(run: TrainedRun, copy: Path) -> None:
    shutil.rmtree(copy / "results")
    kept, _, _, _ = catalog.saved_predictions(run, examples.find_saved_predictions(run))  # type: ignore[arg-type]
    new, source, _, _ = catalog.new_predictions(TrainedRun(copy))
    assert "not tested yet" in source
    for one, other in zip(kept, new, strict=True):
        assert (one.number, one.name, one.label) == (other.number, other.name, other.label)
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=2e-3)


def test_test_of_another_checkpoint_is_not_drawn(run: TrainedRun, light: Path) -> None:
    assert examples.find_saved_predictions(run) is not None
    (light / "checkpoints").mkdir()
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    torch.save({**checkpoint, "global_step": 99}, light / "checkpoints/last.ckpt")
    assert examples.find_saved_predictions(TrainedRun(light)) is None


def test_test_on_fewer_classes_is_not_drawn(run: TrainedRun, copy: Path) -> None:
    """Class numbers of such a test, as of ImageNet-A, count within its own classes."""
    assert examples.find_saved_predictions(run) is not None
    for saved in copy.glob("results/*/probabilities.parquet"):
        table = pq.read_table(saved)
        about = json.loads(pq.read_metadata(saved).metadata[b"alexnet_pl"])
        about["dataset"]["classes"] = 2
        pq.write_table(table.replace_schema_metadata({b"alexnet_pl": json.dumps(about).encode()}), saved)
    assert examples.find_saved_predictions(TrainedRun(copy)) is None


def test_neighbors_of_figure_4_match_a_plain_search(run: TrainedRun) -> None:
    """Compares all distances of fc7 of the 96 training images, computed layer by layer."""
    store, net, crop = Store(run.cfg.data.root), run.module.net, slice(2, 69)
    seen = {}
    for name in ("train", "val"):
        split = store.split(name)
        whole = np.empty((len(split), 3, 72, 72), np.uint8)
        split.read(np.arange(len(split)), whole)
        view = torch.from_numpy(whole[:, :, crop, crop] - store.mean[None, :, crop, crop]).float()
        with torch.inference_mode():
            maps = net.conv_maps(view).flatten(1)
            fc7 = torch.relu(net.fc7(torch.relu(net.fc6(maps)) / 2))
        seen[name] = whole, fc7.half().double().numpy()
    figure = drawn(catalog.neighbor_figure(run, True))
    found = images_in(figure)
    queries = [1, 3, 5, 7, 9]  # middle of each fifth of 40 images sorted by class, (i + 6) mod 10
    assert len(found) == 5 * 7
    for row, query in enumerate(queries):
        assert np.array_equal(found[7 * row], seen["val"][0][query].transpose(1, 2, 0))
        distances = np.square(seen["train"][1] - seen["val"][1][query]).sum(1)
        shown = [
            int(np.flatnonzero((seen["train"][0] == image.transpose(2, 0, 1)).all((1, 2, 3)))[0])
            for image in found[7 * row + 1 : 7 * row + 7]
        ]
        np.testing.assert_allclose(distances[shown], np.sort(distances)[:6], rtol=1e-3)


def test_curves_match_metrics_csv_and_mark_the_rate_drop(run: TrainedRun) -> None:
    """96 images in batches of 16: six steps per epoch; the rate drops in the second."""
    course = training_curves.read_training_curves(run)
    assert course.drops == [training_curves.Drop(6, "÷10")]
    figure = drawn(catalog.training_figure(run, True))
    loss, error = figure.axes
    lines = {line.get_label(): line for axes in (loss, error) for line in axes.lines}
    logged = {
        (axes, label): [(int(row["step"]) / 6, float(row[name])) for row in rows(run) if row[name]]
        for axes, panel in zip((loss, error), training_curves.PANELS.values(), strict=True)
        for name, (label, _, _) in panel.items()
        if name in rows(run)[0]
    }
    assert len(logged) == 5
    for (axes, label), wanted in logged.items():
        (line,) = [line for line in axes.lines if line.get_label() == label]
        np.testing.assert_allclose(np.stack([line.get_xdata(), line.get_ydata()], 1), wanted)
    for axes in (loss, error):
        assert [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1] == [1.0]  # type: ignore[index]
        assert "÷10" in [text.get_text() for text in axes.texts]
    assert lines
    figure.draw_without_rendering()
    for axes in (loss, error):
        legend = axes.get_legend()
        assert legend
        assert not legend.get_window_extent().overlaps(axes.get_window_extent()), "no line crosses the legend"


def test_figures_leave_out_the_top_5_error_of_five_classes(copy: Path) -> None:
    with_top5 = catalog.training_figure(TrainedRun(copy), True).summary, markdown.run_facts(TrainedRun(copy))[-1]
    assert all("top-5 error" in text for text in with_top5)
    for name, key in {"fit.json": "store", "result.json": "dataset"}.items():
        record = json.loads((copy / name).read_text())
        record[key]["classes"] = 5
        (copy / name).unlink()
        (copy / name).write_text(json.dumps(record))
    without = catalog.training_figure(TrainedRun(copy), True).summary, markdown.run_facts(TrainedRun(copy))[-1]
    for text in without:
        assert "top-1 error" in text
        assert "top-5" not in text


@pytest.mark.parametrize(
    ("ended", "later"), [({"steps": 24}, True), ({"finished": False, "steps": None}, True), ({}, False)]
)
def test_page_says_that_a_run_was_trained_on_after_its_test(ended: dict[str, Any], later: bool, copy: Path) -> None:
    record = json.loads((copy / "fit.json").read_text())
    step = json.loads((copy / "result.json").read_text())["checkpoint"]["step"]
    assert record["steps"] == step == 12
    (copy / "fit.json").unlink()
    (copy / "fit.json").write_text(json.dumps({**record, **ended}))
    said = f"- the test is of step {step}, before the last training; python -m alexnet_pl test {copy} tests again"
    assert (said in markdown.run_facts(TrainedRun(copy))) == later


def test_rate_drops_are_labelled_by_layers_and_factor() -> None:
    before = {"conv1": 0.01, "conv2": 0.01, "fc8": 0.01}
    assert training_curves.describe_drop(before, {"conv1": 0.001, "conv2": 0.001, "fc8": 0.001}) == "÷10"
    assert training_curves.describe_drop(before, {"conv1": 0.0, "conv2": 0.001, "fc8": 0.001}) == "÷10"
    assert training_curves.describe_drop(before, {**before, "conv1": 0.0}) == "conv1 stops"
    assert training_curves.describe_drop(before, {**before, "conv1": 0.002, "fc8": 0.1}) == "conv1 ÷5"
    assert training_curves.describe_drop(before, before) == ""


def test_stages_within_an_epoch_are_marked_within_it() -> None:
    stages = [{"epoch": epoch, "weights": {"all": rate}} for epoch, rate in ((1, 0.01), (2.5, 0.001), (9, 0.0001))]
    drops = training_curves.staged_drops(stages, ["conv1", "fc8"], np.array([0, 100, 200, 300]))
    assert drops == [training_curves.Drop(150.0, "÷10")]


@pytest.mark.parametrize("theme", THEMES, ids=["light", "dark"])
@pytest.mark.parametrize("name", list(catalog.FIGURES))
def test_no_text_overlaps_or_is_cut_off(run: TrainedRun, name: str, theme: Theme) -> None:
    check_words(drawn(catalog.FIGURES[name][1](run, True), theme))


def test_check_detects_cut_off_text() -> None:
    for place in ((-0.2, 0.5), (0.5, 0.99)):
        figure = Figure()
        figure.text(*place, "cut off")
        with pytest.raises(AssertionError, match="cut off"):
            check_words(figure)
    figure.texts[0].set_position((0.5, 0.5))
    figure.text(0.51, 0.5, "over")
    with pytest.raises(AssertionError, match="over"):
        check_words(figure)


def test_long_class_names_are_shortened_at_the_bars() -> None:
    names = ["German short-haired pointer, a dog", "x" * 60, "tench, Tinca tinca"]
    answer = examples.SavedPrediction(0, "a.jpg", 1, np.array([0, 1, 2]), np.array([0.5, 0.3, 0.1]))
    figure = draw_for_notebook(lambda theme: figure4.draw_bars([answer], None, names, theme))
    check_words(figure)
    assert figure.axes[0].texts[1].get_text() == "German short-haired p…"
    assert figure.axes[0].texts[5].get_text() == "tench"
    picture, classes = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), np.array([[1, 0] * 3])
    check_words(
        draw_for_notebook(
            partial(
                figure4.draw_neighbors, picture, picture[:, None].repeat(1, 6, 1, 1, 1), np.array([1]), classes, names
            )
        )
    )


BLINDNESS = {  # Machado, Oliveira and Fernandes (2009), for linear RGB
    "all colors": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(color: str, eye: str) -> np.ndarray:
    """CIELAB of a color as seen with a type of color vision."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLINDNESS[eye]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    x, y, z = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", BLINDNESS)
@pytest.mark.parametrize("theme", THEMES, ids=["light", "dark"])
def test_colors_are_distinguishable_with_color_blindness(theme: Theme, eye: str) -> None:
    """A difference of 1 is just visible side by side; 20 is clearly another color."""
    for one, other in (
        (theme.right, theme.other),
        (theme.series[0], theme.series[1]),
        (theme.series[1], theme.series[2]),
        (theme.right, theme.page),
        (theme.other, theme.page),
        (theme.ink, theme.page),
    ):
        assert np.linalg.norm(lab(one, eye) - lab(other, eye)) > 20, (one, other)


def test_figures_draws_everything_light_and_dark(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command([str(tiny_run), f"out={tmp_path}/shown"])
    said = capsys.readouterr().out
    names = {f"{name}{theme.suffix}" for name in catalog.FIGURES for theme in THEMES}
    there = {path.name for path in (tmp_path / "shown").iterdir()}
    assert there == {f"{name}.{kind}" for name in names for kind in ("png", "svg")} | {"figure3.json"}
    for name in names:
        with Image.open(tmp_path / f"shown/{name}.png") as picture:
            page = DARK.page if name.endswith("-dark") else LIGHT.page
            assert picture.convert("RGB").getpixel((0, 0)) == tuple(round(255 * part) for part in to_rgb(page))
            assert len(picture.convert("L").getcolors() or []) > 10
    shares = json.loads((tmp_path / "shown/figure3.json").read_text())
    assert len(shares["kernels"]) == 24
    assert f"GPU 1 {shares['gpus'][0]:.2f}, GPU 2 {shares['gpus'][1]:.2f}" in said
    page = (tmp_path / "shown.md").read_text()
    assert f"figures tiny out={tmp_path}/shown" in page
    assert "trained on 96 images of 10 classes, a proxy for the paper's: 12 steps, 2 epochs" in page
    assert {src for src in re.findall(r'src(?:set)?="shown/([^"]+)"', page)} == {f"{name}.png" for name in names}
    assert "Not drawn" not in page


def write_config(folder: Path, text: str) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/config.yaml").write_text(text)
    (folder / "metrics.csv").touch()
    return folder


def test_runs_are_found_at_any_depth_and_figure_1_runs_separated(tmp_path: Path) -> None:
    figure1 = OmegaConf.to_yaml(compose("cifar10"))
    for name, text in (("a/b", "model: {towers: 2}"), ("a/c", figure1), ("d", "model: {name: local}"), ("e", "")):
        write_config(tmp_path / name, text)
    (tmp_path / "e/metrics.csv").unlink()  # a folder without results
    runs, others = find_runs([tmp_path])
    assert runs == {tmp_path / "a/b": "a/b", tmp_path / "d": "d"}
    assert others == [tmp_path / "a/c"]


def test_runs_of_equal_names_get_folders_of_their_own(tmp_path: Path) -> None:
    names = [Path(*parts) for parts in (("x", "cnns", "seed1"), ("x", "seed1"), ("y", "seed1"))]
    for name in names:
        write_config(tmp_path / name, "model: {}")
    assert find_runs([tmp_path])[0] == {tmp_path / name: str(name) for name in names}
    apart, _ = find_runs([tmp_path / "x/seed1", tmp_path / "y/seed1", tmp_path / "x/seed1"])
    assert apart == {tmp_path / "x/seed1": "x/seed1", tmp_path / "y/seed1": "y/seed1"}
    (tmp_path / "z").symlink_to(tmp_path / "x/cnns")
    assert find_runs([tmp_path / "z/seed1"])[0] == {tmp_path / "z/seed1": "seed1"}


def test_run_that_cannot_be_drawn_does_not_stop_the_others(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(tmp_path / "codes", "codes: {bits: 64}")
    write_config(tmp_path / "cut", "model: {name:")
    command([str(tmp_path), "photographs=false", f"out={tmp_path}/out"])
    assert (tmp_path / "out/light/figure3.png").is_file()
    errors = capsys.readouterr().err.splitlines()
    assert [line.partition("/.hydra")[0] for line in errors] == [f"not drawn: {tmp_path / n}" for n in ("codes", "cut")]


def test_working_folder_can_be_the_output(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    command([str(copy), "photographs=false", "out=."])
    assert (tmp_path / "here/figure3.png").is_file()
    assert 'src="here/figure3.png"' in (tmp_path / "here.md").read_text()


def words_of(path: Path) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def test_svg_keeps_text_as_text(run: TrainedRun, copy: Path) -> None:
    command([str(copy), "photographs=false"])
    words = words_of(copy / "figures/figure4-left.svg")
    assert set(run.classes) & set(words)
    assert any(word.startswith("✓") for word in words) or any(re.fullmatch(r"0\.\d\d", word) for word in words)
    assert "conv1" in words_of(copy / "figures/figure2.svg")


def test_without_images_no_photographs_are_drawn(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command([str(copy), "photographs=false"])
    assert "<image" not in (copy / "figures/figure4-left.svg").read_text()
    assert "not drawn: Figure 4, right" in capsys.readouterr().out
    command([str(copy)])
    assert (copy / "figures/figure4-left.svg").read_text().count("<image") == 8


def test_missing_input_is_named_and_the_rest_is_drawn(
    light: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command([str(light)])
    said = capsys.readouterr().out
    assert said.count("not drawn: ") == 4
    assert f"checkpoints/last.ckpt: does not exist; `python -m alexnet_pl fit {light} ckpt_path=auto` trains it" in said
    assert {path.name for path in (light / "figures").iterdir()} == {
        f"training{theme.suffix}.{kind}" for theme in THEMES for kind in ("png", "svg")
    }
    assert "## Not drawn" in (light / "figures.md").read_text()
    (light / "metrics.csv").write_text("step,train/loss\n")
    with pytest.raises(UserError, match="nothing can be drawn yet"):
        command([str(light)])


def test_bars_are_drawn_without_the_store(
    copy: Path, tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = OmegaConf.load(copy / ".hydra/config.yaml")
    cfg.data.root = str(tmp_path / "gone")
    OmegaConf.save(cfg, copy / ".hydra/config.yaml")
    command([str(copy)])
    assert "gone does not exist; if the store was moved, pass data.root=FOLDER" in capsys.readouterr().out
    assert "<image" not in (copy / "figures/figure4-left.svg").read_text()
    command([str(copy), f"data.root={tiny_store}"])
    assert (copy / "figures/figure4-left.svg").read_text().count("<image") == 8


def test_other_store_is_not_used(copy: Path, tmp_path: Path, tiny_store: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_store, other)
    about = json.loads((other / "store.json").read_text())
    about["settings"] = {"drawn": "otherwise"}
    about["fingerprint"] = compute_fingerprint(about, other)
    (other / "store.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=rf"data.root: .*other holds other images \({about['fingerprint'][:12]}\)"):
        _ = TrainedRun(copy, str(other)).store


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "nowhere: there is no such folder"),
        ([".", "dark=true"], "dark: unknown key"),
        ([".", "photographs=some"], "photographs: Value 'some'"),
        (["broken"], "not a mapping of keys to values"),
        ([], "which run folder?"),
    ],
)
def test_mistakes_are_reported_in_one_line(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken/.hydra").mkdir(parents=True)
    (tmp_path / "broken/.hydra/config.yaml").write_text("[1, 2]\n")
    (tmp_path / "broken/metrics.csv").touch()
    monkeypatch.setattr("sys.argv", ["alexnet_pl", "figures", *words])
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr().err
    assert end.value.code == 2
    assert told.count("\n") == 1
    assert says in told


def test_strongest_response_is_where_the_kernel_is_planted(run: TrainedRun) -> None:
    """Image equal to the mean except for a kernel's pattern at window 3 down, 5 across in the center view."""
    module, weight = run.module, run.module.net.conv1.weight.detach()
    kernels = torch.tensor([7, 20])
    images = module.augment.mean_image.round()[None].repeat(4, 1, 1, 1)
    for image, kernel in ((1, 7), (2, 20)):
        pattern = weight[kernel] / weight[kernel].abs().max() * 60
        images[image, :, 2 + 12 : 2 + 12 + 11, 2 + 20 : 2 + 20 + 11] += pattern
    images = images.clamp(0, 255).byte()
    found = find_top_patches(module, images, "conv1", kernels, count=2)
    assert found.images[:, 0].tolist() == [1, 2]
    for row, image in ((0, 1), (1, 2)):
        assert torch.equal(found.pixels[row, 0], images[image, :, 14:25, 22:33])
    answers = compute_responses(module, images)[:, kernels]
    assert torch.equal(found.responses, answers.flatten(2).amax(2).sort(0, descending=True).values[:2].T)


def test_images_are_spread_over_classes_also_if_these_take_turns() -> None:
    turns, sorted_labels = np.arange(1000) % 10, np.repeat(np.arange(10), 100)
    for labels in (turns, sorted_labels):
        chosen = examples.spread_over_classes(labels, 8)
        assert len(set(labels[chosen])) == 8
        assert list(chosen) == sorted(set(chosen))
    assert np.array_equal(examples.spread_over_classes(np.full(40, -1), 8), examples.spread_evenly(40, 8))


def test_single_validation_is_drawn_as_a_point(light: Path) -> None:
    """A line of one point would be invisible after the first epoch."""
    (light / "metrics.csv").write_text("step,train/loss,val/loss,val/top1_error\n1,2.5,,\n2,2.0,,\n2,,1.5,50\n")
    figure = drawn(catalog.training_figure(TrainedRun(light), True))
    markers = {line.get_label(): line.get_marker() for line in figure.axes[0].lines}
    assert markers == {"training": "", "validation": "o"}


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("pictures=away.jpg", "^pictures: away.jpg does not exist"),
        ("data.root=away", "^data.root: away does not exist"),
        ("out=setup.cfg", "^out=setup.cfg: a file; give a folder"),
    ],
)
def test_typed_path_that_is_wrong_is_refused_before_anything_is_drawn(
    light: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("setup.cfg").touch()
    with pytest.raises(UserError, match=says):
        command([str(light), "inside=true", word])
    assert not (light / "figures").exists()
