"""Config keys that decide the trained network, and keys that must not change when a run is resumed."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.neutral import leave_out_neutral
from alexnet_pl.config.options import make_code_options

Settings = dict[str, Any]
"""Settings that decide a network: keys of config sections, by section."""

ADDED: dict[str, dict[str, Any]] = {
    "data": {"shuffle": "epoch"},
    "model": {"unit_biases": ["conv2", "conv4", "conv5", "conv6", "fc6", "fc7"]},
    "augment": {"flip": True, "random_crop": True},
    "optim": {"scale_rate_from_batch": None},
    # of the chosen schedule: bias_drop of plateau, biases of steps and logged, freeze_conv1 of logged and plateau
    "schedule": {"bias_drop": "all", "biases": False, "freeze_conv1": True},
    "transfer": {"freeze": [], "rates": {}},
}
"""Keys that older configs lack, by section of `training_signature`, with the value that trains the same network."""

HARDWARE = (  # keys of `trainer` that do not change the trained network, up to rounding
    "accelerator", "devices", "num_nodes", "strategy", "precision", "log_every_n_steps", "limit_test_batches",
    "benchmark", "deterministic", "detect_anomaly", "enable_progress_bar", "inference_mode", "profiler",
)  # fmt: skip
"""Earlier versions recorded some of them among the training settings."""
VALIDATED_EVERY = "check_val_every_n_epoch"  # decides a network only if its schedule follows the validation error


def codes_signature(cfg: DictConfig, source: Settings) -> Settings:
    """Settings that decide an auto-encoder (§7.1), besides its seed. `source`: `Features.identity`."""
    return {"codes": {**make_code_options(cfg).learned, **source}, **optimization(cfg)}


def box_signature(cfg: DictConfig) -> Settings:
    """Settings that decide a box network, besides its images, its seed and the network it starts from."""
    return {"boxes": OmegaConf.to_container(cfg.boxes, resolve=True), **optimization(cfg)}


def optimization(cfg: DictConfig) -> Settings:
    """Settings of the optimizer and of the fit that both signatures contain."""
    trainer: Settings = OmegaConf.to_container(cfg.trainer, resolve=True)  # type: ignore[assignment]
    return {
        "optim": OmegaConf.to_container(cfg.optim, resolve=True),
        "data": {"batch_size": cfg.data.batch_size},
        "trainer": deciding_options(trainer, None),
    }


def resume_signature(cfg: DictConfig) -> dict[str, tuple[str, Any]]:
    """Settings that must not change when a run is resumed: name in a checkpoint → (key, value)."""
    return {
        "seed": ("seed", cfg.seed),
        "batch_size": ("data.batch_size", cfg.data.batch_size),
        "include_val_after_epoch": ("data.include_val_after_epoch", cfg.data.get("include_val_after_epoch")),
        "shuffle": ("data.shuffle", cfg.data.get("shuffle", ADDED["data"]["shuffle"])),
    }


def training_signature(cfg: DictConfig) -> Settings:
    """Settings that decide a network, besides images, seed and rounding. Tables average runs with equal signatures; a
    run with a recipe's signature fills that recipe's row."""
    whole: Settings = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    name = whole["schedule"]["name"]
    transfer = whole["transfer"]
    data = {**ADDED["data"], **whole["data"]}
    settings = {
        "data": {key: data.get(key) for key in ("size", "batch_size", "include_val_after_epoch", "shuffle")},
        "model": {key: value for key, value in whole["model"].items() if key != "num_classes"},  # depends on the data
        "augment": whole["augment"],
        "optim": whole["optim"],
        "schedule": {"name": name, **(whole["schedule"].get(name) or {})},
        "trainer": deciding_options(whole["trainer"], name),
        "transfer": {
            "layers": sorted(transfer["layers"] or []),
            "freeze": transfer.get("freeze") or [],
            "rates": transfer.get("rates") or {},
        },
    }
    return leave_out_added(settings)


def leave_out_added(training: dict[str, Any]) -> dict[str, Any]:
    """Training settings without the keys in `ADDED` that have no effect, so that older records equal newer ones."""
    return {section: leave_out_of_section(section, keys) for section, keys in training.items()}


def leave_out_of_section(section: str, keys: Any) -> Any:
    added = ADDED.get(section, {})
    if not isinstance(keys, dict):
        return keys
    return {key: value for key, value in keys.items() if key not in added or value != added[key]}


def deciding_options(trainer: dict[str, Any], schedule: str | None) -> dict[str, Any]:
    """Section `trainer` without the options that do not decide a network trained with `schedule.name`; None: codes or
    boxes."""
    left_out = HARDWARE if schedule in ("plateau", None) else (*HARDWARE, VALIDATED_EVERY)
    return {key: value for key, value in leave_out_neutral(trainer).items() if key not in left_out}
