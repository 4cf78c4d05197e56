"""The cache folder: private, and refused if other users may write to it."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from alexnet_pl.cache import CACHE, open_cache
from alexnet_pl.errors import UserError


def test_missing_home_folder_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without HOME and an entry in passwd
    with pytest.raises(OSError, match=f"no home folder, set {CACHE}=FOLDER"):
        open_cache()


def test_cache_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    assert open_cache() == tmp_path / "cache"
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    about = os.stat_result([0o40700, 1, 1, 2, 1000, 1000, 0, 0, 0, 0])  # a folder of user 1000
    monkeypatch.setattr(Path, "stat", lambda *_: about)
    for user, refused in ((1000, False), (1001, True), (0, False)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        with pytest.raises(UserError, match=f"^{CACHE}: other users may") if refused else nullcontext():
            open_cache()
