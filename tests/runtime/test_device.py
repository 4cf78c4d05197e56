"""The GPU that `trainer.devices` names."""

from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from alexnet_pl.errors import UserError
from alexnet_pl.runtime.device import GPUS, choose_device


@pytest.mark.parametrize(
    ("devices", "index"),
    [([3], 3), ([2, 3], 2), ("1,", 1), ("3,1", 3), (1, None), (4, None), ("auto", None), (-1, None), (None, None)],
)
def test_device_is_the_first_that_is_listed(monkeypatch: pytest.MonkeyPatch, devices: Any, index: int | None) -> None:
    monkeypatch.setitem(GPUS, "cuda", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    trainer = {"accelerator": "gpu", "precision": "32-true", "devices": devices}
    assert choose_device(OmegaConf.create({"trainer": trainer})).index == index
    cfg = OmegaConf.create({"trainer": {**trainer, "accelerator": "cpu"}})
    assert choose_device(cfg) == torch.device("cpu")


@pytest.mark.parametrize("devices", [[4], [-1], ["x"], "a,b", ",3"])
def test_list_without_a_gpu_of_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch, devices: Any) -> None:
    monkeypatch.setitem(GPUS, "cuda", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    cfg = OmegaConf.create({"trainer": {"accelerator": "gpu", "devices": devices}})
    with pytest.raises(UserError, match=r"^trainer.devices=.*: a list of GPUs from 0 to 3$"):
        choose_device(cfg)
