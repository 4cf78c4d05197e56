"""Damage to every file and field of a store: reported in one line, found by `verify`, repaired if possible.

Tests a fixed part; `make campaign` tests the whole table.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from store_damage import (
    Damage,
    damages,
    make_small_store,
    repair,
    restore,
    verify,
    wrong_when_read,
    wrong_when_verified,
)

from alexnet_pl.data.prepare.options import PrepareOptions


@pytest.fixture(scope="module", params=["raw", "jpeg"])
def chosen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PrepareOptions:
    return make_small_store(tmp_path_factory.mktemp("damage"), request.param)


@pytest.mark.parametrize(("judge", "count"), [(wrong_when_read, 100), (wrong_when_verified, 60)])
def test_damage_is_named_in_one_line(
    chosen: PrepareOptions, tmp_path: Path, judge: Callable[[Damage, PrepareOptions, Path], str], count: int
) -> None:
    table = random.Random(0).sample(list(damages(Path(chosen.root))), count)
    wrong = {damage.name: judge(damage, chosen, tmp_path / "store") for damage in table}
    assert {name: said for name, said in wrong.items() if said} == {}


def test_all_corrupt_files_are_listed_and_repaired(
    chosen: PrepareOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "store"
    restore(Path(chosen.root), root)
    suffix = "u8" if chosen.encoding == "raw" else "tar"
    names = ["train.labels.npy", "val.names.jsonl", "mean.npy", "odd.json", f"train-000001.{suffix}"]
    for name in names[:-1]:
        (root / name).write_bytes(b"corrupt")
    (root / names[-1]).unlink()
    said = verify(root) + capsys.readouterr().out
    assert [name for name in names if name not in said] == []
    assert repair(chosen, root) == ""
