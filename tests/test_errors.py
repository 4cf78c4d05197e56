"""Messages of errors that several commands share."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alexnet_pl import errors
from alexnet_pl.errors import UserError
from alexnet_pl.inference.graphs import import_extra
from alexnet_pl.retrieval.search import import_faiss
from alexnet_pl.webapp.app import import_starlette


@pytest.mark.parametrize(
    ("load", "module", "says"),
    [
        (import_starlette, "uvicorn", r"^page: uvicorn is not installed; pip install -e '.\[app\]'$"),
        (lambda: import_extra("onnx"), "onnx", r"^onnx is not installed; pip install -e '.\[export\]'$"),
        (import_faiss, "faiss", r"^faiss is not installed; pip install -e '.\[retrieval\]'$"),
    ],
)
def test_missing_package_is_named_with_its_extra_in_one_form(
    load: Callable[[], Any], module: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=says):
        load()


def test_missing_package_is_installed_by_name_outside_of_a_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "site-packages/alexnet_pl/errors.py"))
    assert str(errors.not_installed("uvicorn", "app")) == "uvicorn is not installed; pip install 'alexnet_pl[app]'"
