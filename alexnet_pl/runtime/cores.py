"""Number of CPU cores that this process may use."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")  # of this container, in Linux


def cores() -> int:
    """Number of CPU cores this process may use: by its affinity (none on macOS) and by its container's limit."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(usable, cgroup_cores())))


def cgroup_cores() -> float:
    """Processor time that cgroups of version 2 or 1 allow, in cores; infinite without a limit."""
    version1 = [CGROUPS / f"cpu/cpu.cfs_{name}_us" for name in ("quota", "period")]
    for paths in ([CGROUPS / "cpu.max"], version1):
        try:
            quota, period = " ".join(path.read_text(encoding="utf-8") for path in paths).split()
            return int(quota) / int(period) if quota not in ("max", "-1") else math.inf
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return math.inf
