"""Number of cores in a container."""

import math
from pathlib import Path

import pytest

from alexnet_pl.runtime import cores

LIMITS = [
    ({"cpu.max": "150000 100000\n"}, 1.5),
    ({"cpu.max": "max 100000\n"}, math.inf),
    ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
    ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
    ({"cpu.max": ""}, math.inf),
    ({}, math.inf),
]


@pytest.mark.parametrize(("files", "limit"), LIMITS)
def test_limit_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], limit: float
) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    assert cores.cgroup_cores() == limit
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: range(64), raising=False)
    assert cores.cores() == min(64, math.ceil(min(limit, 64)))
