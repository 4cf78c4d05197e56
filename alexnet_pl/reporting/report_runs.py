"""Folders and tests that `report` and `dashboard` read: key `report.runs`."""

from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl.files import list_paths
from alexnet_pl.paper.results import TestRun, collect_tests


def report_roots(cfg: DictConfig) -> list[Path]:
    """Folders in `report.runs`, a path or a list of paths."""
    return list_paths(cfg.report.runs)


def collect_report_tests(cfg: DictConfig) -> list[TestRun]:
    """All tests below `report.runs`. Its default, `runs`, need not exist."""
    roots = report_roots(cfg)
    return collect_tests(root for root in roots if root.is_dir() or len(roots) > 1 or str(root) != "runs")
