"""A store of drawn scenes, and an OverFeat network that learned nothing, small enough to go through all of it."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet_pl.config.box_options import BoxOptions
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import scenes
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store
from alexnet_pl.detection.box_network import BoxNetwork, begin_with, make_box_network, open_trained
from alexnet_pl.models.overfeat import OverFeat

SIZE, OBJECTS, CROP = 120, (1, 3), 113  # a 2 × 2 kernel in the classifier
MODEL = {"name": "overfeat", "net": "accurate", "width": 0.02, "init": "he", "dropout": 0.2}


@pytest.fixture(scope="session")
def scene_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes") / "store"
    settings = StoreSettings("scenes", SIZE, {"drawn": "scenes"}, StoreEncoding("whole"), shard=16, workers=1)
    listing = scenes.source(SIZE, OBJECTS, train=10, val=5)
    prepare(listing, root, settings, partial(scenes.read, size=SIZE, objects=OBJECTS))
    return root


@pytest.fixture(scope="session")
def scene_store(scene_root: Path) -> Store:
    return Store(scene_root)


@pytest.fixture(scope="session")
def classifier_run(tmp_path_factory: pytest.TempPathFactory, scene_store: Store) -> Path:
    """A run folder with the checkpoint of a classifier of the scenes' classes."""
    folder = tmp_path_factory.mktemp("runs") / "classifier"
    (folder / "checkpoints").mkdir(parents=True)
    torch.manual_seed(0)
    net = OverFeat(len(scene_store.classes), CROP, **{k: v for k, v in MODEL.items() if k != "name"})
    state = {f"net.{name}": value for name, value in net.state_dict().items()}
    state["augment.mean_image"] = torch.full((3, SIZE, SIZE), 118.0)
    about: dict[str, Any] = {
        "switches": {"model": {**MODEL, "num_classes": 10}, "augment": {"size": SIZE, "crop": CROP}},
        "classes": scene_store.classes,
        "store": {"name": "scenes", "fingerprint": scene_store.fingerprint},
        "lineage": [],
    }
    torch.save({"state_dict": state, "global_step": 7, "alexnet_pl": about}, folder / "checkpoints/last.ckpt")
    return folder


@pytest.fixture
def options() -> BoxOptions:
    return BoxOptions("localise", units=[16, 8], scales=[1, 4], windows=4)


@pytest.fixture
def network(classifier_run: Path, scene_store: Store, options: BoxOptions) -> BoxNetwork:
    trained = open_trained(str(classifier_run))
    made = make_box_network(trained.about["switches"], len(scene_store.classes), options)
    begin_with(made, trained, scene_store.classes)
    return made.eval()
