"""Precision by default; TF32 is set by the commands that compute, and by nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from running import Compose

from alexnet_pl.bench.stages import build_module
from alexnet_pl.commands.trainer import run_with_trainer
from alexnet_pl.errors import UserError
from alexnet_pl.runtime.device import choose_device
from alexnet_pl.runtime.precision import choose_precision, use_tf32


@pytest.fixture
def tf32_flags() -> Iterator[Callable[[], set[bool]]]:
    """Function that returns the values of PyTorch's switches, which are restored after the test."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    yield lambda: {matmul.allow_tf32, cudnn.allow_tf32}
    matmul.allow_tf32, cudnn.allow_tf32 = before


@pytest.mark.parametrize("precision", ["tf32", "32-true", "bf16-mixed"])
def test_asking_for_the_device_leaves_tf32_alone(precision: str, tf32_flags: Callable[[], set[bool]]) -> None:
    cfg = OmegaConf.create({"trainer": {"accelerator": "cpu", "precision": precision}})
    for allowed in (True, False):
        use_tf32(allowed)
        choose_device(cfg)
        assert tf32_flags() == {allowed}


OTHER_WAYS: dict[str, Callable[[], None]] = {  # the first is Lightning's advice to owners of such a GPU
    "products": lambda: torch.set_float32_matmul_precision("high"),
    "products in bfloat16": lambda: torch.set_float32_matmul_precision("medium"),
    "all backends": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "cuDNN": lambda: setattr(torch.backends.cudnn, "fp32_precision", "tf32"),
}


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_settings_made_in_other_ways_are_replaced(way: str, tf32_flags: Callable[[], set[bool]]) -> None:
    OTHER_WAYS[way]()
    for wanted in (False, True):
        use_tf32(wanted)
        assert tf32_flags() == {wanted}
        assert torch.get_float32_matmul_precision() == ("high" if wanted else "highest")
        assert (torch.backends.cudnn.conv.fp32_precision == "tf32") is wanted


@pytest.mark.parametrize("precision", ["tf32", "32-true"])
def test_module_that_bench_measures_sets_tf32(
    precision: str, config: Compose, tf32_flags: Callable[[], set[bool]]
) -> None:
    cfg = config("demo", "data.size=72", "augment.crop=67", f"trainer.precision={precision}")
    use_tf32(precision != "tf32")
    build_module(cfg, torch.device("cpu"))
    assert tf32_flags() == {precision == "tf32"}


@pytest.mark.parametrize("precision", ["tf32", "32-true"])
def test_every_command_of_the_trainer_sets_tf32(
    precision: str, config: Compose, tmp_path: Path, tf32_flags: Callable[[], set[bool]]
) -> None:
    """Also those without a trainer of Lightning's, such as `predict` and `detect`."""
    image = tmp_path / "image.png"
    Image.new("RGB", (8, 8)).save(image)
    words = ["command=predict", f"trainer.precision={precision}", f"predict.images={image}"]
    cfg = config("imagenette", *words)
    use_tf32(precision != "tf32")
    run_with_trainer(lambda *_: None, cfg, tmp_path)
    assert tf32_flags() == {precision == "tf32"}


def test_precision_defaults_to_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, expected in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        assert choose_precision("auto", "cpu") == choose_precision("auto", "cuda") == expected
        assert choose_precision("32-true", "cpu") == choose_precision("tf32", "cuda") == "32-true"
    with pytest.raises(UserError, match=r"trainer.precision=16-mixed: one of"):
        choose_precision("16-mixed", "cpu")
