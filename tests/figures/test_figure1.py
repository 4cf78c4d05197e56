"""Figure 1 from hand-written run folders, so that every number can be checked by hand."""

import json
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image
from running import check_words
from spaces import single_spaces

from alexnet_pl.cli.main import main
from alexnet_pl.commands import figures
from alexnet_pl.config.recipes import compose
from alexnet_pl.errors import UserError
from alexnet_pl.figures import figure1
from alexnet_pl.figures.figure1_page import figure1_page
from alexnet_pl.figures.figure1_runs import Figure1Run, choose_rates, find_runs
from alexnet_pl.figures.style import draw_for_notebook

FAST = [60.0, 30.0, 20.0]  # crosses 25 % halfway between epochs 2 and 3
RECIPE = compose("cifar10")
SLOW = [80.0, 60.0, 50.0, 45.0, 40.0, 35.0, 30.0, 29.0, 28.0, 26.0, 24.0]  # between 10 and 11


def write_run(folder: Path, activation: str, rate: float, seed: int, errors: list[float], **changed: object) -> Path:
    """Write a run folder of configs/cifar10.yaml. `changed`: other settings, with `__` for dots."""
    (folder / ".hydra").mkdir(parents=True)
    cfg = RECIPE.copy()
    changed = {"model.activation": activation, "optim.lr": rate, "seed": seed, **changed}
    for key, value in changed.items():
        OmegaConf.update(cfg, key.replace("__", "."), value, force_add=True, merge=False)
    OmegaConf.save(cfg, folder / ".hydra/config.yaml")
    rows = [f"{50 * i},2.0,\n{100 * i},,{error}\n" for i, error in enumerate(errors, 1)]
    (folder / "metrics.csv").write_text("step,train/loss,train/epoch_top1_error\n" + "".join(rows))
    session = {
        "time": "now",
        "command": "fit",
        "argv": [],
        "store": {"name": "cifar10", "fingerprint": "f" * 64},
        "gpus": [],
        "cpus": 2,
        "precision": "32-true",
        "commit": "c" * 40,
        "changed_files": [],
    }
    (folder / "provenance.json").write_text(json.dumps({"sessions": [session]}))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two seeds per activation at the chosen rates, a search with one run per rate, and a run of another network."""
    for seed, late in ((0, 0.0), (1, 5.0)):
        write_run(tmp_path / f"runs/relu{seed}", "relu", 0.002, seed, [60.0 + late, 30.0, 20.0])
        write_run(tmp_path / f"runs/tanh{seed}", "tanh", 0.004, seed, SLOW if seed == 0 else [*SLOW[:-1], 25.0])
    write_run(tmp_path / "runs/search/a", "relu", 0.001, 0, [60.0, 50.0, 40.0])
    write_run(tmp_path / "runs/search/b", "tanh", 0.004, 0, SLOW[:3])  # the search has its own, shorter run with seed 0
    write_run(tmp_path / "runs/search/d", "tanh", 0.002, 0, [80.0, 60.0, 50.0, 45.0, 41.0])
    write_run(tmp_path / "runs/search/c", "tanh", 0.5, 0, [])
    write_run(tmp_path / "runs/other", "relu", 0.5, 0, [1.0], model__name="local")
    return tmp_path / "runs"


def test_crossing_is_interpolated_between_epochs(tmp_path: Path) -> None:
    def epochs(errors: list[float]) -> float | None:
        return Figure1Run(tmp_path, "relu", 0.1, 0, errors).epochs

    assert epochs(FAST) == pytest.approx(2.5)
    assert epochs(SLOW) == pytest.approx(10.5)
    assert epochs([60.0, 25.0]) == pytest.approx(2)
    assert epochs([20.0]) == pytest.approx(75 / 80)
    assert epochs([60.0, 26.0]) is None
    assert epochs([]) is None


def test_page_matches_the_runs(runs: Path, tmp_path: Path) -> None:
    """ReLU 2.5 and 2.5 epochs, tanh 10.5 and 11: ratios 4.2 and 4.4, mean 4.3, standard error 0.1, and
    12.706 is Student's t for one degree of freedom."""
    page = single_spaces(figure1.write_figure1([runs], tmp_path / "docs").read_text())
    assert "| how many times faster ReLUs are | 6 | 4.30 (3.03 to 5.57), 2 seeds |" in page
    assert "| epochs to 25 % training error, ReLU | | 2.50 (2.50 to 2.50), 2 seeds |" in page
    assert "| epochs to 25 % training error, tanh | | 10.75 (7.57 to 13.93), 2 seeds |" in page
    assert "| 0 | 2.50 | 10.50 | 4.20 |" in page
    assert "| 1 | 2.50 | 11.00 | 4.40 |" in page
    assert "| relu | 0.001 | more than 3 | 40.0 after 3 | |" in page
    assert "| relu | 0.002 | 2.50 | 20.0 after 3 | chosen |" in page
    assert "| tanh | 0.002 | more than 5 | 41.0 after 5 | |" in page
    assert "| tanh | 0.004 | 10.50 | 40.0 after 5 | chosen |" in page
    assert "| tanh | 0.5 | no finished epoch | | |" in page
    assert "local" not in page
    assert "relu, 2 runs: rate 0.002, cifar10 (ffffffffffff), 2 CPU cores, 32-true, commit cccccccccc" in page
    assert not re.search(r"/(tmp|home|root)/", page), "a path of this machine"


def test_chosen_rate_has_most_seeds_then_is_fastest_then_lowest(tmp_path: Path) -> None:
    for rate, seeds, errors in ((0.1, (0, 1), [90.0, 30.0]), (0.2, (0,), FAST), (0.3, (0,), [40.0])):
        for seed in seeds:
            write_run(tmp_path / f"{rate}-{seed}", "relu", rate, seed, errors)
    runs = find_runs([tmp_path])
    for left, rate in ((runs, 0.1), (runs[1:], 0.2), ([runs[0], runs[3]], 0.3)):
        assert {run.rate for run in choose_rates(left)["relu"]} == {rate}


def test_picture_is_a_valid_png(runs: Path, tmp_path: Path) -> None:
    figure1.write_figure1([runs], tmp_path / "docs")
    with Image.open(tmp_path / "docs/figure1.png") as picture:
        assert picture.width > picture.height > 400
        assert len(picture.convert("L").getcolors() or []) > 10


def test_page_has_the_picture_for_dark_pages_and_words_for_it(runs: Path, tmp_path: Path) -> None:
    page = figure1.write_figure1([runs], tmp_path).read_text()
    assert (tmp_path / "figure1-dark.png").is_file()
    assert '<source media="(prefers-color-scheme: dark)" srcset="./figure1-dark.png">' in page
    assert "one curve per seed: ReLU 2 seeds, tanh 2 seeds; a line at 25 %" in page


def test_labels_end_with_the_axis(runs: Path) -> None:
    best = choose_rates(find_runs([runs]))
    figure = draw_for_notebook(lambda theme: figure1.draw_figure1(best, theme))
    check_words(figure)
    (axes,) = figure.axes
    ends = {text.get_text(): text.get_window_extent().x1 for text in axes.texts}
    assert {*ends} == {"2.5 epochs", "10.8 epochs"}
    assert max(ends.values()) <= axes.get_window_extent().x1


def test_unpaired_seed_has_no_ratio(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "relu", 0.002, 0, FAST)
    write_run(tmp_path / "b", "tanh", 0.002, 0, SLOW[:4])
    page = figure1_page(find_runs([tmp_path]), "x.png", [Path("x")])
    page = single_spaces(page)
    assert "| how many times faster ReLUs are | 6 | not yet measured |" in page
    assert "| 0 | 2.50 | more than 4 | |" in page


@pytest.mark.parametrize("words", [["figures"], ["figures", "nowhere"], ["figures", "."], ["figures", "-x", "."]])
def test_missing_runs_are_an_error(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["alexnet_pl", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_command_writes_to_the_given_folder(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["alexnet_pl", "figures", "runs/relu0", "runs/tanh0", "out=here"])
    main()
    assert capsys.readouterr().out == "→ here/figure1.md\nnext: python -m alexnet_pl page runs/relu0\n"
    assert "| how many times faster ReLUs are | 6 | 4.20, 1 seed |" in single_spaces(
        (tmp_path / "here/figure1.md").read_text()
    )


def draw_without_a_network(words: list[str], place: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Run `figures` in `place`; returns the folders that pictures of single runs would be drawn into."""
    drawn: list[Path] = []
    monkeypatch.chdir(place)
    monkeypatch.setattr(figures, "TrainedRun", lambda run, root: run)
    monkeypatch.setattr(figures, "draw_run", lambda run, out, *_: drawn.append(out))
    monkeypatch.setattr("sys.argv", ["alexnet_pl", "figures", *words])
    main()
    return drawn


def test_missing_figure1_is_reported_with_the_setting_that_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "runs/short", "relu", 0.002, 0, [60.0], trainer__limit_train_batches=5)
    (run / "checkpoints").mkdir()
    (run / "checkpoints/last.ckpt").touch()
    draw_without_a_network(["runs"], tmp_path, monkeypatch)
    assert capsys.readouterr().out.splitlines() == [
        "not drawn: Figure 1: runs/short differs from configs/cifar10.yaml in trainer.limit_train_batches",
        "next: python -m alexnet_pl page runs/short",
    ]


@pytest.mark.parametrize("word", ["runs", "runs/one"])
def test_pictures_stay_apart_from_the_other_files_of_a_run(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["one", "two"] if word == "runs" else ["one"]
    for name in names:
        write_run(tmp_path / "runs" / name, "relu", 0.002, 0, [60.0], model__name="local")
    drawn = draw_without_a_network([word, f"out={word}"], tmp_path, monkeypatch)
    assert drawn == [Path("runs", name, "figures") for name in names]


@pytest.mark.parametrize(
    "changed",
    [
        {"data__name": "tiny"},
        {"data__batch_size": 64},
        {"augment__flip": True},
        {"optim__weight_decay": 0.004},
        {"model__width": 0.5},
        {"optim": {"lr": 0.1}},
        {"model": {"name": "conv"}},
    ],
)
def test_runs_with_other_settings_than_the_recipes_are_left_out(changed: dict[str, object], tmp_path: Path) -> None:
    """Each is longer than the recipe's own run of the same activation, rate and seed, which is taken."""
    write_run(tmp_path / "longer", "relu", 0.002, 0, SLOW, **changed)
    with pytest.raises(UserError, match=r"no run with the settings of configs/cifar10.yaml"):
        find_runs([tmp_path])
    write_run(tmp_path / "own", "relu", 0.002, 0, FAST, trainer__max_epochs=60, trainer__precision="bf16-mixed")
    assert [run.folder.name for run in find_runs([tmp_path])] == ["own"]
