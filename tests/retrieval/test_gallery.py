"""`features` and `retrieve` on a network of one epoch; missing inputs are named."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from run_folders import load, table
from running import TRAIN, VAL, Compose, last, run
from spaces import single_spaces

from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.figures.retrieval_sheet import RIGHT, WRONG, SearchResult, draw_sheet
from alexnet_pl.retrieval.extraction import Share
from alexnet_pl.retrieval.features import Features, features_dir
from alexnet_pl.retrieval.gallery import extract_features, make_extractor, open_image_index
from alexnet_pl.retrieval.search import ApproximateIndex


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, tiny_store: Path) -> Path:
    """Run folder with features of both splits."""
    from alexnet_pl.config.recipes import compose

    folder = tmp_path_factory.mktemp("runs") / "net"
    keys = ["data.name=tiny", f"data.root={tiny_store}", "data.size=72", "data.batch_size=16", "augment.crop=67"]
    cfg = compose(
        "imagenette",
        [*keys, "logger=csv", "performance.compile=false", "trainer.max_epochs=1", "trainer.log_every_n_steps=2"],
    )
    cfg.trainer.precision = "32-true"
    run(cfg, "fit", folder)
    (folder / ".hydra").mkdir()
    OmegaConf.save(cfg, folder / ".hydra/config.yaml")
    run(cfg, "features", folder, last(folder))
    return folder


@pytest.fixture
def cfg(network: Path) -> DictConfig:
    found = OmegaConf.load(network / ".hydra/config.yaml")
    assert isinstance(found, DictConfig)
    return found


def test_image_is_its_own_nearest_neighbor(network: Path) -> None:
    gallery = open_image_index(network)
    assert len(gallery.features) == TRAIN
    found = gallery.nearest_to_images(gallery.read_images(np.array([3, 40])), 6)
    assert found.numbers[:, 0].tolist() == [3, 40]
    assert found.distances[:, 0] == pytest.approx([0, 0], abs=0.01)
    assert (np.diff(found.distances) >= 0).all()
    assert gallery.classes == Store(gallery.cfg.data.root).classes


def test_approximate_index_is_read_once(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = open_image_index(network)
    first = gallery.nearest(gallery.features.rows(np.arange(3)), 2, index="hnsw")
    monkeypatch.setattr(ApproximateIndex, "read", lambda _: pytest.fail("read again"))
    again = gallery.nearest(gallery.features.rows(np.arange(3)), 2, index="hnsw")
    np.testing.assert_array_equal(again.numbers, first.numbers)


def test_features_of_another_precision_are_extracted_again(network: Path, cfg: DictConfig) -> None:
    cfg.command, cfg.ckpt_path = "features", str(last(network))
    about = features_dir(network, "val", "fc7") / "about.json"
    saved = json.loads(about.read_text())
    about.write_text(json.dumps({**saved, "precision": "bf16-mixed"}))
    assert extract_features(cfg, network, "val", make_extractor(cfg))[1]
    assert json.loads(about.read_text()) == saved
    assert not extract_features(cfg, network, "val", make_extractor(cfg))[1]


def test_first_process_alone_looks_for_features(
    network: Path, cfg: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS remembers on another machine that a file did not exist when it was looked for."""
    monkeypatch.setattr("alexnet_pl.retrieval.gallery.has_features", lambda *_: pytest.fail("looked for"))
    cfg.command, cfg.ckpt_path = "features", str(last(network))
    other = Share(1, 2, broadcast=lambda _: False)  # the first process has found them
    found, is_new = extract_features(cfg, network, "val", make_extractor(cfg), other)
    assert (len(found), is_new) == (VAL, False)


@pytest.mark.parametrize("damaged", ["features.npy", "labels.npy", "names.jsonl", "about.json"])
def test_features_replaces_damaged_features(network: Path, cfg: DictConfig, tmp_path: Path, damaged: str) -> None:
    copy = shutil.copytree(network, tmp_path / "net")
    folder = copy / "features/val-fc7"
    wanted, damage = Features(network / "features/val-fc7"), folder / damaged
    damage.write_bytes(damage.read_bytes()[:-20])
    run(cfg, "features", copy, last(copy))
    found = Features(folder)
    assert np.array_equal(found.values, wanted.values)
    assert found.names == wanted.names


def test_every_test_image_is_searched(
    network: Path, cfg: DictConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against brute force on the files written by `features`."""
    monkeypatch.setenv("COLUMNS", "200")
    run(cfg, "retrieve", network, last(network))
    rows = table(network / "retrieval/neighbors.csv")
    train, val = (Features(network / f"features/{split}-fc7") for split in ("train", "val"))
    distances = np.sqrt(np.square(val.values[:, None].astype(float) - train.values[None].astype(float)).sum(2))
    nearest = np.argsort(distances, 1, kind="stable")[:, :6]
    assert [row["image"] for row in rows] == [train.names[number] for number in nearest.ravel()]
    assert [row["query"] for row in rows[::6]] == val.names
    classes = load(last(network))["alexnet_pl"]["classes"]
    assert [[row["query_class"], row["query_name"]] for row in rows[::6]] == [classes[label] for label in val.labels]
    shown = single_spaces(capsys.readouterr().out)
    assert f"│ {Path(val.names[0]).name}, {classes[val.labels[0]][1]} │" in shown
    assert [float(row["distance"]) for row in rows] == pytest.approx(np.sort(distances, 1)[:, :6].ravel(), abs=1e-4)
    said = json.loads((network / "retrieval/retrieval.json").read_text())
    assert said["queries"] == VAL
    assert said["queries_per_second"] > 0


def test_user_images_are_searched_and_unreadable_ones_reported(
    network: Path, cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training image saved losslessly finds itself."""
    picture = open_image_index(network).read_images(np.array([7]))[0]
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_text("no picture")
    run(cfg, "retrieve", network, last(network), **{"predict.images": str(tmp_path)})
    rows = table(network / "retrieval/neighbors.csv")
    assert len(rows) == 6
    assert rows[0]["image"] == Features(network / "features/train-fc7").names[7]
    said = single_spaces(capsys.readouterr().out)
    assert "not read: " in said
    assert "Nearest images to a.png" in said
    for row in rows:
        assert f"│ {row['image']} │ {row['name']} │ {row['distance']} │" in said
    assert re.search(r"1 query among \d+ train images, 6 neighbors each, found in \d+\.\d s\n", said)
    with pytest.raises(UserError, match=r"^predict.images: none of 1 could be read"):
        run(cfg, "retrieve", network, last(network), **{"predict.images": str(tmp_path / "b.jpg")})


def test_images_without_labels_have_no_class(
    network: Path, cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = copy(network, tmp_path)
    for split, count in {"train": TRAIN, "val": VAL}.items():
        np.save(there / f"features/{split}-fc7/labels.npy", np.full(count, -1))
    run(cfg, "retrieve", there, last(there))
    rows = table(there / "retrieval/neighbors.csv")
    assert {(row["class"], row["name"]) for row in rows} == {("", "")}
    names = [name for _, name in Store(cfg.data.root).classes]
    assert not any(name in capsys.readouterr().out for name in names)


@pytest.mark.parametrize("key", ["index=ivf", "per_file=10"])
def test_options_of_a_search_by_features_are_refused_for_codes(network: Path, cfg: DictConfig, key: str) -> None:
    name, _, value = key.partition("=")
    keys = {"retrieval.codes": "runs/none", f"retrieval.{name}": int(value) if value.isdigit() else value}
    with pytest.raises(UserError, match=rf"^retrieval.{name}.*: not with retrieval.codes"):
        run(cfg, "retrieve", network, last(network), **keys)


def test_features_are_not_computed_twice(network: Path, cfg: DictConfig) -> None:
    path = network / "features/train-fc7/features.npy"
    before = path.stat().st_mtime_ns
    run(cfg, "features", network, last(network))
    assert path.stat().st_mtime_ns == before


def copy(network: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(network, tmp_path / "copy", symlinks=True))


def test_features_of_another_checkpoint_are_refused(network: Path, tmp_path: Path) -> None:
    there = copy(network, tmp_path)
    checkpoint = torch.load(last(there), weights_only=True)
    checkpoint["state_dict"]["net.fc8.bias"] += 1
    torch.save(checkpoint, last(there))
    with pytest.raises(UserError, match=r"train-fc7: made from another checkpoint .* make them again with `features`$"):
        open_image_index(there)


def test_missing_store_is_named(network: Path, tmp_path: Path) -> None:
    gallery = open_image_index(network, "train", "last", f"data.root={tmp_path}/away")
    with pytest.raises(UserError, match=r"^data.root: .*/away does not exist"):
        gallery.read_images(np.array([0]))


def test_folder_without_a_checkpoint_is_named(network: Path, tmp_path: Path) -> None:
    there = copy(network, tmp_path)
    last(there).unlink()
    with pytest.raises(UserError, match=r"^.*copy has no checkpoints/last.ckpt"):
        open_image_index(there)
    shutil.rmtree(there / ".hydra")
    with pytest.raises(UserError, match=r"copy: no run folder"):
        open_image_index(there)


def test_older_run_folder_accepts_new_keys(tmp_path: Path, config: Compose) -> None:
    """Its config lacks the sections, and Hydra refuses to set missing keys."""
    (tmp_path / "checkpoints").mkdir()
    last(tmp_path).touch()
    (tmp_path / ".hydra").mkdir()
    older = config("imagenette")
    OmegaConf.set_struct(older, False)
    del older["features"], older["retrieval"]
    OmegaConf.save(older, tmp_path / ".hydra/config.yaml")
    words = to_hydra(["features", "-c", str(tmp_path), "features.split=val", "retrieval.k=3"])
    assert {"++features.split=val", "++retrieval.k=3"} <= set(words)
    assert f"ckpt_path='{last(tmp_path)}'" in words


def test_sheet_has_a_row_per_query_and_frames_by_class() -> None:
    queries = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    right = np.array([[True, False, True], [False, False, True]])
    ways = {name: SearchResult(torch.zeros(2, 3, 3, 4, 4, dtype=torch.uint8), right) for name in ("float", "codes")}
    figure = draw_sheet(queries, ways)
    figure.canvas.draw()
    assert len(figure.axes) == 2 * (1 + 3 + 3)
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")] == [
        "query",
        "float",
        "codes",
    ]
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes[::7]]
    assert np.array_equal(np.stack(shown), queries.permute(0, 2, 3, 1).numpy())
    colors = [axes.spines["top"].get_edgecolor() for axes in figure.axes if axes.spines["top"].get_visible()]
    from matplotlib.colors import to_rgba

    row = [to_rgba(RIGHT if one else WRONG) for one in right[0]]
    assert colors[:6] == row + row
