"""Checks that a checkpoint fits a recipe: differing settings are named, those of older checkpoints have defaults."""

import copy
from pathlib import Path
from typing import Any

import pytest
from small_checkpoint import SWITCHES, save_small_checkpoint

from alexnet_pl.errors import UserError
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_checks import (
    LIMITED,
    check_compatible,
    check_resume_settings,
    warn_of_other_validation,
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_small_checkpoint(tmp_path / "last.ckpt")


def test_same_settings_pass_and_a_missing_checkpoint_passes(saved: Path) -> None:
    """Augmentation may differ; the given settings are not modified."""
    wanted = copy.deepcopy(SWITCHES)
    wanted["augment"] |= {"noise": 0.0, "images_per_crop": 32}
    before = copy.deepcopy(wanted)
    check_compatible(saved, wanted)
    check_compatible(str(saved), wanted)
    check_compatible(None, wanted)
    assert wanted == before


@pytest.mark.parametrize(
    ("section", "key", "there", "here"),
    [
        ("model", "towers", 2, 1),
        ("model", "without", None, "conv3"),
        ("model", "norm", True, False),
        ("model", "bottleneck", 0, 2048),
        ("model", "num_classes", 10, 1000),
        ("augment", "size", 256, 128),
        ("augment", "crop", 224, 112),
    ],
)
def test_differing_setting_is_named_with_both_values(
    saved: Path, section: str, key: str, there: Any, here: Any
) -> None:
    wanted = copy.deepcopy(SWITCHES)
    wanted[section][key] = here
    with pytest.raises(UserError) as caught:
        check_compatible(saved, wanted)
    message = str(caught.value)
    assert str(saved) in message
    assert f"{section}.{key}={there}" in message
    assert f"{section}.{key}={here}" in message
    assert [other for other in SWITCHES["model"] if f"model.{other}" in message] == [key] * (section == "model")


def test_mean_of_another_recipe_is_refused_in_a_test(saved: Path) -> None:
    """It was subtracted from the images, though the network had learned without it. A fit may change it."""
    wanted = copy.deepcopy(SWITCHES)
    wanted["augment"]["mean"] = "center"  # the default
    check_compatible(saved, wanted)
    wanted["augment"]["mean"] = "per_position"
    check_compatible(saved, wanted, trains=True)
    with pytest.raises(UserError, match=r"has augment\.mean=center, this recipe augment\.mean=per_position; add"):
        check_compatible(saved, wanted)


def test_setting_of_only_one_side_is_named(saved: Path) -> None:
    more, fewer = copy.deepcopy(SWITCHES), copy.deepcopy(SWITCHES)
    more["model"]["conv6"] = True
    del fewer["model"]["towers"]
    with pytest.raises(UserError, match=r"model\.conv6"):
        check_compatible(saved, more)
    with pytest.raises(UserError, match=r"model\.towers=2"):
        check_compatible(saved, fewer)


def test_settings_of_older_checkpoints_have_their_defaults(saved: Path) -> None:
    """They have no layers with unit biases and no order of images: those were fixed."""
    wanted = copy.deepcopy(SWITCHES)
    wanted["model"]["unit_biases"] = ["conv2", "conv4", "conv5", "conv6", "fc6", "fc7"]
    check_compatible(saved, wanted)
    wanted["model"]["unit_biases"] = []
    with pytest.raises(UserError, match=r"has model\.unit_biases=\['conv2', .*\], this recipe model\.unit_biases=\[\]"):
        check_compatible(saved, wanted)
    checkpoint = read_checkpoint(saved)
    check_resume_settings(checkpoint, {"shuffle": ("data.shuffle", "epoch")})
    with pytest.raises(UserError, match=r"^data\.shuffle=once: the resumed run has epoch; add data\.shuffle=epoch$"):
        check_resume_settings(checkpoint, {"shuffle": ("data.shuffle", "once")})


def test_path_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "away.ckpt"):
        with pytest.raises(UserError, match=str(path)):
            check_compatible(path, SWITCHES)


@pytest.mark.parametrize(
    ("course", "limit", "warns"),
    [
        ({"seed": 0}, 2, True),
        ({"seed": 0}, 0, False),
        ({"seed": 0}, 1.0, False),
        ({LIMITED: "spread"}, 2, True),
        ({LIMITED: "classes"}, 2, False),
    ],
)
def test_older_run_of_limited_validations_is_named(
    course: dict[str, Any], limit: float, warns: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was validated on other images of the split, which a plateau compares with the next errors."""
    warn_of_other_validation({"alexnet_pl": {"switches": SWITCHES, "course": course}}, limit)
    assert ("trainer.limit_val_batches=2: the resumed run" in capsys.readouterr().err) == warns
