"""GracefulInterrupt: callback that saves and ends a fit at a signal, and saves within long epochs."""

import os
import shlex
import signal
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_only

from alexnet_pl.config.yaml_file import read_yaml
from alexnet_pl.console import is_first_process, print_warning, shorten_path
from alexnet_pl.errors import StoppedTogether, reason
from alexnet_pl.runs.layout import CONFIG
from alexnet_pl.training.checkpointing import SaveClock
from alexnet_pl.training.schedules import has_reached_max_steps


class GracefulInterrupt(Checkpoint):
    """Finishes the current step on Ctrl-C, SIGTERM, SIGHUP (of a terminal that closes) or SIGUSR1 (SLURM's notice of a
    time limit), saves `last.ckpt`, and exits with code 128 + signal. On a signal of a program that queues the job
    again, as submitit's SIGUSR2, calls the program's handler after saving.

    Signals that this process ignores stay ignored, as in a worker of a sweep, which its parent stops, or after `nohup`.

    Before and during a validation the signal takes effect when the validation ends. A second signal exits at once,
    without saving, except SIGHUP, which shell and kernel both send. Processes that train together agree every `VOTE`
    batches, so that all stop after the same step.

    Also saves `last.ckpt` within an epoch when `clock` says that it is due, at the places where a signal would, so that
    a fit that is killed in a long epoch or validation does not repeat all of it.

    A `Checkpoint`, since Lightning calls those last: the best error of a validation belongs to the state that is saved.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    QUEUEING = (signal.SIGUSR1, signal.SIGUSR2)
    VOTE = 20  # batches

    def __init__(self, path: Path, clock: SaveClock) -> None:
        self.path, self.clock, self.caught, self.batches = path, clock, 0, 0
        self.previous_handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        several = trainer.world_size > 1  # of which only the first may have a handler, but each gets the signal
        queueing = [number for number in self.QUEUEING if several or callable(signal.getsignal(number))]
        for number in {*self.SIGNALS, *queueing} - ignored_signals():
            self.previous_handlers[number] = signal.signal(number, self.catch)
        # Lightning's own vote on SIGTERM, which `catch` replaces, waits for the device before each batch
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def catch(self, number: int, frame: object) -> None:
        if number == signal.SIGHUP:
            detach_from_terminal()
            if self.caught:
                return
        if self.caught:
            raise SystemExit(128 + number)
        self.caught = number
        if is_first_process():
            again = "Ctrl-C again" if number == signal.SIGINT else "a second signal"
            print(f"\nfinishing this step, then saving; {again} quits without saving", flush=True)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Stop here if a signal was caught, or save if it is due, except before a validation, which resuming would
        skip.

        Also saves a fit that `trainer.max_steps` ends within an epoch: Lightning then counts the epoch as complete, and
        a run resumed from a later checkpoint would not train the rest of it.
        """
        self.batches += 1
        if trainer.is_last_batch or validates_next(trainer):
            return
        due, ends = False, has_reached_max_steps(trainer)
        if trainer.world_size == 1 or self.batches % self.VOTE == 0 or ends:
            number, due = self.agree(trainer)
            self.stop_if_caught(trainer, number)
        if due or ends:
            self.save(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop within an epoch; the last validation is followed by the end of the epoch."""
        if trainer.is_last_batch:
            return
        self.stop_if_caught(trainer, self.agree(trainer)[0])
        if has_reached_max_steps(trainer):
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self.clock.note_saved()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Not for an epoch that `trainer.max_steps` cut: it counts as complete by now, and the fit ends anyway."""
        if trainer.is_last_batch:
            self.stop_if_caught(trainer, self.agree(trainer)[0])

    def stop_if_caught(self, trainer: L.Trainer, number: int) -> None:
        if number:
            trainer.save_checkpoint(self.path)
            if bar := trainer.progress_bar_callback:
                bar.teardown(trainer, trainer.lightning_module, "fit")  # draws its last state now, above the message
            rank_zero_only(print)(f"stopped after step {trainer.global_step:,}; {self.how_to_resume()}")
            self.stop(number, trainer.world_size > 1)

    def stop(self, number: int, several: bool) -> NoReturn:
        """Queue the job again if its program does so, and end. The program's handler ends or fails in one of several
        processes only, which must not leave the others alone; its exit code tells the program what to do."""
        code, cause = 128 + number, None
        try:
            if number in self.QUEUEING and callable(handler := self.previous_handlers.get(number)):
                handler(number, None)
        except SystemExit as end:
            code = end.code
        except Exception as error:
            if not several:
                raise
            print_warning(f"alexnet_pl: the job was not queued again: {reason(error)}")
            cause = error
        raise StoppedTogether(code) from cause

    def agree(self, trainer: L.Trainer) -> tuple[int, bool]:
        """Highest number of a signal that a process has caught, those that queue the job again first, 0 for none; and
        whether `last.ckpt` is due. Over all processes, since a signal may reach only one of a pair of towers, and
        clocks differ."""
        due = self.clock.is_due_within_epoch()
        if trainer.world_size == 1:
            return self.caught, due
        above = signal.NSIG if self.caught in self.QUEUEING else 0
        votes = torch.tensor([self.caught + above, due], device=trainer.strategy.root_device)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        number, agreed = votes.tolist()
        return number % signal.NSIG, bool(agreed)

    def how_to_resume(self) -> str:
        run = self.path.parents[1]
        command = read_yaml(run / CONFIG).get("command") if (run / CONFIG).is_file() else None
        again = " (or the same `reproduce` again)" if command == "reproduce" else ""
        return f"continue: python -m alexnet_pl fit {shlex.quote(shorten_path(run))}{again}"

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for number, handler in self.previous_handlers.items():
            signal.signal(number, handler)
        self.previous_handlers = {}


def detach_from_terminal() -> None:
    """Drop output to a terminal, which has closed: writing to it would fail. Output to files is kept."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(nowhere, stream)
    os.close(nowhere)


def ignored_signals() -> set[int]:
    """SIGNALS that should not save: those that this process ignores, and Ctrl-C in a job of submitit's local launcher,
    which kills its jobs one second later."""
    killed = os.environ.get("SUBMITIT_EXECUTOR") == "local"
    return {
        int(number)
        for number in GracefulInterrupt.SIGNALS
        if signal.getsignal(number) is signal.SIG_IGN or (killed and number == signal.SIGINT)
    }


def validates_next(trainer: L.Trainer) -> bool:
    """Whether a validation follows this step (`trainer.val_check_interval`)."""
    loop = trainer.fit_loop
    assert loop._data_fetcher is not None
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
