"""Made-up results of runs."""

import copy
import json
import re
from pathlib import Path
from typing import Any

from alexnet_pl.paper import matching
from alexnet_pl.paper.claim import DATASETS
from alexnet_pl.paper.claims import BY_KEY


def images(name: str) -> dict[str, Any]:
    wanted = DATASETS[name]
    return {
        "name": wanted.name,
        "split": wanted.split,
        "classes": wanted.classes,
        "class_list": wanted.class_list,
        "images": wanted.images,
        "train_images": wanted.train if wanted.exact else 4_450_000,
        "fingerprint": "0",
    }


def network(number: int, wanted: matching.RecipeNetwork) -> dict[str, Any]:
    stores = {"fall2011": (21_841, 14_100_000), "fall2009": (10_184, 8_900_000), "ilsvrc2012": (1000, 1_281_167)}
    lineage = [
        {
            "store": {"name": name, "classes": stores[name][0], "images": stores[name][1]},
            "training": training,
            "finished": True,
            "ended_by": "schedule",
            "changed": False,
        }
        for name, training in wanted.lineage
    ]
    return {
        "checkpoint": {"sha256": f"file {number}", "weights": f"weights {number}"},
        "seed": number,
        "training": wanted.training,
        "trained": {"ended_by": "schedule", "store": {"fingerprint": "0"}},
        "lineage": lineage,
    }


def claim_test(key: str, setup: int = 0) -> dict[str, Any]:
    """Test description that matches the claim."""
    claim = BY_KEY[key]
    name, overrides = claim.recipes[setup]
    wanted = matching.recipe_networks(name, overrides)
    encoding = "whole" if wanted[0].whole else "raw"
    common = {"dataset": images(str(claim.data)) | {"encoding": encoding}, "views": claim.views}
    made = [network(number, one) for number, one in enumerate(wanted)]
    ensemble = {"members": made, "weights_tuned_on": None, "checkpoint": {"sha256": "ensemble"}}
    return copy.deepcopy(common | (made[0] if len(made) == 1 else ensemble))


def write_test(root: Path, name: str, about: dict[str, Any], top1: float, top5: float = 18.0, **more: Any) -> Path:
    """Create a run folder with a test that has these errors."""
    about = copy.deepcopy(about)
    about["checkpoint"] = {"file": "last.ckpt", "sha256": name, "step": 1}
    if "members" not in about and (number := re.search(r"\d+$", name)):
        about["seed"] = int(number[0])
    for i, member in enumerate(about.get("members", [])):
        member["checkpoint"] = {"sha256": f"{name}{i}"}
    found = {
        "claim": None,
        "images": about["dataset"]["images"],
        "top1_error": top1,
        "top5_error": top5,
        **about,
        **more,
    }
    path = root / name / f"results/{about['dataset']['split']}-{about['views']}/result.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(found))
    return path


def proxy_test(key: str, **dataset: Any) -> dict[str, Any]:
    """Test description of a claim's network on other images."""
    found = claim_test(key)
    found["dataset"] |= {
        "name": "imagenette",
        "split": "val",
        "classes": 10,
        "images": 3925,
        "train_images": 9469,
    } | dataset
    for one in found.get("members", [found]):
        course = {"augment": {**one["training"]["augment"], "crop": 112}, "schedule": {"name": "plateau"}}
        one["training"] = {**one["training"], **course, "trainer": {"max_epochs": 5}}
        one["training"]["data"] = {"size": 128, "batch_size": 128}
    return found
