"""Number of cores in a container, and the GPU that `trainer.devices` names."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from running import Compose

from alexnet_pl import runtime
from alexnet_pl.bench.stages import build_module
from alexnet_pl.commands.trainer import run_with_trainer
from alexnet_pl.errors import UserError

LIMITS = [
    ({"cpu.max": "150000 100000\n"}, 1.5),
    ({"cpu.max": "max 100000\n"}, math.inf),
    ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
    ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
    ({"cpu.max": ""}, math.inf),
    ({}, math.inf),
]


@pytest.mark.parametrize(("files", "limit"), LIMITS)
def test_limit_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], limit: float
) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(runtime, "CGROUPS", tmp_path)
    assert runtime.cgroup_cores() == limit
    monkeypatch.setattr(runtime.os, "sched_getaffinity", lambda process: range(64), raising=False)
    assert runtime.cores() == min(64, math.ceil(min(limit, 64)))


@pytest.mark.parametrize(
    ("devices", "index"),
    [([3], 3), ([2, 3], 2), ("1,", 1), ("3,1", 3), (1, None), (4, None), ("auto", None), (-1, None), (None, None)],
)
def test_device_is_the_first_that_is_listed(monkeypatch: pytest.MonkeyPatch, devices: Any, index: int | None) -> None:
    monkeypatch.setitem(runtime.GPUS, "cuda", lambda: True)
    monkeypatch.setattr(runtime.torch.cuda, "device_count", lambda: 4)
    trainer = {"accelerator": "gpu", "precision": "32-true", "devices": devices}
    assert runtime.device(OmegaConf.create({"trainer": trainer})).index == index
    cfg = OmegaConf.create({"trainer": {**trainer, "accelerator": "cpu"}})
    assert runtime.device(cfg) == runtime.torch.device("cpu")


@pytest.mark.parametrize("devices", [[4], [-1], ["x"], "a,b", ",3"])
def test_list_without_a_gpu_of_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch, devices: Any) -> None:
    monkeypatch.setitem(runtime.GPUS, "cuda", lambda: True)
    monkeypatch.setattr(runtime.torch.cuda, "device_count", lambda: 4)
    cfg = OmegaConf.create({"trainer": {"accelerator": "gpu", "devices": devices}})
    with pytest.raises(UserError, match=r"^trainer.devices=.*: a list of GPUs from 0 to 3$"):
        runtime.device(cfg)


@pytest.fixture
def tf32_flags() -> Iterator[Callable[[], set[bool]]]:
    """Function that returns the values of PyTorch's switches, which are restored after the test."""
    matmul, cudnn = runtime.torch.backends.cuda.matmul, runtime.torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    yield lambda: {matmul.allow_tf32, cudnn.allow_tf32}
    matmul.allow_tf32, cudnn.allow_tf32 = before


@pytest.mark.parametrize("precision", ["tf32", "32-true", "bf16-mixed"])
def test_asking_for_the_device_leaves_tf32_alone(precision: str, tf32_flags: Callable[[], set[bool]]) -> None:
    cfg = OmegaConf.create({"trainer": {"accelerator": "cpu", "precision": precision}})
    for allowed in (True, False):
        runtime.use_tf32(allowed)
        runtime.device(cfg)
        assert tf32_flags() == {allowed}


@pytest.mark.parametrize("precision", ["tf32", "32-true"])
def test_module_that_bench_measures_sets_tf32(
    precision: str, config: Compose, tf32_flags: Callable[[], set[bool]]
) -> None:
    cfg = config("demo", "data.size=72", "augment.crop=67", f"trainer.precision={precision}")
    runtime.use_tf32(precision != "tf32")
    build_module(cfg, runtime.torch.device("cpu"))
    assert tf32_flags() == {precision == "tf32"}


@pytest.mark.parametrize("precision", ["tf32", "32-true"])
def test_every_command_of_the_trainer_sets_tf32(
    precision: str, config: Compose, tmp_path: Path, tf32_flags: Callable[[], set[bool]]
) -> None:
    """Also those without a trainer of Lightning's, such as `predict` and `detect`."""
    cfg = config("imagenette", "command=predict", f"trainer.precision={precision}")
    runtime.use_tf32(precision != "tf32")
    run_with_trainer(lambda *_: None, cfg, tmp_path)
    assert tf32_flags() == {precision == "tf32"}
