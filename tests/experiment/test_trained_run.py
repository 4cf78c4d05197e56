"""A finished run's network, also under other defaults of torch and in another Trainer."""

from pathlib import Path

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trained_run import TrainedRun


def test_network_is_on_the_cpu_under_any_default_device(tiny_run: Path) -> None:
    with torch.device("meta"):
        module = TrainedRun(tiny_run).module
    assert {tensor.device.type for tensor in module.state_dict().values()} == {"cpu"}


def test_opening_a_run_changes_no_random_numbers_of_the_caller(tiny_run: Path) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    _ = TrainedRun(tiny_run).module
    assert torch.equal(torch.rand(2), wanted)


def test_network_first_used_in_inference_mode_can_be_trained(tiny_run: Path) -> None:
    run = TrainedRun(tiny_run)
    with torch.inference_mode():
        net = run.module.net
    net(torch.zeros(1, 3, net.crop, net.crop)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_classifier_in_a_trainer_with_other_data_names_the_network(tiny_run: Path, tmp_path: Path) -> None:
    trainer = L.Trainer(default_root_dir=tmp_path, accelerator="cpu", logger=False, enable_progress_bar=False)
    images = TensorDataset(torch.zeros(2, 3, 72, 72, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(UserError, match=r"^Classifier: .*; use Classifier.net elsewhere$"):
        trainer.validate(TrainedRun(tiny_run).module, DataLoader(images))
