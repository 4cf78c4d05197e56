"""Fixtures of detection tests: a store of drawn scenes, an untrained classifier, and configs of box recipes."""

from pathlib import Path

import pytest
from box_runs import box_config, make_classifier_run, make_scenes
from omegaconf import DictConfig
from running import Compose

from alexnet_pl.config.box_options import BoxOptions
from alexnet_pl.data.store.store import Store
from alexnet_pl.detection.box_network import BoxNetwork, make_box_network
from alexnet_pl.detection.box_weights import copy_weights, open_network_checkpoint


@pytest.fixture(scope="session")
def scene_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_scenes(tmp_path_factory.mktemp("scenes") / "store")


@pytest.fixture(scope="session")
def scene_root(scene_store: Store) -> Path:
    return Path(scene_store.root)


@pytest.fixture(scope="session")
def classifier_run(tmp_path_factory: pytest.TempPathFactory, scene_store: Store) -> Path:
    return make_classifier_run(tmp_path_factory.mktemp("runs") / "classifier", scene_store)


@pytest.fixture
def options() -> BoxOptions:
    return BoxOptions("localise", units=[16, 8], scales=[1, 4], windows=4)


@pytest.fixture
def network(classifier_run: Path, scene_store: Store, options: BoxOptions) -> BoxNetwork:
    trained = open_network_checkpoint(str(classifier_run))
    made = make_box_network(trained.metadata["switches"], len(scene_store.classes), options)
    copy_weights(made, trained, scene_store.classes)
    return made.eval()


@pytest.fixture
def localise(config: Compose, scene_root: Path, classifier_run: Path) -> DictConfig:
    return box_config(config, "overfeat_localise", scene_root, classifier_run)


@pytest.fixture
def detect(config: Compose, scene_root: Path, classifier_run: Path) -> DictConfig:
    return box_config(config, "overfeat_detect", scene_root, classifier_run)
