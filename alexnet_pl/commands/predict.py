"""`predict`: class names and probabilities for a user's own images."""

from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl import predict as prediction
from alexnet_pl import recipe
from alexnet_pl.checkpoint import check_switches
from alexnet_pl.errors import UserError
from alexnet_pl.telling import say


def predict(cfg: DictConfig, folder: Path) -> None:
    paths = prediction.find_images(cfg.predict.images)
    module = recipe.make_module(cfg)
    check_switches(cfg.ckpt_path, module.switches)
    module = prediction.load(cfg.ckpt_path, module)
    rows, unread = prediction.predict(module, paths, cfg.prepare.filter, recipe.device(cfg))
    if not rows:
        path, reason = next(iter(unread.items()))
        raise UserError(f"predict.images: none of {len(unread)} could be read; {path}: {reason}")
    table = prediction.write(rows, folder)
    prediction.show(rows, unread)
    say(f"{len(rows):,} images, {len(unread)} not read", table)
