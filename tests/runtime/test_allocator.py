"""Large pages are used for large tensors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TOUCH = """
import os, resource, sys
from alexnet_pl.runtime.allocator import ask_for_large_pages
ask_for_large_pages()
import torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.empty(2**26, dtype=torch.uint8).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    not PAGES.is_file() or "[madvise]" not in PAGES.read_text(), reason="the kernel gives large pages to all or to none"
)
def test_large_tensors_use_large_pages_by_default() -> None:
    """64 MB are 16,384 small pages."""
    faults = []
    for variables in ({}, {"THP_MEM_ALLOC_ENABLE": "0"}):
        environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"} | variables
        done = subprocess.run(
            [sys.executable, "-c", TOUCH], env=environment, capture_output=True, text=True, check=True
        )
        faults.append(int(done.stdout))
    assert faults[0] < 8000
    assert faults[1] > 16000
