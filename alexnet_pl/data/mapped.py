"""Files that lie in memory as far as they have been read."""

import mmap


def announce(mapped: mmap.mmap, begin: int, size: int) -> None:
    """Ask for a range of a mapped file, without waiting for it."""
    start = begin - begin % mmap.PAGESIZE
    mapped.madvise(mmap.MADV_WILLNEED, start, begin + size - start)
