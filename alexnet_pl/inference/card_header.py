"""YAML header of a model card, in the format of the Hugging Face hub."""

from collections.abc import Mapping
from typing import Any

import yaml

from alexnet_pl.config.views import describe_views
from alexnet_pl.evaluation.result import TestResult, printed_errors
from alexnet_pl.inference.card_license import trained_on
from alexnet_pl.inference.weights import WeightsInfo

FIRST_LINES = "---\nlibrary_name: alexnet_pl\n"  # of every card
HUB_DATASETS = {  # name of a store by the shipped recipes → data set of the hub
    "ilsvrc2012": "ILSVRC/imagenet-1k",
    "tinyimagenet": "zh-plus/tiny-imagenet",
    "imagenette": "frgfm/imagenette",
    "cifar10": "uoft-cs/cifar10",
}


def card_header(info: WeightsInfo, title: str, tag: str, terms: Mapping[str, str]) -> str:
    """`title`: of the network; `tag`: of the network on the hub; `terms`: fields of the license."""
    header: dict[str, Any] = {
        "library_name": "alexnet_pl",
        "pipeline_tag": "image-classification",
        **terms,
        "tags": [tag, "image-classification"],
    }
    if datasets := hub_datasets(info):
        header["datasets"] = datasets
    if info.result:
        header["model-index"] = [{"name": title, "results": [measured(info.result)]}]
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n"


def hub_datasets(info: WeightsInfo) -> list[str]:
    """Data sets of the hub that hold the training images, those of pre-training first."""
    names = [] if info.imported else trained_on(info)
    return [HUB_DATASETS[name] for name in dict.fromkeys(names) if name in HUB_DATASETS]


def measured(result: TestResult) -> dict[str, Any]:
    """Entry of the hub's model-index, which has accuracies where the paper has errors."""
    dataset, views = result.dataset, describe_views(result.views)
    return {
        "task": {"type": "image-classification"},
        "dataset": {
            "name": f"{result.images:,} {dataset.split} images of {dataset.name}",
            "type": HUB_DATASETS.get(dataset.name, dataset.name),
        },
        "metrics": [
            {"type": "accuracy", "value": round(100 - error, 2), "name": f"{label} accuracy in percent, {views}"}
            for label, (error, _) in printed_errors(result).items()
        ],
    }
