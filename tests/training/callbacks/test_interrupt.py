"""How processes end after a signal, and what they must share at the start."""

import os
import pty
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
import torch.distributed as dist
from processes import run_processes, server
from running import Compose

from alexnet_pl.commands.process_state import own_process_state
from alexnet_pl.config.identity import Settings
from alexnet_pl.errors import StoppedTogether, UserError
from alexnet_pl.training.callbacks import interrupt as interrupt_module
from alexnet_pl.training.callbacks.interrupt import GracefulInterrupt, detach_from_terminal
from alexnet_pl.training.callbacks.same_start import SameStart, describe_start
from alexnet_pl.training.checkpointing import SaveClock
from alexnet_pl.training.strategies import peers

START = {"command": "fit", "ckpt_path": None, "seed": 0, "optim.lr": 0.01}


def stop_after_a_signal(folder: Path) -> None:
    """In each of two processes, of which the second receives SIGUSR1 and the first takes long to close its W&B run."""
    rank, closed = dist.get_rank(), folder / "closed"
    watch = peers.join(folder, "fit")
    watch.start()
    watch.exchange_ids()
    interrupt = GracefulInterrupt(folder / "last.ckpt", SaveClock(5))
    interrupt.caught = signal.SIGUSR1 * rank
    trainer: Any = SimpleNamespace(world_size=2, strategy=SimpleNamespace(root_device=torch.device("cpu")))
    code = 128 + interrupt.agree(trainer)[0]

    def finish() -> None:
        if rank == 0 and not closed.is_file():
            time.sleep(1)
            closed.touch()

    sys.modules["alexnet_pl.training.wandb_logger"] = SimpleNamespace(finish=finish)  # type: ignore[assignment]
    dist.destroy_process_group = lambda: None  # `run_processes` needs the group after the command
    with pytest.raises(StoppedTogether) as end, own_process_state():  # noqa: PT012
        error = StoppedTogether(code)
        peers.fail(error)  # as the strategy does
        raise error
    assert end.value.code == 138
    assert closed.is_file()


def test_processes_wait_for_the_first_after_a_signal(tmp_path: Path) -> None:
    """As soon as one ends, srun --kill-on-bad-exit kills the others. Their code is that of the signal in all."""
    run_processes(2, stop_after_a_signal, tmp_path)


def agree_on_queueing(folder: Path) -> None:
    """In each of two processes; SLURM sends SIGTERM to one while submitit's SIGUSR2 is handled in the other."""
    trainer: Any = SimpleNamespace(world_size=2, strategy=SimpleNamespace(root_device=torch.device("cpu")))
    pairs = ((signal.SIGTERM, signal.SIGUSR2), (signal.SIGUSR1, signal.SIGINT), (signal.SIGTERM, 0), (0, 0))
    for pair, agreed in zip(pairs, (signal.SIGUSR2, signal.SIGUSR1, signal.SIGTERM, 0), strict=True):
        interrupt = GracefulInterrupt(folder / "last.ckpt", SaveClock(5))
        interrupt.caught = pair[dist.get_rank()]
        assert interrupt.agree(trainer) == (agreed, False)


def test_signal_that_queues_the_job_again_comes_first(tmp_path: Path) -> None:
    run_processes(2, agree_on_queueing, tmp_path)


def agree_on_saving(folder: Path) -> None:
    """In each of two processes, whose clocks differ."""
    trainer: Any = SimpleNamespace(world_size=2, strategy=SimpleNamespace(root_device=torch.device("cpu")))
    for pair in ((5, 0), (0, 5), (5, 5), (0, 0)):
        clock = SaveClock(5)
        clock.since -= 60 * pair[dist.get_rank()]
        assert GracefulInterrupt(folder / "last.ckpt", clock).agree(trainer) == (0, any(pair))


def test_processes_whose_clocks_differ_save_together(tmp_path: Path) -> None:
    run_processes(2, agree_on_saving, tmp_path)


@pytest.mark.parametrize(("end", "code"), [(SystemExit(144), 144), (RuntimeError("scontrol failed"), 140), (None, 140)])
def test_process_that_queues_the_job_again_leaves_with_the_others(
    end: BaseException | None, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """144 tells submitit's local executor to start the job again. The others have no handler."""
    interrupt = GracefulInterrupt(tmp_path / "last.ckpt", SaveClock(5))
    if end:
        interrupt.previous_handlers[signal.SIGUSR2] = Mock(side_effect=end)
    with pytest.raises(StoppedTogether) as found:
        interrupt.stop(signal.SIGUSR2, several=True)
    assert found.value.code == code
    failed = isinstance(end, Exception)
    assert found.value.__cause__ is (end if failed else None)
    said = "alexnet_pl: the job was not queued again: scontrol failed\n"
    assert capsys.readouterr().err == (said if failed else "")
    if failed:
        with pytest.raises(RuntimeError):
            interrupt.stop(signal.SIGUSR2, several=False)


@pytest.mark.parametrize("world", [1, 2])
def test_processes_without_a_handler_catch_the_signal_too(world: int, tmp_path: Path) -> None:
    """SIGUSR2 would end them."""
    loop = SimpleNamespace(epoch_loop=SimpleNamespace())
    trainer: Any = SimpleNamespace(world_size=world, fit_loop=loop)
    interrupt = GracefulInterrupt(tmp_path / "last.ckpt", SaveClock(5))
    interrupt.on_train_start(trainer, trainer)
    try:
        assert (signal.getsignal(signal.SIGUSR2) == interrupt.catch) == (world == 2)
    finally:
        interrupt.teardown(trainer, trainer, "fit")
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


def test_terminal_that_closes_is_one_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell sends SIGHUP to its jobs, and the kernel sends it again when the shell ends."""
    monkeypatch.setattr(interrupt_module, "detach_from_terminal", Mock())
    interrupt = GracefulInterrupt(tmp_path / "last.ckpt", SaveClock(5))
    interrupt.catch(signal.SIGHUP, None)
    interrupt.catch(signal.SIGHUP, None)
    assert interrupt.caught == signal.SIGHUP
    with pytest.raises(SystemExit) as end:
        interrupt.catch(signal.SIGTERM, None)
    assert end.value.code == 143


def write_to_a_closed_terminal(log: Path) -> None:
    terminal, end = pty.openpty()
    os.dup2(end, 1)
    os.close(end)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 2)
    os.close(terminal)
    with pytest.raises(OSError, match="Input/output error"):
        os.write(1, b"lost")
    detach_from_terminal()
    os.write(1, b"lost")
    os.write(2, b"kept")


def test_output_to_a_closed_terminal_is_dropped_and_files_are_kept(tmp_path: Path) -> None:
    process = server().Process(target=write_to_a_closed_terminal, args=(tmp_path / "log",))
    process.start()
    process.join(120)
    assert process.exitcode == 0
    assert (tmp_path / "log").read_bytes() == b"kept"


def start_differently(folder: Path) -> None:
    """In each of two processes, of which the second has another value."""
    rank = dist.get_rank()
    for key, other in {"seed": 1, "ckpt_path": "step 30", "command": "test", "schedule.name": "steps"}.items():
        with pytest.raises(UserError, match=rf"^{key}: .* in rank 0, {other} in rank 1; start all processes with one"):
            set_up({**START, key: other} if rank else START, "1a")
    with pytest.raises(UserError, match=r"^data.root: a store of fingerprint 1a in rank 0, .* 2b in rank 1; "):
        set_up(START, "2b" if rank else "1a")
    set_up(START, "1a")


def set_up(start: Settings, fingerprint: str) -> None:
    data = SimpleNamespace(store=SimpleNamespace(fingerprint=fingerprint))
    trainer: Any = SimpleNamespace(world_size=2, datamodule=data)
    SameStart(lambda: start).setup(trainer, trainer, "fit")


def test_processes_that_start_differently_are_refused(tmp_path: Path) -> None:
    run_processes(2, start_differently, tmp_path)


@pytest.mark.parametrize(
    ("recipe", "word"),
    [
        ("ilsvrc2012", "schedule.name=steps"),
        ("ilsvrc2012", "schedule.plateau.patience=3"),
        ("finetune", "transfer.layers=[conv1]"),
        ("finetune", "++transfer.rates.conv1=0.5"),
        ("finetune", "data.size=99"),
        ("ilsvrc2012", "distributed.compress_gradients=true"),
        ("ilsvrc2012", "++trainer.strategy=towers"),
        ("ilsvrc2012", "trainer.precision=bf16-mixed"),
        ("codes", "codes.bits=3"),
        ("overfeat_localise", "boxes.scales=[1]"),
    ],
)
def test_what_decides_the_network_is_compared(config: Compose, recipe: str, word: str) -> None:
    start, other = describe_start(config(recipe)), describe_start(config(recipe, word))
    key = word.lstrip("+").partition("=")[0]
    assert {one for one in {**start, **other} if start.get(one) != other.get(one)} == {key}


def test_paths_may_differ_between_machines(config: Compose) -> None:
    words = ["transfer.weights=/b", "++transfer.data_roots={before: /b}", "data.root=/b"]
    assert describe_start(config("finetune", *words)) == describe_start(
        config("finetune", "transfer.weights=/a", "++transfer.data_roots={before: /a}")
    )
    assert describe_start(config("codes", "codes.features=/b")) == describe_start(config("codes", "codes.features=/a"))


@pytest.mark.parametrize(("executor", "kept"), [("", {signal.SIGINT}), ("local", {signal.SIGINT, signal.SIGTERM})])
def test_signals_that_cannot_save_are_left_to_others(
    executor: str, kept: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of a sweep ignores what its parent handles; submitit's local launcher kills its jobs after Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    monkeypatch.setenv("SUBMITIT_EXECUTOR", executor)
    ignored = signal.SIGTERM if executor else signal.SIGINT
    interrupt = GracefulInterrupt(tmp_path / "last.ckpt", SaveClock(5))
    trainer: Any = SimpleNamespace(world_size=1, fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace()))
    signal.signal(ignored, signal.SIG_IGN)
    try:
        interrupt.on_train_start(trainer, Mock())
        caught = {number for number in before if signal.getsignal(number) == interrupt.catch}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert caught == {*before} - kept
