"""Tables 1 and 2 and every other number of the paper beside what run folders have measured."""

from pathlib import Path

from omegaconf import DictConfig


def report(cfg: DictConfig, folder: Path) -> None:
    """Being written."""
