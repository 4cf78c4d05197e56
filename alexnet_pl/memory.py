"""Large tensors in pages of 2 MB instead of 4 KB, where the kernel gives them to who asks (`madvise`, as is usual).

Freed memory that is kept (`performance.retain_memory`) is not always used again: glibc finds no room for an aligned
block in the one of the same size that was just freed, if a small block lies behind it. A new one of 75 MB then costs
18,432 faults and more than ten times as long as to fill it; in large pages, 36.
"""

import os

SWITCH = "THP_MEM_ALLOC_ENABLE"  # PyTorch's, read as it makes its first tensor


def ask_for_large_pages() -> None:
    """Unless the variable says otherwise."""
    os.environ.setdefault(SWITCH, "1")
