"""The device that `trainer.accelerator` and `trainer.devices` name."""

from typing import Any

import torch
from omegaconf import DictConfig

from alexnet_pl.errors import UserError

GPUS = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}


def choose_device(cfg: DictConfig) -> torch.device:
    """Device of the recipe's accelerator.

    Of several devices, the first one, or the first that `trainer.devices` lists. Raises UserError if there is none.
    """
    wanted = cfg.trainer.accelerator
    available = [kind for kind, is_available in GPUS.items() if is_available()]
    kinds = {"auto": [*available, "cpu"], "gpu": available, "cpu": ["cpu"], **{kind: [kind] for kind in available}}
    if not kinds.get(wanted):
        raise UserError(
            f"trainer.accelerator={wanted}: not available; one of {', '.join(kind for kind in kinds if kinds[kind])}"
        )
    kind = kinds[wanted][0]
    index = first_listed(cfg.trainer.get("devices")) if kind == "cuda" else None
    return torch.device(kind) if index is None else torch.device(kind, index)


def first_listed(devices: Any) -> int | None:
    """First number of a list of GPUs, as Lightning reads it ([3], "3,4" or "3,"); None for a number of devices.

    Raises UserError if there is no such GPU.
    """
    listed = devices.split(",") if isinstance(devices, str) and "," in devices else devices
    if isinstance(listed, str | int | None) or not len(listed):
        return None
    number, count = str(listed[0]).strip(), torch.cuda.device_count()
    if not number.isdecimal() or int(number) >= count:
        raise UserError(f"trainer.devices={devices}: a list of GPUs from 0 to {count - 1}")
    return int(number)
