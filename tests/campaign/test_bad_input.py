"""Every key with every kind of wrong value, and damaged recipes: one line and exit code 2, or a fit that works.

A slice, always the same, in `make test`; all of it, with a seed of its own, by `make campaign`.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

WHOLE = "ALEXNET_PL_CAMPAIGN" in os.environ


@pytest.mark.slow
def test_bad_input_is_answered_in_one_line(tiny_store: Path, tmp_path: Path) -> None:
    share, seed = ("1", random.randrange(1000)) if WHOLE else ("0.015", 0)
    script = Path(__file__).with_name("bad_input.py")
    words = [sys.executable, str(script), str(tiny_store), str(tmp_path), share, str(seed)]
    done = subprocess.run(words, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
