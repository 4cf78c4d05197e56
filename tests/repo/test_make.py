"""What `make setup` and `make demo` say at their end."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with a virtual environment whose Python does nothing."""
    (tmp_path / "pyproject.toml").touch()
    python = tmp_path / "env/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    for name in (".installed", ".installed-dev"):
        (tmp_path / "env" / name).touch()
    return tmp_path


def make(target: str, folder: Path) -> list[str]:
    """Lines that `make` prints in `folder`."""
    words = ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), target, "VENV=env"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of `make test`
    made = subprocess.run(words, cwd=folder, env=own, capture_output=True, text=True, check=True)
    return made.stdout.splitlines()


def test_setup_says_how_to_activate(installed: Path) -> None:
    assert make("setup", installed) == ["Installed into env; activate it with: . env/bin/activate"]
    assert not any("activate" in line for line in make("test-fast", installed)), "it only needs the environment"


def test_next_steps_of_the_demo_are_aligned(installed: Path) -> None:
    *_, kernels, figures, photographs = make("demo", installed)
    columns = {
        line.index(text)
        for line, text in ((kernels, "kernels of"), (figures, "Figures 2"), (photographs, "the same on"))
    }
    assert len(columns) == 1
