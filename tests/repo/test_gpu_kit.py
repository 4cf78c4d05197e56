"""Kit for a GPU machine without network: versions that work together, and a store that survives being cut."""

import re
from pathlib import Path

import gpu_kit
import pytest


@pytest.mark.parametrize("packages", [gpu_kit.PACKAGES, gpu_kit.MINIMAL], ids=["all", "minimal"])
def test_wheels_are_those_of_the_lock_for_python_3_12(packages: tuple[str, ...]) -> None:
    """hydra-core needs omegaconf < 2.4, which `pip download --no-deps` does not look at."""
    lock = gpu_kit.LOCK.read_text()
    pins = gpu_kit.pinned_packages(lock, packages)
    assert [pin.split("==")[0] for pin in pins] == list(packages)
    for pin in pins:
        lines = re.findall(rf"^{re.escape(pin)}(?: ; (.*?))? \\$", lock, re.MULTILINE)
        assert len(lines) == 1, pin
        assert "< '3.12'" not in lines[0]


def test_store_is_the_same_after_it_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_kit, "PART", 4_000)
    store = tmp_path / "store"
    store.mkdir()
    (store / "train-000000.tar").write_bytes(bytes(range(256)) * 60)
    (tmp_path / "kit/data").mkdir(parents=True)
    (tmp_path / "kit/data/part-999999").write_bytes(b"of an earlier kit")
    parts = gpu_kit.split_store(store, tmp_path / "kit/data")
    assert max(part.stat().st_size for part in parts) == 4_000
    gpu_kit.join_store(tmp_path / "kit/data", tmp_path / "there")
    assert (tmp_path / "there/train-000000.tar").read_bytes() == (store / "train-000000.tar").read_bytes()
