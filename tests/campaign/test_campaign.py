"""A small, fixed part of every robustness campaign: kills, full disks, two processes, signals, damage, bad input.

`make campaign` runs whole campaigns, prints the seed and writes docs/development/robustness.md.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run.py")
CAMPAIGNS = tuple(tomllib.loads(SCRIPT.with_name("promises.toml").read_text()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("campaign")
    done = subprocess.run([sys.executable, str(SCRIPT), str(folder), "0", "slice"], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", CAMPAIGNS)
def test_part_of_the_campaign_finds_no_failure(folder: Path, name: str) -> None:
    found = json.loads((folder / f"{name}.json").read_text())
    assert found["ended"]
    assert found["cases"] > 0
    assert found["wrong"] == []
