"""Precision of the computation: float32, TF32 or bfloat16."""

import contextlib

import torch
from omegaconf import DictConfig

from alexnet_pl.errors import UserError

PRECISIONS = ("auto", "32-true", "tf32", "bf16-mixed")


def choose_precision(wanted: str, device: str) -> str:
    """Lightning's name of a precision. `auto` is bf16-mixed if the hardware computes in bfloat16. `tf32` is 32-true, to
    be used with `set_tf32`."""
    if wanted not in PRECISIONS:
        raise UserError(f"trainer.precision={wanted}: one of {', '.join(PRECISIONS)}")
    if wanted == "tf32":
        return "32-true"
    if wanted != "auto":
        return wanted
    return "bf16-mixed" if computes_bf16(device) else "32-true"


def precision_in_use(lightning_name: str, device: str) -> str:
    """Precision of a trainer on `device` as `trainer.precision` names it: 32-true with TF32 allowed is tf32."""
    tf32 = device == "cuda" and torch.backends.cuda.matmul.allow_tf32
    return "tf32" if lightning_name == "32-true" and tf32 else lightning_name


def set_tf32(cfg: DictConfig) -> None:
    """Allow TF32 only if `trainer.precision=tf32`. To be called before a network is run, in every process."""
    use_tf32(cfg.trainer.precision == "tf32")


def use_tf32(wanted: bool) -> None:
    """Allow or forbid TF32 (products with 11-bit mantissas) on a GPU, which is several times as fast as float32. By
    default, PyTorch allows it for convolutions but not for fully connected layers.

    First resets what a caller may have set in another of PyTorch's ways: it would keep TF32 for convolutions, or make
    `torch.get_float32_matmul_precision`, which Lightning calls on a GPU, raise an error about mixed ways."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.fp32_precision = "none"  # type: ignore[attr-defined]
    torch.backends.cudnn.fp32_precision = "none"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = wanted


def computes_bf16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and torch.cpu._is_avx512_bf16_supported()


def autocast_to(device: str) -> torch.dtype:
    """Type of the surrounding autocast on `device`; float32 without one."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32


def uncached_autocast(device: str) -> contextlib.AbstractContextManager:
    """The surrounding autocast without its cache of cast weights, which a captured graph must not reuse."""
    on = torch.is_autocast_enabled(device)
    return torch.autocast(device, torch.get_autocast_dtype(device), enabled=on, cache_enabled=False)
