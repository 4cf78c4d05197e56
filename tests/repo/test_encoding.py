"""Text files are UTF-8 in every locale: calls that open one say so, as Python takes the locale's encoding otherwise."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OTHERS = ("os", "tarfile", "zipfile", "Image")  # whose `open` opens no text
TEXT_OPTIONS = ("text", "universal_newlines")  # of subprocess


def opens_text_in_the_locale(call: ast.Call) -> bool:
    """Whether a call reads or writes text, and names no encoding."""
    options = {option.arg for option in call.keywords}
    if "encoding" in options:
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    if name in ("open", "fdopen"):
        return not opens_bytes(call, name)
    if name in ("read_text", "write_text"):
        return isinstance(call.func, ast.Attribute)
    return ast.unparse(call.func).startswith("subprocess.") and any(option in TEXT_OPTIONS for option in options)


def opens_bytes(call: ast.Call, name: str) -> bool:
    is_method = isinstance(call.func, ast.Attribute) and name == "open"
    if is_method and ast.unparse(call.func.value) in OTHERS:
        return True
    modes = [option.value for option in call.keywords if option.arg == "mode"] + call.args[0 if is_method else 1 :][:1]
    return any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in modes)


@pytest.mark.parametrize("folder", ["alexnet_pl", "scripts"])
def test_every_text_file_is_opened_as_utf8(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and opens_text_in_the_locale(call)
    ]
    assert not found


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("path.read_text()", True),
        ("path.write_text(text)", True),
        ("open(path)", True),
        ("path.open('w')", True),
        ("os.fdopen(number, 'r+')", True),
        ("subprocess.run(command, text=True)", True),
        ("path.open('w', encoding='utf-8')", False),
        ("open(path, 'rb')", False),
        ("path.open(mode='wb')", False),
        ("os.open(path, flags)", False),
        ("Image.open(path)", False),
        ("read_text(path, 'key')", False),  # the package's own, of data/sources/text_files.py
    ],
)
def test_calls_that_open_text_are_recognized(code: str, expected: bool) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert opens_text_in_the_locale(call) is expected
