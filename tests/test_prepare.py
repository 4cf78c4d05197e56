"""A copy of images becomes a store: every pixel, every label, exact statistics, and nothing that is half done."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

from alexnet_pl.data import decode
from alexnet_pl.data import shard as shards
from alexnet_pl.data.encoding import Encoding
from alexnet_pl.data.folders import read_folders
from alexnet_pl.data.merge import clear
from alexnet_pl.data.plan import Part
from alexnet_pl.data.prepare import prepare, shared
from alexnet_pl.data.settings import Settings
from alexnet_pl.data.shard import Reader
from alexnet_pl.data.source import Item, Source
from alexnet_pl.data.store import Store
from alexnet_pl.data.verify import damages
from alexnet_pl.errors import UserError

SIZE = 8
READ = partial(decode.read, size=SIZE, how="bilinear")
HOW = {"filter": "bilinear", "crop": "centre"}
PLAIN = Settings("three", SIZE, HOW, shard=4)
BAD = ["train/a/0.jpg", "train/b/3.jpg", "train/c/4.jpg"]  # the first, one within, and the last of the training split


def draw(path: Path, seed: int, mode: str = "RGB") -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(5, 30, 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode).save(path)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen training images of three classes and three of validation; three are broken, one is grey."""
    root = tmp_path_factory.mktemp("copy")
    for c, name in enumerate("abc"):
        for number in range(5):
            draw(root / f"train/{name}/{number}.jpg", 10 * c + number)
        draw(root / f"val/{name}/0.jpg", 100 + c)
    draw(root / "train/b/1.jpg", 55, "L")
    (root / BAD[0]).write_bytes(b"")
    (root / BAD[1]).write_bytes((root / BAD[1]).read_bytes()[:200])
    (root / BAD[2]).write_bytes(b"no image at all")
    return root


@pytest.fixture(scope="module")
def source(copy: Path) -> Source:
    return read_folders(copy, {"a": "ant", "b": "bee"})


def make(source: Source, root: Path, read: Reader = READ, **changes: Any) -> dict[str, Any]:
    """In several shards, the last not full."""
    about = prepare(source, root, PLAIN._replace(**changes), read)
    assert about is not None
    return about


def squares(source: Source, split: str) -> list[tuple[str, int, np.ndarray]]:
    """(name, label, image) of what can be read, straight from the files."""
    return [(item.name, item.label, READ(item)[0]) for item in source.splits[split] if item.name not in BAD]


def test_every_record_is_the_square_of_its_file_with_its_label_and_name(source: Source, tmp_path: Path) -> None:
    about = make(source, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert store.about == about
    assert store.classes == [["a", "ant"], ["b", "bee"], ["c", "c"]]
    for name, count in (("train", 12), ("val", 3)):
        split, wanted = store.split(name), squares(source, name)
        assert len(split) == len(wanted) == about["splits"][name]["images"] == count
        assert split.names == [each[0] for each in wanted]
        assert split.labels.tolist() == [each[1] for each in wanted]
        out = np.empty((count, 3, SIZE, SIZE), np.uint8)
        split.read(np.arange(count), out)
        assert np.array_equal(out, np.stack([each[2] for each in wanted]))


def test_what_could_not_be_read_is_listed_with_its_reason_and_nothing_else_moves(
    source: Source, tmp_path: Path
) -> None:
    about = make(source, tmp_path / "store")
    odd = json.loads((tmp_path / "store/odd.json").read_text())
    left_out = [entry for entry in odd if entry["done"] == "left out"]
    assert [entry["name"] for entry in left_out] == BAD
    assert all(entry["what"].strip() for entry in left_out)
    converted = [entry for entry in odd if entry not in left_out]
    assert [(entry["name"], "L" in entry["what"]) for entry in converted] == [("train/b/1.jpg", True)]
    assert (about["unreadable"], about["odd"]) == (3, 1)
    assert about["splits"]["train"]["records"] == 15


def test_mean_and_covariance_are_numpys_over_all_pixels_of_the_images_that_could_be_read(
    source: Source, tmp_path: Path
) -> None:
    """In float64, of the training split alone; a broken image is not a black one."""
    make(source, tmp_path / "store")
    images = np.stack([image for *_, image in squares(source, "train")]).astype(np.float64)
    store = Store(tmp_path / "store")
    np.testing.assert_allclose(store.mean, images.mean(0), rtol=1e-13)
    wanted = np.cov(images.transpose(1, 0, 2, 3).reshape(3, -1), bias=True)
    np.testing.assert_allclose(store.covariance, wanted, rtol=1e-10)
    assert np.array_equal(store.covariance, store.covariance.T)


def test_bright_images_of_hardly_any_contrast_keep_their_covariance(tmp_path: Path) -> None:
    """Where a sum of squares minus the square of a sum, in float32, has no digit left."""
    images = np.full((30, 3, SIZE, SIZE), 254, np.uint8)
    images[::2, 0, ::2] = 255
    items = [Item(f"{i}", 0, i) for i in range(30)]
    make(Source([("a", "a")], {"train": items}), tmp_path / "store", lambda item: (images[int(item.place)], ""))
    wanted = np.cov(images.transpose(1, 0, 2, 3).reshape(3, -1).astype(np.float64), bias=True)
    np.testing.assert_allclose(Store(tmp_path / "store").covariance, wanted, atol=1e-9)


def unsteady(item: Item) -> tuple[np.ndarray, str]:
    """Takes a while, now longer, now shorter."""
    time.sleep(hash(item.name) % 7 / 1000)
    return READ(item)


@pytest.mark.parametrize("encoding", [Encoding(), Encoding("jpeg")], ids=["raw", "jpeg"])
def test_the_number_of_workers_their_order_and_the_parts_change_no_byte(
    source: Source, tmp_path: Path, encoding: Encoding
) -> None:
    wanted = make(source, tmp_path / "plain", encoding=encoding, workers=1)
    for workers in (2, 5, None):
        assert make(source, tmp_path / f"{workers}", unsteady, encoding=encoding, workers=workers) == wanted
    for number in (2, 3, 1):
        assert prepare(source, tmp_path / "parts", PLAIN._replace(encoding=encoding), unsteady, Part(number, 3)) is None
        assert not (tmp_path / "parts").exists()
    assert make(source, tmp_path / "parts", fail(RuntimeError("all is done")), encoding=encoding) == wanted
    for path in sorted((tmp_path / "plain").iterdir()):
        for other in ("2", "5", "None", "parts"):
            assert path.read_bytes() == (tmp_path / other / path.name).read_bytes(), path.name


def test_a_missing_part_is_made_by_the_last_run(source: Source, tmp_path: Path) -> None:
    wanted = make(source, tmp_path / "plain")
    prepare(source, tmp_path / "store", PLAIN, READ, Part(1, 3))
    assert make(source, tmp_path / "store") == wanted


def brighter(item: Item) -> tuple[np.ndarray, str]:
    """One channel of one pixel of one image of the validation split is another."""
    image, odd = READ(item)
    image = image.copy()
    if item.name == "val/c/0.jpg":
        image[2, -1, -1] ^= 1
    return image, odd


def test_a_fingerprint_is_of_all_that_training_can_see(source: Source, tmp_path: Path) -> None:
    """Twice the same for the same; another for one bit of a pixel, a label, a name, a class, a setting, an order."""
    train, val = list(source.splits["train"]), list(source.splits["val"])
    variants: dict[str, Callable[[Path], dict[str, Any]]] = {
        "plain": partial(make, source),
        "pixel": partial(make, source, read=brighter),
        "label": partial(make, Source(source.classes, {"train": train, "val": [*val[:-1], val[-1]._replace(label=0)]})),
        "name": partial(make, Source(source.classes, {"train": [*train[:1], train[1]._replace(name="x"), *train[2:]]})),
        "class": partial(make, Source([*source.classes[:2], ("c", "cat")], source.splits)),
        "order": partial(make, Source(source.classes, {"train": train[::-1], "val": val})),
        "split": partial(make, Source(source.classes, {"train": train})),
        "setting": partial(make, source, how=HOW | {"filter": "bicubic"}),
        "data set": partial(make, source, name="four"),
        "encoding": partial(make, source, encoding=Encoding("jpeg")),
        "one image less": partial(make, Source(source.classes, {"train": train, "val": val[1:]})),
    }
    found = {what: variant(tmp_path / what)["fingerprint"] for what, variant in variants.items()}
    assert len(set(found.values())) == len(variants), found
    assert make(source, tmp_path / "again")["fingerprint"] == found["plain"]


def fail(error: BaseException) -> Callable[..., NoReturn]:
    def failing(*_: object, **__: object) -> NoReturn:
        raise error

    return failing


def beside(root: Path) -> list[str]:
    """What lies beside `root`, itself included."""
    return [path.name for path in root.parent.iterdir()]


def crashing(item: Item) -> tuple[np.ndarray, str]:
    if item.name == "val/b/0.jpg":
        raise RuntimeError("a bug")
    return READ(item)


def killed(item: Item) -> tuple[np.ndarray, str]:
    """As the kernel does to a process when there is no memory left."""
    if item.name == "train/c/0.jpg":
        os.kill(os.getpid(), signal.SIGKILL)
    return READ(item)


def test_a_worker_that_is_killed_is_told_and_what_is_done_is_kept(source: Source, tmp_path: Path) -> None:
    says = r"^data\.workers: one was killed; .* the same command goes on$"
    with pytest.raises(UserError, match=says):
        make(source, tmp_path / "store", killed, workers=2)
    assert beside(tmp_path / "store") == ["store.partial"]
    assert make(source, tmp_path / "store") == make(source, tmp_path / "undisturbed")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reader_that_crashes_leaves_nothing_at_root(source: Source, tmp_path: Path, workers: int) -> None:
    """The error comes out as it is; an image that cannot be read is a ValueError and no crash."""
    with pytest.raises(RuntimeError, match="a bug"):
        make(source, tmp_path / "store", crashing, workers=workers)
    with pytest.raises(UserError, match="is not there"):
        Store(tmp_path / "store")
    assert make(source, tmp_path / "store") == make(source, tmp_path / "undisturbed")


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
STEPS = [
    (shards, "write_shard"), (np, "savez"), (np, "save"), (Path, "write_text"), (os, "fsync"), (Path, "mkdir"),
    (Path, "rename"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "what"), STEPS, ids=[what for _, what in STEPS])
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full disk", "Ctrl-C"])
def test_a_run_that_ends_anywhere_leaves_no_store_and_does_not_hinder_the_next(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: object, what: str, error: BaseException
) -> None:
    """Whichever write meets a full disk, in a thread or not, it is told; just before the last step all is written, and
    still under the other name."""
    told = (
        pytest.raises(UserError, match=r"data\.root: .*no space left") if error is FULL else pytest.raises(type(error))
    )
    with monkeypatch.context() as patch, told:
        patch.setattr(where, what, fail(error))
        make(source, tmp_path / "store")
    with pytest.raises(UserError, match="is not there"):
        Store(tmp_path / "store")
    assert set(beside(tmp_path / "store")) <= {"store.partial"}
    assert make(source, tmp_path / "store") == make(source, tmp_path / "undisturbed")
    assert sorted(beside(tmp_path / "store")) == ["store", "undisturbed"]


def test_what_is_done_is_not_done_again(source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stopped in its fourth shard of five, one after the other, it goes on there."""
    seen: list[str] = []

    def once(item: Item) -> tuple[np.ndarray, str]:
        seen.append(item.name)
        if len(seen) == 15:
            raise OSError(errno.ENOSPC, "full")
        return READ(item)

    with pytest.raises(
        UserError, match=r"no space left on the disk; 3 files of images are done and kept; the same com"
    ):
        make(source, tmp_path / "store", once, workers=1)
    first = len(seen)
    about = make(source, tmp_path / "store", once, workers=1)
    assert first == 15
    assert seen[first:] == [item.name for split in ("train", "val") for item in source.splits[split]][12:]
    assert "going on: 12 of 18 images are done" in capsys.readouterr().out
    assert about == make(source, tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "four"}, "begun with other name"),
        ({"how": {}}, "begun with other how"),
        ({"shard": 5}, "begun with other shard"),
        ({"encoding": Encoding("jpeg")}, "begun with other encoding"),
    ],
)
def test_what_was_begun_otherwise_is_not_gone_on_with(
    source: Source, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    prepare(source, tmp_path / "store", PLAIN, READ, Part(1, 2))
    with pytest.raises(UserError, match=rf"^data.root: .*store.partial was {says}; go on with the same, or delete it"):
        make(source, tmp_path / "store", **changes)
    make(source, tmp_path / "store")


def test_of_two_that_begin_together_the_first_ones_settings_count(source: Source, tmp_path: Path) -> None:
    partial = tmp_path / "store.partial"
    partial.mkdir()
    (partial / "plan.json").write_text('{"size": 5}\n')
    with shared(partial), pytest.raises(UserError, match=r"store.partial was begun with other"):
        make(source, tmp_path / "store")
    make(source, tmp_path / "store")  # the other one ended with nothing made
    assert Store(tmp_path / "store").size == PLAIN.size
    assert not list((tmp_path / "store").glob("users")) + list((tmp_path / "store").glob("*lock"))


def test_what_was_begun_from_other_images_is_not_gone_on_with(source: Source, tmp_path: Path) -> None:
    prepare(source, tmp_path / "store", PLAIN, READ, Part(1, 2))
    val = list(source.splits["val"])
    other = Source(source.classes, {"train": source.splits["train"], "val": [*val[:-1], val[-1]._replace(label=0)]})
    with pytest.raises(UserError, match=r"was begun with other images"):
        make(other, tmp_path / "store")


KILLED = """
import os, random, signal, sys, time
from functools import partial
from pathlib import Path
from alexnet_pl.data.decode import read
from alexnet_pl.data.folders import read_folders
from alexnet_pl.data.prepare import prepare
from alexnet_pl.data.settings import Settings
from alexnet_pl.data.encoding import Encoding

copy, root, encoding = Path(sys.argv[1]), Path(sys.argv[2]), Encoding(sys.argv[3])

def child(root):
    pid = os.fork()
    if pid == 0:
        sys.stdout = open(os.devnull, "w")
        settings = Settings("x", 64, {}, encoding, shard=5, workers=1)
        prepare(read_folders(copy, {}), root, settings, partial(read, size=64, how="bilinear"))
        os._exit(0)
    return pid

def lasts(name):
    began = time.monotonic()
    assert os.waitpid(child(root / name), 0)[1] == 0
    return time.monotonic() - began

whole = min(lasts("whole"), lasts("made-first"), lasts("made-second"))
random.seed(0)
killed = 0
for _ in range(20):
    pid = child(root / "cut")
    time.sleep(random.uniform(0, 0.8 * whole))
    os.kill(pid, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    if (root / "cut").exists():  # whole already: begin again, so that kills fall on every stage
        (root / "cut").rename(root / f"made-{len(os.listdir(root))}")
if not (root / "cut").exists():
    assert os.waitpid(child(root / "cut"), 0)[1] == 0
print(killed)
"""


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_killed_twenty_times_it_ends_in_the_very_same_store(copy: Path, tmp_path: Path, encoding: str) -> None:
    """kill -9 at random moments; each run goes on with what the ones before it have done."""
    for number in range(8):
        shutil.copytree(copy / "train/a", tmp_path / f"copy/train/{number}")
        shutil.copytree(copy / "val/a", tmp_path / f"copy/val/{number}")
    words = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "copy"), str(tmp_path), encoding]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
    whole, cut = Store(tmp_path / "whole"), Store(tmp_path / "cut")
    assert cut.about == whole.about
    assert list(damages(cut)) == []
    clear(cut.root)  # as the next `prepare` does after a kill in the very last moment
    assert {path.name for path in cut.root.iterdir()} == {path.name for path in whole.root.iterdir()}
    assert {name.partition("-")[0] for name in beside(cut.root)} == {"copy", "cut", "whole", "made"}
    for made in tmp_path.glob("made-*"):
        assert Store(made).about == whole.about


@pytest.mark.slow
def test_workers_end_with_a_command_that_was_killed(tmp_path: Path) -> None:
    """They would wait for their next file for ever; what they had done is kept, and the next run goes on with it."""
    root, partial_root = tmp_path / "store", tmp_path / "store.partial"
    words = [sys.executable, "-m", "alexnet_pl", "prepare", "-c", "demo", "data.size=64", "prepare.images_per_shard=32"]
    words += ["prepare.workers=2", f"data.root={root}"]
    killed = subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=tmp_path)
    waited(lambda: len(list(partial_root.glob("train-*"))) >= 9)
    crew = descendants(killed.pid)
    assert len(crew) >= 3  # two workers, and the process that they are forked from
    killed.kill()
    killed.wait()
    waited(lambda: not any(Path(f"/proc/{each}").exists() for each in crew))
    assert list(partial_root.glob("train-*"))
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=tmp_path, timeout=200)
    plain = [*words[:-2], "prepare.workers=1", f"data.root={tmp_path / 'plain'}"]
    subprocess.run(plain, check=True, stdout=subprocess.DEVNULL, cwd=tmp_path, timeout=200)
    assert Store(root).about == Store(tmp_path / "plain").about
    assert sorted(path.name for path in root.iterdir()) == sorted(path.name for path in (tmp_path / "plain").iterdir())


def waited(done: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def descendants(pid: int) -> list[int]:
    found = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return found + [below for child in found for below in descendants(child)]


Usage = namedtuple("Usage", "total used free")


def test_too_small_a_disk_is_told_before_anything_is_written(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """18 images of 3 × 8 × 8 bytes; the folder's own parents need not be there yet."""
    needed, asked = (18 * 3 + 4 * 24) * SIZE**2, []  # and what is kept of each of four shards until the end

    def usage(path: Any, free: int) -> Usage:
        asked.append(Path(path))
        return Usage(10**12, 0, free)

    root = tmp_path / "new/deep/store"
    monkeypatch.setattr(shutil, "disk_usage", partial(usage, free=needed - 1))
    with pytest.raises(UserError, match=r"^data\.root: .* free"):
        make(source, root)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"plan.json", "plan.lock", "users"}
    assert asked == [root.with_name("store.partial")]
    monkeypatch.setattr(shutil, "disk_usage", partial(usage, free=2 * needed))
    make(source, root)
    assert len(Store(root).split("val")) == 3


def test_what_is_done_needs_no_more_room(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(source, tmp_path / "store", PLAIN, READ, Part(1, 2))
    left = (3 * (4 + 3) + 2 * 24) * SIZE**2  # the second and the last of five shards: 4, 4, 4, 3 and 3 images
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, left + 3 * SIZE**2))
    make(source, tmp_path / "store")
    assert len(Store(tmp_path / "store").split("train")) == 12


def test_a_folder_with_anything_in_it_is_refused_and_left_as_it_is(source: Source, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    (root / "thesis.tex").write_text("three years")
    with pytest.raises(UserError, match=rf"^data\.root: {root}.* empty or a new folder"):
        make(source, root)
    assert [path.name for path in root.iterdir()] == ["thesis.tex"]
    assert (root / "thesis.tex").read_text() == "three years"
    assert beside(root) == ["mine"]


def test_a_whole_store_is_refused_too(source: Source, tmp_path: Path) -> None:
    about = make(source, tmp_path / "store")
    with pytest.raises(UserError, match=r"^data\.root"):
        make(source, tmp_path / "store", how={})
    assert Store(tmp_path / "store").about == about


def test_an_empty_folder_is_as_good_as_a_new_one(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    make(source, tmp_path / "store")
    assert len(Store(tmp_path / "store").split("train")) == 12
    monkeypatch.chdir(tmp_path)
    make(source, Path("relative/"))
    assert Store("relative").about == Store(tmp_path / "store").about


def test_a_root_that_is_a_file_is_told_and_left_as_it_is(source: Source, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(UserError, match=r"^data\.root: .*store"):
        make(source, tmp_path / "store")
    assert (tmp_path / "store").read_text() == "not a folder"


def test_the_empty_folder_that_a_person_stands_in_is_told_or_filled(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`data.root=.`, which has no name to add `.partial` to."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    try:
        make(source, Path("."))
    except UserError as error:
        assert "data.root" in str(error)  # noqa: PT017 (either is well)
    else:
        assert len(Store(tmp_path / "here").split("train")) == 12


def test_what_lies_there_by_the_same_name_is_not_mixed_in(source: Source, tmp_path: Path) -> None:
    make(source, tmp_path / "undisturbed")
    (tmp_path / "store.partial").mkdir()
    (tmp_path / "store.partial/test.u8").write_bytes(b"of who knows what")
    assert make(source, tmp_path / "store") == make(source, tmp_path / "again")
    files = [{path.name for path in (tmp_path / name).iterdir()} for name in ("store", "again")]
    assert files[0] == files[1] | {"test.u8"}  # not ours to delete
    assert not (tmp_path / "store.partial").exists()
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial/train-000000.u8.npz").write_bytes(b"of who knows what")
    with pytest.raises(UserError, match=r"new.partial holds files of something else"):
        make(source, tmp_path / "new")


def test_a_split_of_which_nothing_can_be_read_is_told(source: Source, tmp_path: Path) -> None:
    def only_training(item: Item) -> tuple[np.ndarray, str]:
        if item.name.startswith("val"):
            raise ValueError("broken")
        return READ(item)

    with pytest.raises(UserError, match=r"^data\.source: none of the 3 images of val"):
        make(source, tmp_path / "store", only_training)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("strange", ["a\nb", "a\rb", "a\x0bb", "a\x85b", "a\u2028b", "ä, \U0001f41d", "a\udce9b"])
def test_a_strange_file_name_shifts_no_other(copy: Path, tmp_path: Path, strange: str) -> None:
    """Line breaks of every kind, and bytes that are no UTF-8, as archives from Windows leave them."""
    root = tmp_path / "copy"
    for number, name in enumerate(["0", strange, "z"]):
        draw(root / "train/a/x.png", number)
        (root / "train/a/x.png").rename(root / f"train/a/{name}.png")
    draw(root / "val/a/1.png", 5)
    source = read_folders(root, {})
    position = [item.name for item in source.splits["train"]].index(f"train/a/{strange}.png")
    make(source, tmp_path / "store")
    names = Store(tmp_path / "store").split("train").names
    assert len(names) == 3
    assert [name for i, name in enumerate(names) if i != position] == ["train/a/0.png", "train/a/z.png"]
