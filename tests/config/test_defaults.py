"""Defaults are written twice, in YAML for the command line and in constructors for Python: both must be equal."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import pytest
from omegaconf import OmegaConf
from running import Compose

from alexnet_pl.config import box_options, options, sections, views
from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.retrieval.code_training import CodeLearner
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.performance import Performance

CONSTRUCTORS: dict[str, dict[str, Callable[..., object]]] = {
    "ilsvrc2012": {
        "augment": Augment,
        "bench": sections.BenchSection,
        "data": ImageStore,
        "distributed": options.DistributedOptions,
        "ensemble": options.EnsembleOptions,
        "features": options.FeatureOptions,
        "model": AlexNet,
        "monitor": options.MonitorOptions,
        "optim": Classifier,
        "performance": Performance,
        "predict": sections.PredictSection,
        "prepare": PrepareOptions,
        "probe": options.ProbeOptions,
        "report": sections.ReportSection,
        "retrieval": options.RetrievalOptions,
        "test": views.TestSection,
        "transfer": options.TransferOptions,
        "wandb": sections.WandbSection,
    },
    "overfeat_localise": {"boxes": box_options.BoxOptions, "detect": box_options.DetectOptions},
    "codes": {"codes": options.CodeOptions, "optim": CodeLearner},
}
NOT_FOR_CONSTRUCTOR = {"optim.scale_rate_from_batch"}  # `scaled_optim` takes it out of the section
DIFFERENT = {"detect.scales"}  # the winning entry's four; in Python, those of training


@pytest.mark.parametrize(("recipe", "section"), [(name, one) for name, made in CONSTRUCTORS.items() for one in made])
def test_defaults_of_a_section_are_those_of_its_constructor(config: Compose, recipe: str, section: str) -> None:
    written: Any = OmegaConf.to_container(config(recipe)[section], resolve=True)
    keys = [key for key in written if f"{section}.{key}" not in NOT_FOR_CONSTRUCTOR]
    own = defaults(CONSTRUCTORS[recipe][section])
    different = {f"{section}.{key}" for key in keys if key in own and own[key] != written[key]}
    assert set(keys) & set(own)
    assert different == DIFFERENT & {f"{section}.{key}" for key in keys}


def defaults(constructor: Callable[..., object]) -> dict[str, object]:
    """Default of each parameter that has one, as YAML has it."""
    parameters = inspect.signature(constructor).parameters.values()
    found = {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}
    if is_dataclass(constructor):
        made = {one.name: one.default_factory for one in fields(constructor)}
        found |= {name: make() for name, make in made.items() if make is not MISSING}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
