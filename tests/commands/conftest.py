import pytest
from omegaconf import DictConfig
from running import Compose


@pytest.fixture
def cfg(config: Compose, tiny: list[str]) -> DictConfig:
    return config("imagenette", *tiny)
