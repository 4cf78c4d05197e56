"""Rows of the paper that need several runs (§7): run commands in sequence, each resuming where it stopped.

Each stage runs the program in its own process, with a command line that the user could type.
"""

import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from alexnet_pl.commands.typed_overrides import started_recipe, typed_overrides
from alexnet_pl.config.identity import HARDWARE
from alexnet_pl.config.options import TransferOptions
from alexnet_pl.config.overrides import STORES, quote_literal
from alexnet_pl.config.recipes import compose, recipe_names
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.processes import launched_processes
from alexnet_pl.runs.layout import LAST, PRETRAINED
from alexnet_pl.training.transfer import describe_differences

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def run_cli(*words: str) -> None:
    """Run `python -m alexnet_pl WORDS` in a child process. Signals are passed on, so that a fit saves its checkpoint. A
    non-zero exit code becomes that of this process; the child has already printed the reason."""
    if launched := launched_processes():
        raise UserError(
            f"{words[0]}: cannot be started by the processes of {launched.launcher}; start one process, with "
            "trainer.devices=N"
        )
    child = subprocess.Popen([sys.executable, "-m", "alexnet_pl", *words], start_new_session=True)
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda caught, _: child.send_signal(caught)) for number in heeded}
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code:
        raise SystemExit(code if code > 0 else 128 - code)


def check_named_recipe(key: str, recipe: str) -> None:
    """Raise UserError if a run folder's config, not the user, names a recipe file at `key`: recipes can configure
    Hydra."""
    if recipe in recipe_names() or not HydraConfig.initialized() or started_recipe():
        return
    if not any(word.startswith(f"{key}=") for word in typed_overrides()):
        raise UserError(
            f"{key}={recipe}: named by a run folder, which may only name shipped recipes; if it is yours, add "
            f"{key}={recipe}"
        )


def pretrain(cfg: DictConfig, transfer: TransferOptions, folder: Path) -> str:
    """Train the network of `transfer.pretrain_recipe`, unless it is finished. Returns its checkpoint."""
    assert transfer.pretrain_recipe
    check_named_recipe("transfer.pretrain_recipe", transfer.pretrain_recipe)
    run = folder / PRETRAINED
    composed = compose(transfer.pretrain_recipe, [*variant_overrides(transfer), *transfer.overrides])
    check_same_network(cfg, transfer, composed)
    run_cli(*pretrain_words(cfg, transfer, run, composed))
    return str(run / LAST)


def variant_overrides(transfer: TransferOptions) -> list[str]:
    """The typed `variant`, which also applies to the pre-training unless its own overrides choose one."""
    if any(word.startswith("variant=") for word in transfer.overrides):
        return []
    return [word for word in typed_overrides() if word.startswith("variant=")]


def check_same_network(cfg: DictConfig, transfer: TransferOptions, composed: DictConfig) -> None:
    """Raise UserError if the pre-trained layers would compute something else in this network."""
    ours, theirs = ({str(key): value for key, value in each.model.items()} for each in (cfg, composed))
    if transfer.layers and (differences := describe_differences(ours, theirs)):
        raise UserError(
            f"transfer.pretrain_recipe={transfer.pretrain_recipe}: trains another network ({differences}); choose the "
            "same settings for both, those of the pre-training with transfer.overrides=['KEY=VALUE']"
        )


def pretrain_words(cfg: DictConfig, transfer: TransferOptions, run: Path, composed: DictConfig) -> list[str]:
    """Command line that trains `transfer.pretrain_recipe`, whose config is `composed`, in the folder `run`.

    Raises UserError if `transfer.data_roots` has no store for it."""
    name, entity = composed.data.name, cfg.wandb.get("entity")
    store = transfer.data_roots.get(name)
    if not store:
        raise UserError(
            f"transfer.data_roots.{name} is required: pass transfer.data_roots.{name}=FOLDER, the prepared store to "
            f"pre-train {transfer.pretrain_recipe} on, or transfer.weights=FILE, a checkpoint of it"
        )
    roots = {key: root for key, root in transfer.data_roots.items() if root and key in composed.transfer.data_roots}
    return [
        *("fit", "-c", str(transfer.pretrain_recipe)),
        f"data.root={quote_literal(store)}",
        f"seed={cfg.seed}",
        f"logger={cfg.logger}",
        f"wandb.project={quote_literal(cfg.wandb.project)}",
        f"wandb.entity={quote_literal(entity) if entity else 'null'}",
        "ckpt_path=auto",
        f"hydra.run.dir={quote_literal(str(run))}",
        *hardware_overrides(),
        *variant_overrides(transfer),
        *(f"transfer.data_roots.{key}={quote_literal(root)}" for key, root in roots.items()),
        *transfer.overrides,
    ]


def hardware_overrides() -> list[str]:
    """Overrides of this command that choose hardware and speed, which also apply to the pre-training."""
    sections = ("performance.", "distributed.", *(f"trainer.{key}=" for key in HARDWARE))
    return [f"++{word}" for word in typed_overrides() if word.startswith(sections)]


def run_seeds(folder: Path, name: str, seeds: Iterable[int], words: Iterable[str]) -> list[Path]:
    """Train and test one network per seed, as a Hydra sweep. Returns the run folders in the order of the seeds."""
    numbers = list(seeds)
    run_cli(
        *("reproduce", "-m", "-c", name, f"seed={','.join(map(str, numbers))}", *words),
        *(f"hydra.sweep.dir={quote_literal(str(folder))}", "hydra.sweep.subdir=seed${seed}"),
    )
    return [folder / f"seed{number}" for number in numbers]


def inherited_overrides() -> list[str]:
    """Overrides of this command that also apply to its sub-runs, and the launcher."""
    if not HydraConfig.initialized():
        return []
    given = HydraConfig.get().overrides
    own = ("command", "ensemble", "ckpt_path", "seed", "report")
    task = [word for word in given.task if re.split(r"[.=]", word.lstrip("+~"))[0] not in own]
    task = [f"++{word}" if word.startswith(STORES) else word for word in task]  # not every recipe has these keys
    return [*task, *(word for word in given.hydra if word.lstrip("+").startswith(("hydra/launcher", "hydra.launcher")))]
