"""Kills, full disks, two processes at once, stopping, damaged records and bad input: a small part, always the same.

All of it: `make campaign`, which prints its seed and writes docs/development/robustness.md.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("run.py")
CAMPAIGNS = ("kills", "disk_full", "two_processes", "stop_signals", "damage", "bad_input")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("campaign")
    done = subprocess.run([sys.executable, str(SCRIPT), str(folder), "0", "slice"], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return json.loads((folder / "found.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_part_of_the_campaign_finds_nothing(found: dict[str, Any], name: str) -> None:
    assert found[name]["ended"]
    assert found[name]["cases"] > 0
    assert found[name]["wrong"] == []
