"""Memory in a container."""

import os
from pathlib import Path

import pytest
import torch

from alexnet_pl.runtime import cores
from alexnet_pl.runtime.available_memory import available_memory

WHOLE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
LIMITS = [
    ({"memory.max": "1000000\n"}, 1_000_000),
    ({"memory.max": "max\n"}, WHOLE),
    ({"memory/memory.limit_in_bytes": "2000000\n"}, 2_000_000),
    ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, WHOLE),
    ({}, WHOLE),
]


@pytest.mark.parametrize(("files", "limit"), LIMITS)
def test_memory_is_at_most_the_limit_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], limit: int
) -> None:
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    assert available_memory(torch.device("cpu")) == limit
