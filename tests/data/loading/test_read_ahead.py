"""Reading ahead in a thread: as many batches as asked for, in order, and no waiting for those that are not used."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from alexnet_pl.data.loading.read_ahead import read_ahead


@pytest.mark.parametrize("ahead", [1, 2])
def test_thread_is_so_many_batches_ahead_and_no_more(ahead: int) -> None:
    read = threading.Semaphore(0)

    def numbers() -> Iterator[int]:
        for number in range(20):
            read.release()
            yield number

    batches = read_ahead(numbers(), ahead)
    assert next(batches) == 0
    for _ in range(1 + ahead):
        assert read.acquire(timeout=60)
    for number in range(1, 5):
        assert not read.acquire(timeout=0.1)
        assert next(batches) == number
        assert read.acquire(timeout=60)
    assert list(batches) == list(range(5, 20))


def test_no_batch_is_read_after_the_loop_has_ended() -> None:
    """As after Ctrl-C: of the two batches that were requested ahead, only the one in progress is read."""
    others = set(threading.enumerate())  # of iterators of other tests
    started, go_on = threading.Semaphore(0), threading.Event()
    read = []

    def numbers() -> Iterator[int]:
        for number in range(5):
            read.append(number)
            started.release()
            assert number == 0 or go_on.wait(60)
            yield number

    batches = read_ahead(numbers(), ahead=2)
    assert next(batches) == 0
    for _ in range(2):
        assert started.acquire(timeout=60)
    batches.close()
    go_on.set()
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "loader" and thread not in others)
    thread.join(60)
    assert read == [0, 1]


def test_program_ends_while_a_batch_is_read() -> None:
    """As after a second Ctrl-C, with the files on a server that does not answer."""
    program = (
        "import time; from alexnet_pl.data.loading.read_ahead import read_ahead\n"
        "batches = read_ahead([time.sleep(1000 * i)] for i in range(2))\n"
        "next(batches); time.sleep(0.5)\n"
        "batches.close(); raise SystemExit(130)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=120, check=False).returncode == 130
