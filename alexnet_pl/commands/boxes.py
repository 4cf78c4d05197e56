"""`fit` of box recipes (OverFeat §4, §5): train a regressor or a detector."""

from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl.commands.fit_to_end import fit_to_end
from alexnet_pl.commands.resume import is_ready
from alexnet_pl.commands.typed_overrides import refuse_typed
from alexnet_pl.config.identity import box_signature
from alexnet_pl.console import pluralize, print_message
from alexnet_pl.detection.build import build_boxes
from alexnet_pl.json_records import parse_record
from alexnet_pl.runs.records import DatasetInfo
from alexnet_pl.training.callbacks.fit_record import FitRecord
from alexnet_pl.training.schedules import count_completed_epochs

UNREAD = {
    "schedule": "boxes, whose learning rate decays linearly to zero over trainer.max_epochs",
    "model": "boxes, whose network is that of transfer.weights",
    "augment": "boxes, whose images are prepared as for the network of transfer.weights",
    "data.shuffle": "boxes, whose windows and images are shuffled in each epoch",
    "data.include_val_after_epoch": "boxes, which are trained on the training images alone",
    **{f"test.{key}": "boxes; section detect has the windows and scales" for key in ("views", "scales", "stride")},
}
UNREAD_BY_TASK = {
    "localise": {
        f"boxes.{key}": "boxes.task=localise, whose convolutions and classifier are kept"
        for key in ("fine_tune", "positives", "random_negatives", "hard_negatives")
    },
    "detect": {f"boxes.{key}": "boxes.task=detect, which learns no boxes" for key in ("overlap", "windows")},
}


def fit(cfg: DictConfig, folder: Path) -> float | None:
    refuse_typed(UNREAD | UNREAD_BY_TASK.get(cfg.boxes.task, {}))
    if not is_ready(cfg, folder, box_signature):
        return None
    trainer, module, data = build_boxes(cfg, folder)
    record = FitRecord(folder, box_signature(cfg), lambda: parse_record(module.store_info, DatasetInfo))
    loss = fit_to_end(cfg, trainer, module, data, record).get("val/loss")
    outcome = "no validation" if loss is None else f"val loss {loss:.4f}"  # trainer.max_steps can end a fit before one
    print_message(f"{pluralize(count_completed_epochs(trainer), 'epoch')}: {outcome}", folder)
    return loss
