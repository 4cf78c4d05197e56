"""`fit` draws the demo once, and `prepare` repeats nothing."""

import json
from pathlib import Path

import pytest
from PIL import Image
from running import Compose, run

from alexnet_pl.commands.prepare import report_nonstandard
from alexnet_pl.data.prepare import pipeline
from alexnet_pl.data.sources import synthetic
from alexnet_pl.errors import UserError
from alexnet_pl.experiment import build


def test_wrong_number_of_classes_is_refused_before_the_demo_is_drawn(config: Compose, tmp_path: Path) -> None:
    cfg = config("demo", f"data.root={tmp_path / 'store'}", "model.num_classes=7")
    with pytest.raises(UserError, match=r"model.num_classes=7: the store at .* has 10 classes"):
        run(cfg, "fit", tmp_path)
    assert not list(tmp_path.iterdir())


def test_demo_is_not_drawn_at_a_mistyped_path(config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "make_store", lambda options: pytest.fail(f"drew {options.root}"))
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs/a.jpg").touch()
    for root, says in {
        "mistyped/store": "mistyped/store: there is no folder .*mistyped, so the demo's images are not drawn; give ",
        "photographs/a.jpg/store": "there is no folder .*a.jpg, so",
        "photographs": "photographs holds no prepared store",
        "photographs/a.jpg": "a.jpg holds no prepared store",
    }.items():
        with pytest.raises(UserError, match=f"^data.root: .*{says}[^\n]*$"):
            run(config("demo", "logger=csv", f"data.root={tmp_path / root}"), "fit", tmp_path / "run")
    assert not (tmp_path / "mistyped").exists()
    assert [path.name for path in (tmp_path / "photographs").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("root", ["new", "data/new"])
def test_folder_is_named_before_the_demo_is_drawn_there(
    root: str, config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Recipes draw in data/, which need not exist."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "make_store", lambda options: print(f"draws {options.root}"))
    data = build.make_data(config("demo", f"data.root={root}"))
    data.check()
    data.prepare_data()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"data.root: {root} does not exist; the demo's images are drawn there", f"draws {root}"]


def test_demo_is_drawn_for_a_fit_alone(config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`validate RUN data.root=MISTYPED` would otherwise draw a new data set there."""
    cfg = config("demo", f"data.root={tmp_path / 'mistyped'}")
    cfg.ckpt_path = str(tmp_path / "last.ckpt")
    for command in ("validate", "test", "features"):
        cfg.command = command
        with pytest.raises(UserError, match=r"^data.root: .*mistyped does not exist"):
            build.make_data(cfg).check()
    cfg.command = "fit"  # resumed after the images were deleted
    build.make_data(cfg).check()


def test_preparing_twice_does_nothing_the_second_time(
    config: Compose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, numbers in {"train": range(20), "val": range(20, 30)}.items():
        for index in numbers:
            folder = tmp_path / "copy" / split / synthetic.CLASSES[index % 10][0]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(synthetic.draw_image(index, 40)[0].transpose(1, 2, 0)).save(folder / f"{index}.png")
    cfg = config("imagenette", f"prepare.source={tmp_path / 'copy'}", f"data.root={tmp_path / 'store'}", "data.size=32")
    run(cfg, "prepare", tmp_path)
    first, written = capsys.readouterr().out, (tmp_path / "store/store.json").stat().st_mtime_ns
    run(cfg, "prepare", tmp_path)
    again = capsys.readouterr().out
    assert "20 train, 10 val images of 10 classes" in first
    assert "0 unreadable images left out, 30 of other formats converted to RGB" in first
    assert again.startswith("already prepared: 20 train, 10 val images")
    assert (tmp_path / "store/store.json").stat().st_mtime_ns == written


def test_one_unreadable_image_is_singular(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd.json").write_text('[{"name": "a.jpg", "done": "left out", "what": "not an image"}]')
    report_nonstandard({"odd": 0, "unreadable": 1}, tmp_path)
    assert "1 unreadable image left out, 0 of other formats converted to RGB" in capsys.readouterr().out


def test_names_from_a_copy_do_not_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = [{"name": "\x1b[2Jé.jpg", "done": "left out", "what": "not an image\x1b]0;title\x07"}]
    (tmp_path / "odd.json").write_text(json.dumps(odd))
    report_nonstandard({"odd": 0, "unreadable": 1}, tmp_path)
    assert capsys.readouterr().out.splitlines()[0] == "  left out, not an image?]0;title?: ?[2Jé.jpg"


def test_messages_that_differ_in_numbers_are_one_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a broken copy nearly every message has a number of its own."""
    gray = [{"name": f"g{i}", "done": "converted to RGB", "what": "JPEG L"} for i in range(7)]
    cut = [{"name": f"c{i}", "done": "left out", "what": f"truncated ({i:,} bytes left)"} for i in range(2000)]
    rare = [{"name": chr(97 + i), "done": "left out", "what": f"reason {chr(97 + i)}"} for i in range(12)]
    (tmp_path / "odd.json").write_text(json.dumps([*gray, *cut, *rare]))
    report_nonstandard({"odd": 7, "unreadable": 2012}, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "  left out, truncated (0 bytes left): c0, c1, c2, c3, c4 and 1,995 more",
        "  converted to RGB, JPEG L: g0, g1, g2, g3, g4 and 2 more",
    ]
    assert lines[9:11] == ["  left out, reason h: h", "  and 4 more kinds"]
