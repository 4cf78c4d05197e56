"""`predict`: classes and probabilities of the user's own images."""

from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl.console import pluralize, print_message
from alexnet_pl.experiment import predict as predict_module
from alexnet_pl.experiment.predict import find_images, print_predictions, write_predictions
from alexnet_pl.experiment.trained_run import open_network
from alexnet_pl.runs.checkpoint_metadata import resizing_filter
from alexnet_pl.runtime.device import choose_device


def predict(cfg: DictConfig, folder: Path) -> None:
    paths = find_images(cfg.predict.images)
    module = open_network(cfg)
    filter_name = resizing_filter(module.filter, cfg)
    rows = predict_module.predict(module, paths, filter_name, choose_device(cfg))
    table, num_unread = write_predictions(rows, folder), len(paths) - len(rows)
    print_predictions(rows)
    print_message(f"{pluralize(len(rows), 'image')}{f', {num_unread} not read' if num_unread else ''}", table)
