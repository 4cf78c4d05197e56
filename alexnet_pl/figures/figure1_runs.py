"""Runs of Figure 1 (§4.1): those of the network of configs/cifar10.yaml, by activation, rate and seed."""

from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from alexnet_pl.config.identity import training_signature
from alexnet_pl.errors import UserError
from alexnet_pl.paper.claim import FIGURE1_ERROR
from alexnet_pl.paper.matching import recipe_networks
from alexnet_pl.runs.fit_status import differences
from alexnet_pl.runs.layout import METRICS, collect_runs, read_config
from alexnet_pl.runs.metrics_log import epochs_to, read_errors

VARIED = {"model.activation", "optim.lr", "trainer.max_epochs"}  # settings in which runs may differ from the recipe


class Figure1Run(NamedTuple):
    """Run of the network of Figure 1: its settings, and the training error of each epoch in percent."""

    folder: Path
    activation: str
    rate: float
    seed: int
    errors: list[float]

    @property
    def epochs(self) -> float | None:
        """Epochs until the error reaches the line; None if it does not."""
        return epochs_to(self.errors, FIGURE1_ERROR)


Group = list[Figure1Run]  # runs of one activation and rate, one per seed


def find_runs(folders: Iterable[Path]) -> list[Figure1Run]:
    """Find the runs of Figure 1's network in `folders` and below; of two with the same settings, the longer one.

    Raises UserError if a folder does not exist, or if there is no such run.
    """
    runs: dict[tuple[str, float, int], Figure1Run] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
        for found in collect_runs([folder], METRICS):
            if not (settings := read_settings(found)):
                continue
            run = Figure1Run(found, *settings, read_errors(found / METRICS))
            key = (run.activation, run.rate, run.seed)
            if key not in runs or len(runs[key].errors) < len(run.errors):
                runs[key] = run
    if not runs:
        raise UserError(f"{', '.join(map(str, folders))}: no run with the settings of configs/cifar10.yaml found")
    return [runs[key] for key in sorted(runs)]


def read_settings(folder: Path) -> tuple[str, float, int] | None:
    """(activation, rate, seed) of a run; None if it is not one of CIFAR-10 with the settings of configs/cifar10.yaml
    apart from `VARIED`, or if its config cannot be read."""
    try:
        cfg = read_config(folder)
        if cfg.model.get("name") != "conv" or not follows_recipe(cfg):
            return None
        return str(cfg.model.activation), float(cfg.optim.lr), int(cfg.seed)
    except (UserError, OmegaConfBaseException, AttributeError, KeyError, TypeError, ValueError):
        return None  # keys are missing, or of another type


def follows_recipe(cfg: DictConfig) -> bool:
    (recipe,) = recipe_networks("cifar10")
    return cfg.data.name == recipe.images and not other_settings(cfg)


def other_settings(cfg: DictConfig) -> list[str]:
    """Keys in which a run differs from configs/cifar10.yaml, apart from `VARIED`."""
    (recipe,) = recipe_networks("cifar10")
    return [key for key in differences(recipe.training, training_signature(cfg)) if key not in VARIED]


def explain_left_out(folder: Path) -> str | None:
    """Reason why a CIFAR-10 run with Figure 1's network is not in the figure; None for other runs."""
    try:
        cfg = read_config(folder)
        if (cfg.model.get("name"), cfg.data.name) == ("conv", "cifar10") and (keys := other_settings(cfg)):
            return f"{folder} differs from configs/cifar10.yaml in {', '.join(keys)}"
    except (UserError, OmegaConfBaseException, AttributeError, KeyError, TypeError, ValueError):
        pass  # keys are missing, or of another type
    return None


def group_runs(runs: list[Figure1Run]) -> dict[tuple[str, float], Group]:
    groups: dict[tuple[str, float], Group] = {}
    for run in runs:
        groups.setdefault((run.activation, run.rate), []).append(run)
    return groups


def choose_rates(runs: list[Figure1Run]) -> dict[str, Group]:
    """Choose, for each activation, the rate with the most seeds; other rates belong to the search.

    Ties go to the fastest, or if no run reached the line, to the lowest error after the epochs that all runs have.
    """
    best: dict[str, Group] = {}
    for activation in sorted({run.activation for run in runs}):
        groups = [group for (name, _), group in group_runs(runs).items() if name == activation]
        common = count_shared_epochs(groups)
        best[activation] = max(groups, key=lambda group: rank_group(group, common))
    return best


def rank_group(group: Group, epochs: int) -> tuple[float, ...]:
    error = mean(run.errors[epochs - 1] if run.errors else 100.0 for run in group)
    return len(group), -mean(run.epochs or float("inf") for run in group), -error


def count_shared_epochs(groups: Iterable[Group]) -> int:
    """Number of epochs that all runs have, except runs without any."""
    return min((len(run.errors) for group in groups for run in group if run.errors), default=0)


def speed_ratios(relu: Group, tanh: Group) -> list[float]:
    """Ratio of tanh's to ReLU's epochs, for each seed with which both reached the line."""
    fast = {run.seed: run.epochs for run in relu}
    pairs = [(run.epochs, fast.get(run.seed)) for run in tanh]
    return [slow / quick for slow, quick in pairs if slow and quick]
