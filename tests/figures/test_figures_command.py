"""`figures`: files of a run, missing inputs, mistakes."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from PIL import Image
from store_copies import copy_as_drawn

from alexnet_pl.cli.main import main
from alexnet_pl.commands import dispatch, registry
from alexnet_pl.commands.figures import find_runs
from alexnet_pl.config.recipes import compose
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures import catalog
from alexnet_pl.figures.style import DARK, LIGHT, THEMES, Theme, draw_for_notebook


def command(words: list[str]) -> None:
    dispatch.run_on_folders(registry.find("figures"), words)


def drawn(picture: catalog.FigureEntry, theme: Theme = LIGHT) -> Figure:
    return draw_for_notebook(picture.drawing, theme)


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
    assert f"{light} has no checkpoints/last.ckpt; `python -m alexnet_pl fit {light} ckpt_path=auto` trains it" in said
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
    other = copy_as_drawn(tiny_store, tmp_path / "other")
    with pytest.raises(UserError, match=rf"data.root: .*other holds other images \({other.fingerprint[:12]}\)"):
        _ = TrainedRun(copy, str(other.root)).store


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "nowhere: there is no such folder"),
        ([".", "dark=true"], "dark: unknown key"),
        ([".", "photographs=some"], "photographs=some: expected true or false"),
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
