"""Training to the end of a fit, for every kind of network, with its files in the run folder."""

from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands.network_of_weights import OWN, own_values
from alexnet_pl.commands.process_state import pin_argv_for_ddp_ranks
from alexnet_pl.config.overrides import format_literal, quote_literal
from alexnet_pl.console import print_warning
from alexnet_pl.runs.layout import LAST
from alexnet_pl.training.callbacks.fit_record import FitRecord
from alexnet_pl.training.callbacks.interrupt import GracefulInterrupt
from alexnet_pl.training.callbacks.restored_state import restoring
from alexnet_pl.training.checkpointing import save_last
from alexnet_pl.training.media import log_summary


def fit_to_end(
    cfg: DictConfig, trainer: L.Trainer, module: L.LightningModule, data: L.LightningDataModule, record: FitRecord
) -> dict[str, float]:
    """Train, save `last.ckpt` and a finished fit.json, and return the last metrics."""
    pin_start_for_ddp_ranks(cfg)
    log_summary(trainer.loggers, "config", OmegaConf.to_container(cfg, resolve=True))
    trainer.callbacks.append(record)  # type: ignore[attr-defined]
    with restoring(cfg.ckpt_path), explaining_killed_compiler(trainer):
        trainer.fit(module, datamodule=data, ckpt_path=cfg.ckpt_path)
    save_last(trainer, record.run / LAST)
    record.finish(trainer, images=trainer.global_step * cfg.data.batch_size)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


@contextmanager
def explaining_killed_compiler(trainer: L.Trainer) -> Iterator[None]:
    """End with one line if a signal has stopped torch's compiler: Ctrl-C, `timeout` and SLURM send it to the programs
    that torch has started, too, whose failure looks like an error of the compiler."""
    try:
        yield
    except Exception as error:
        number = next((one.caught for one in trainer.callbacks if isinstance(one, GracefulInterrupt)), 0)  # type: ignore[attr-defined]
        is_compiler = type(error).__module__.startswith(("torch._inductor", "torch._dynamo"))
        if not number or not is_compiler or trainer.world_size > 1:
            raise
        print_warning("stopped while torch compiled, without saving")
        raise SystemExit(128 + number) from None


def pin_start_for_ddp_ranks(cfg: DictConfig) -> None:
    """Pass this rank's starting point to the other ranks of a fit, since files may change before they read them, and
    the user's own values that take precedence over those of `transfer.network=weights`."""
    start = {"ckpt_path": cfg.ckpt_path}
    if cfg.transfer.weights and not cfg.ckpt_path:  # a resumed fit does not read them
        start["transfer.weights"] = cfg.transfer.weights
    words = [f"{key}={quote_literal(value) if value else 'null'}" for key, value in start.items()]
    if cfg.transfer.get("network") == "weights":
        own = [(f"{section}.{key}", value) for section in OWN for key, value in own_values(cfg, section).items()]
        words += [f"++{format_literal(key, value)}" for key, value in own]
    pin_argv_for_ddp_ranks(words)
