"""Kernels that torch.compile generates for compute capabilities 8.0 and 9.0: their number, and that they assemble.
Needs no GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gpu_kernels
import pytest

pytest.importorskip("triton", reason="torch compiles for GPUs with Triton, which this platform lacks")
ROOT = Path(__file__).parents[2]
ALONE = {"TORCHINDUCTOR_COMPILE_THREADS": "1"}  # as in `runtime.compiled`


@pytest.mark.parametrize("capability", [80, 90])
def test_each_function_compiles_to_its_number_of_kernels(capability: int, tmp_path: Path) -> None:
    command = [sys.executable, gpu_kernels.__file__, str(tmp_path), str(capability)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **ALONE}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    if isinstance(found, str):
        pytest.skip(found)
    assert {name: len(targets) for name, targets in found.items()} == {
        "norm1": 1,
        "norm2": 1,
        "neighbor terms of norm1": 1,
        "gradient of norm1": 1,
        "spatial2": 2,
        "neighbor terms of spatial2": 2,
        "gradient of spatial2": 3,
        "augmentation": 1,
    }
    assert {target.rstrip("a") for targets in found.values() for target in targets} == {f"sm_{capability}"}
