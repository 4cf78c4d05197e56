"""A second `prepare` with other settings is refused, naming the key."""

from pathlib import Path
from typing import Any

import pytest

from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.pipeline import check_same_settings, make_store
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

SETTINGS: dict[str, Any] = {"name": "x", "size": 8, "val_share": 0.5}


@pytest.fixture(scope="module")
def store(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("stores") / "store"
    make_store(PrepareOptions(str(root), **SETTINGS, source=str(copy / "train")))
    return Store(root)


@pytest.mark.parametrize(
    ("key", "value"), [("filter", "bicubic"), ("val_share", 0.4), ("source", "scenes"), ("synsets", "other")]
)
def test_other_settings_are_refused(store: Store, copy: Path, tmp_path: Path, key: str, value: Any) -> None:
    if key == "synsets":
        value = str(tmp_path / value)
        Path(value).write_text("n00000001\n")
    given = PrepareOptions(str(store.root), **{**SETTINGS, "source": str(copy / "train"), key: value})
    advice = "" if key in ("source", "synsets") else ", not .*; give another data.root, or the store's value$"
    with pytest.raises(UserError, match=rf"^prepare\.{key}: the store at {store.root} has .*{advice}"):
        check_same_settings(given, store)


@pytest.mark.parametrize("source", [None, "moved"])
@pytest.mark.parametrize("share", [None, 0.5])
def test_same_settings_are_accepted(store: Store, source: str | None, share: float | None) -> None:
    """`prepare` needs no source once the store is there."""
    check_same_settings(PrepareOptions(str(store.root), "x", 8, source=source, val_share=share), store)
