"""An interrupted window computation continues after its last saved part; the result is the same to the bit."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from damages import claim_huge_array

from alexnet_pl import locks
from alexnet_pl.config.box_options import BoxOptions
from alexnet_pl.data.store.store import Store
from alexnet_pl.detection import window_cache, window_writer
from alexnet_pl.detection.box_network import BoxNetwork
from alexnet_pl.detection.window_cache import WindowCache, open_window_cache
from alexnet_pl.detection.window_writer import WindowBatch
from alexnet_pl.errors import UserError


class Computation:
    """`window_cache.image_windows` that counts its calls and stops before the image at position `stop`."""

    def __init__(self, stop: int | None = None) -> None:
        self.compute, self.stop, self.images = window_cache.image_windows, stop, list[int]()

    def __call__(self, split: object, number: int, network: BoxNetwork, options: BoxOptions) -> Iterator[WindowBatch]:
        if len(self.images) == self.stop:
            raise KeyboardInterrupt
        self.images.append(number)
        return self.compute(split, number, network, options)  # type: ignore[arg-type]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two folders for the windows of the same images; a part holds three images."""
    monkeypatch.setattr(window_writer, "IMAGES_PER_PART", 3)
    return tmp_path / "whole", tmp_path / "interrupted"


def compute(
    folder: Path, store: Store, network: BoxNetwork, monkeypatch: pytest.MonkeyPatch, stop: int | None = None
) -> tuple[WindowCache | None, list[int]]:
    """The cache, None if the computation was interrupted, and the images whose windows were computed."""
    options = BoxOptions("localise", units=[16, 8], scales=[1, 4], windows=4)
    computation = Computation(stop)
    with monkeypatch.context() as patched:
        patched.setattr(window_cache, "image_windows", computation)
        try:
            return open_window_cache(folder, store.whole("train"), network, options, {}), computation.images
        except KeyboardInterrupt:
            return None, computation.images


def contents(folder: Path) -> dict[str, bytes]:
    (made,) = folder.iterdir()
    return {path.name: path.read_bytes() for path in sorted(made.iterdir())}


@pytest.mark.parametrize("stop", [0, 1, 3, 8, 9])
def test_interrupted_computation_continues_after_its_last_part(
    folders: tuple[Path, Path], stop: int, scene_store: Store, network: BoxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, interrupted = folders
    _, images = compute(whole, scene_store, network, monkeypatch)
    assert len(images) == 10
    assert compute(interrupted, scene_store, network, monkeypatch, stop)[0] is None
    _, rest = compute(interrupted, scene_store, network, monkeypatch)
    assert rest == images[stop - stop % 3 :]
    assert contents(interrupted) == contents(whole)
    assert list(contents(whole)) == ["about.json", "features.f16", "labels.npy", "targets.npy"]
    assert compute(interrupted, scene_store, network, monkeypatch)[1] == []


def test_interruption_says_what_is_saved(
    folders: tuple[Path, Path],
    scene_store: Store,
    network: BoxNetwork,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    compute(folders[1], scene_store, network, monkeypatch, stop=8)
    says = "interrupted; windows of 6 of 10 train images are saved; the same command continues"
    assert capsys.readouterr().err.splitlines()[-1] == says


def lose_features(folder: Path) -> None:
    (folder / "features.f16").write_bytes(b"")


def damage_second_part(folder: Path) -> None:
    (folder / "part-000001.npz").write_bytes(b"PK\x03\x04 corrupt")


def damage_first_part(folder: Path) -> None:
    (folder / "part-000000.npz").write_bytes(b"")


@pytest.mark.parametrize(("damage", "kept"), [(lose_features, 0), (damage_first_part, 0), (damage_second_part, 3)])
def test_parts_lost_in_a_crash_are_computed_again(
    damage: object,
    kept: int,
    folders: tuple[Path, Path],
    scene_store: Store,
    network: BoxNetwork,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, interrupted = folders
    compute(whole, scene_store, network, monkeypatch)
    compute(interrupted, scene_store, network, monkeypatch, 8)
    (partial,) = interrupted.iterdir()
    damage(partial)  # type: ignore[operator]
    compute(interrupted, scene_store, network, monkeypatch, 4)  # saves one part; older ones after it are not valid
    assert len(compute(interrupted, scene_store, network, monkeypatch)[1]) == 10 - kept - 3
    assert contents(interrupted) == contents(whole)


def test_second_process_waits_and_uses_the_windows_of_the_first(
    folders: tuple[Path, Path], scene_store: Store, network: BoxNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process is played by a lock that is released when the windows are there."""
    whole, other = folders
    compute(whole, scene_store, network, monkeypatch)
    (made,) = whole.iterdir()
    waited: list[str] = []
    held = locks.open_lock(other / f".{made.name}.lock", fcntl.LOCK_EX)
    assert held is not None

    def finish(message: str) -> None:
        waited.append(message)
        made.rename(other / made.name)
        locks.release(other / f".{made.name}.lock", held)

    monkeypatch.setattr(locks, "progress", finish)
    cache, images = compute(other, scene_store, network, monkeypatch)
    assert (len(waited), images) == (1, [])
    assert cache is not None
    assert np.isfinite(cache.targets).all()


def test_array_that_claims_more_than_the_memory_is_reported(tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text('{"width": 1}')
    claim_huge_array(tmp_path / "targets.npy")
    with pytest.raises(UserError, match=rf"^{tmp_path}: corrupt \(Unable to allocate .*\); remove it, and fit again"):
        WindowCache(tmp_path)
