"""Norms and update ratios against weight differences; GPU idle time as reported by NVML."""

import io
import time
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress, TextColumn
from rich.table import Column
from running import Compose
from torch import nn
from torch.utils.data import DataLoader

from alexnet_pl import progress
from alexnet_pl.runs import metric_names
from alexnet_pl.training.callbacks import monitoring
from alexnet_pl.training.callbacks.monitoring import GpuIdle, Throughput, measure_norms
from alexnet_pl.training.optimizer import MomentumSGD, parameter_groups


def small() -> tuple[nn.Sequential, MomentumSGD]:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 5)).double()
    return net, MomentumSGD(parameter_groups(net, 0.1, 0.01, 2.0, False), 0.1, 0.9, 0.01)


def step(net: nn.Module, sgd: MomentumSGD) -> None:
    sgd.zero_grad()
    net(torch.randn(6, 3, 4, 4, dtype=torch.float64)).square().sum().backward()
    sgd.step()


@pytest.mark.parametrize("width", [80, 160])
def test_progress_bar_takes_one_line(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late in a long training, in a terminal of the usual width and in a wide one."""
    console = Console(width=width, file=io.StringIO())
    monkeypatch.setattr(monitoring, "get_console", lambda: console)
    shown = TextColumn("{task.fields[metrics]}", table_column=Column())  # may be broken into lines, as Lightning's
    columns: Any = monitoring.ProgressBar().configure_columns(SimpleNamespace())  # type: ignore[arg-type]
    progress = Progress(*columns, shown)
    metrics = "loss: 2.300 val: 87.8% img/s: 1,234"
    progress.add_task("Epoch 89/90", total=10_009, completed=10_009, metrics=metrics)
    console.print(progress.get_renderable())
    (line,) = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert line.startswith("Epoch 89/90 ━")
    assert " 10009/10009 " in line
    assert metrics in line


@pytest.mark.parametrize(("limit", "shown"), [(3, "Epoch 1/3"), (None, "Epoch 1"), (-1, "Epoch 1")])
def test_progress_bar_counts_epochs_from_one(limit: int | None, shown: str) -> None:
    bar = monitoring.ProgressBar()
    bar._trainer = SimpleNamespace(max_epochs=limit)  # type: ignore[assignment]
    assert bar._get_train_description(0) == shown


def test_log_of_a_long_test_gets_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0)
    module = BatchTest()
    bars: Any = [monitoring.ProgressBar()]
    trainer = L.Trainer(accelerator="cpu", callbacks=bars, logger=False, enable_model_summary=False)
    trainer.test(module, DataLoader(range(3)), verbose=False)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("test batches")]
    assert [line.split(",")[0] for line in lines] == [f"test batches: {done} of 3" for done in (1, 2, 3)]


class BatchTest(L.LightningModule):
    """Module whose test does nothing."""

    progress_metrics: dict[str, float] = {}  # noqa: RUF012

    def test_step(self, batch: torch.Tensor, batch_idx: int) -> None: ...


def test_norms_match_gradient_weights_and_update() -> None:
    """The rate is lowered before the third step, in which the velocity still has mostly its old size."""
    net, sgd = small()
    for number in range(3):
        if number == 2:
            for group in sgd.param_groups:
                group["lr"] /= 10
        before = deepcopy(net)
        step(net, sgd)
        found = measure_norms(sgd)
        for name in ("0", "2"):
            old, new = (model.get_submodule(name).weight.detach() for model in (before, net))
            assert isinstance(old, torch.Tensor)
            assert isinstance(new, torch.Tensor)
            gradient = net.get_submodule(name).weight.grad
            assert isinstance(gradient, torch.Tensor)
            assert found[f"gradient_norm/{name}"] == pytest.approx(float(gradient.square().sum().sqrt()), rel=1e-6)
            assert found[f"weight_norm/{name}"] == pytest.approx(float(new.square().sum().sqrt()), rel=1e-6)
            moved = float((new - old).square().sum().sqrt() / new.square().sum().sqrt())
            assert found[f"update_ratio/{name}"] == pytest.approx(moved, rel=1e-6)
    assert len(found) == 6, "biases have none"


def test_layer_at_rate_0_has_update_ratio_0() -> None:
    net, sgd = small()
    sgd.param_groups[0]["lr"] = 0.0  # from the start, so it has no velocity
    step(net, sgd)
    assert measure_norms(sgd)["update_ratio/0"] == 0
    assert net[0].weight not in sgd.state, "an empty state would be saved in checkpoints"
    sgd.param_groups[2]["lr"] = 0.0  # from now on; its velocity remains
    step(net, sgd)
    found = measure_norms(sgd)
    assert (found["update_ratio/0"], found["update_ratio/2"]) == (0, 0)
    assert found["gradient_norm/2"] > 0


def test_learning_rates_are_logged_at_epoch_start(config: Compose, tiny: list[str], tmp_path: Any) -> None:
    from alexnet_pl.commands.dispatch import run

    cfg: DictConfig = config("imagenette", *tiny)
    tmp_path.mkdir(exist_ok=True)
    run(cfg, tmp_path)
    header, *rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()]
    rate, at = header.index("lr-MomentumSGD/conv1.bias"), header.index("step")
    assert [(row[at], row[rate]) for row in rows if row[rate]] == [("0", "0.02"), ("6", "0.02")]


def test_validation_within_an_epoch_is_not_counted_as_training(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, logged = [0.0], {}
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    logger = SimpleNamespace(log_metrics=lambda values, step: logged.update(values))
    trainer: Any = SimpleNamespace(is_global_zero=True, global_step=0, log_every_n_steps=10, loggers=[logger])
    module: Any = SimpleNamespace(progress_metrics={})
    throughput = Throughput(batch_size=128)
    throughput.on_train_start(trainer, module)
    trainer.global_step, clock[0] = 5, 1000.0
    throughput.on_validation_end(trainer, module)
    trainer.global_step, clock[0] = 10, 1002.0
    throughput.on_train_batch_end(trainer, module)
    assert logged == {metric_names.THROUGHPUT: 5 * 128 / 2}


def test_gpu_idle_share_is_the_complement_of_nvml_utilization(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged: dict[str, float] = {}
    logger = SimpleNamespace(log_metrics=lambda values, step: logged.update(values))
    trainer: Any = SimpleNamespace(is_global_zero=True, global_step=50, log_every_n_steps=50, loggers=[logger])
    module: Any = SimpleNamespace(device=torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 83)
    GpuIdle().on_train_batch_end(trainer, module)
    assert logged == {metric_names.IDLE: 17.0}

    def silent(device: torch.device) -> int:
        raise RuntimeError("Not Supported")

    monkeypatch.setattr(torch.cuda, "utilization", silent)
    logged.clear()
    GpuIdle().on_train_batch_end(trainer, module)
    assert logged == {}
