"""Entry point of the command line: run the command; print a UserError as one line and exit with code 2."""

import os
import signal
import sys
import warnings
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from alexnet_pl import __version__
from alexnet_pl.cli import joblib_jobs
from alexnet_pl.cli.argv import SWEEP, to_hydra
from alexnet_pl.cli.exit_messages import explain
from alexnet_pl.cli.processes import check_rank, check_slurm, prepare_job
from alexnet_pl.cli.run_folder import check_is_text, remove_if_empty
from alexnet_pl.cli.signals import exit_if_received, handle_signals
from alexnet_pl.cli.sweep import add_job, finished, print_summary
from alexnet_pl.commands import dispatch, registry
from alexnet_pl.commands.completion import completion
from alexnet_pl.commands.help import command_help, fit_to_terminal, usage
from alexnet_pl.commands.next_command import name_recipe, suggest_next
from alexnet_pl.commands.process_state import own_process_state
from alexnet_pl.config.checks import check_config
from alexnet_pl.config.credentials import check_no_secret
from alexnet_pl.config.numbers import convert_numbers
from alexnet_pl.config.overrides import is_override
from alexnet_pl.console import is_first_process, print_warning, shorten_path
from alexnet_pl.errors import UserError, reason
from alexnet_pl.runs.layout import is_run
from alexnet_pl.runs.started_config import adopt_started_config, drop_started_config, write_resolved_values
from alexnet_pl.runtime.allocator import ask_for_large_pages

HELP = ("-h", "--help")
HANDLED = (UserError, OmegaConfBaseException, OSError)  # explained in one line


def main() -> None:
    """Run the command line. Exits without a traceback if its output pipe is closed, as in `--help | head -1`."""
    print_every_character()
    try:
        try:
            respond(sys.argv[1:])
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if is_open(sys.stdout.fileno()):
            raise  # the error is from another pipe: a bug
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python would flush again on exit
        raise SystemExit(128 + signal.SIGPIPE) from None


def print_every_character() -> None:
    """Print characters that the terminal's encoding lacks, and bytes of a path that are no text, as escapes. In locales
    such as C.UTF-8 Python would print those bytes as they are, also control characters."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(errors="backslashreplace")


def is_open(pipe: int) -> bool:
    """Whether the pipe still has a reader."""
    import select

    poll = select.poll()
    poll.register(pipe, select.POLLOUT)
    return not any(event & select.POLLERR for _, event in poll.poll(0))


def respond(argv: list[str]) -> None:
    try:
        if (text := text_for(argv)) is not None:
            print(text)
            raise SystemExit(0 if argv else 2)
        handle_signals()
        os.environ["HYDRA_FULL_ERROR"] = "1"  # raise errors instead of letting Hydra print them
        start(argv)
    except Exception as error:
        explain(error)
        raise


def text_for(argv: list[str]) -> str | None:
    """Text of the help, version or completion requested; None if a command should run."""
    if not argv or argv[0] in HELP:
        return fit_to_terminal(usage())
    if argv == ["--version"]:
        return f"alexnet_pl {__version__}"
    if argv[0] == "completion":
        return completion(argv[1] if len(argv) > 1 else "")
    if len(argv) == 2 and argv[1] in HELP and not argv[0].startswith("-"):
        return fit_to_terminal(command_help(registry.find(argv[0])))
    return None


def start(argv: list[str]) -> None:
    for word in argv:
        check_no_secret(word.partition("=")[0] if is_override(word) else "argument", word)
    command = registry.COMMANDS.get(argv[0])
    if command and command.takes == "runs":
        folders = dispatch.run_on_folders(command, argv[1:])
        return suggest_next(command, folders[0])
    # without `_self_`, a recipe's own values come after those of its defaults, which is what its author expects
    warnings.filterwarnings("ignore", ".*Defaults list is missing `_self_`")
    # Lightning's, on each machine with SLURM, also for one process; its hint is not the command that the user typed
    warnings.filterwarnings("ignore", "The `srun` command is available on your system but is not used")
    sys.argv[1:] = to_hydra(argv)
    check_slurm(sys.argv)
    if set(SWEEP) & set(sys.argv):
        joblib_jobs.handle_signals()
    try:
        run()
    finally:  # even if a job of a sweep has failed
        print_summary(finished)
    exit_if_received()


def save_values(cfg: DictConfig, folder: Path, subdir: str | None) -> None:
    """Save the values of this process in the config that Hydra wrote, if it wrote one."""
    if subdir and is_first_process() and (path := folder / subdir / "config.yaml").is_file():
        write_resolved_values(path, cfg)


@hydra.main(version_base="1.3")
def run(cfg: DictConfig) -> float | None:
    """Run one job: a command on a composed config. Returns the objective of a sweep."""
    ask_for_large_pages()
    job = HydraConfig.get()
    if job.mode == RunMode.MULTIRUN and job.runtime.choices.get("hydra/launcher") == "joblib":
        return joblib_jobs.run_in_worker(lambda: run_job(cfg, job))
    return run_job(cfg, job)


def run_job(cfg: DictConfig, job: Any) -> float | None:
    """Run a job in its folder, and remove what it leaves there without a run. Raises its error after a message."""
    folder = Path(job.runtime.output_dir)
    is_new = not is_run(folder)
    with own_process_state():
        try:
            return run_in_folder(cfg, folder, is_new)
        except Exception as error:
            if job.mode == RunMode.MULTIRUN:  # other jobs continue, after which Hydra raises the first error alone
                print_warning(f"job {job.job.num} in {shorten_path(folder)} failed: {reason(error)}")
                add_job(cfg.command, list(job.overrides.task), "", None, folder, failed=True)
            elif isinstance(error, HANDLED):  # Hydra would print a line of its own first
                explain(name_recipe(error, cfg) if isinstance(error, UserError) else error)
            raise
        finally:
            drop_started_config(folder, job.output_subdir)
            if is_new:
                remove_if_empty(folder)


def run_in_folder(cfg: DictConfig, folder: Path, is_new: bool) -> float | None:
    """Check the config of a job, keep it in the run folder, and run the command."""
    exit_if_received()
    job = HydraConfig.get()
    sweep = job.mode == RunMode.MULTIRUN
    convert_numbers(cfg)
    save_values(cfg, folder, job.output_subdir)
    if sweep:
        prepare_job(cfg, folder, job)
    if is_new:
        adopt_started_config(folder)
    check_config(cfg)
    check_rank(cfg)
    check_is_text(folder)
    found = dispatch.run(cfg, folder)
    if sweep:
        add_job(cfg.command, list(job.overrides.task), cfg.objective, found, folder)
    else:
        suggest_next(registry.find(cfg.command), folder, cfg)
    return found
