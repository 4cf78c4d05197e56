"""Checkpoints with an edited training state are refused before the first step, in one line that names the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from running import Compose, last, run

from alexnet_pl.errors import UserError

Change = Callable[[dict[str, Any]], object]


def velocities(checkpoint: dict[str, Any]) -> dict[str, Any]:
    return checkpoint["optimizer_states"][0]["state"][0]


def fit_loop(checkpoint: dict[str, Any]) -> dict[str, Any]:
    return checkpoint["loops"]["fit_loop"]


def callback(checkpoint: dict[str, Any], name: str) -> dict[str, Any]:
    return next(state for key, state in checkpoint["callbacks"].items() if key.startswith(name))


CHANGES: dict[str, Change] = {
    "velocity of another shape": lambda c: velocities(c).update(u=torch.zeros(3)),
    "velocity not finite": lambda c: velocities(c)["u"].fill_(torch.nan),
    "velocity no tensor": lambda c: velocities(c).update(u="x"),
    "rate no number": lambda c: c["optimizer_states"][0]["param_groups"][0].update(lr="x"),
    "no optimizer": lambda c: c["optimizer_states"].clear(),
    "fewer groups": lambda c: c["optimizer_states"][0]["param_groups"].pop(),
    "counter no number": lambda c: fit_loop(c)["epoch_progress"]["total"].update(ready="x"),
    "counter missing": lambda c: fit_loop(c)["epoch_progress"].pop("current"),
    "loop missing": lambda c: fit_loop(c).clear(),
    "random state of another size": lambda c: callback(c, "RandomState").update(cpu=[torch.zeros(2)]),
    "random state no tensor": lambda c: callback(c, "RandomState").update(cpu=[None]),
    "score no number": lambda c: callback(c, "Checkpoint{'monitor': 'val").update(best_model_score="x"),
    "settings missing": lambda c: callback(c, "FitRecord").pop("training"),
    "seconds no number": lambda c: callback(c, "FitRecord").update(seconds="x"),
    "sums of another shape": lambda c: c["alexnet_pl"].update(sums=torch.zeros(4)),
    "weights of another shape": lambda c: c["state_dict"].update({"net.conv1.bias": torch.zeros(2)}),
    "a weight missing": lambda c: c["state_dict"].pop("net.conv1.bias"),
    "weights not finite": lambda c: c["state_dict"]["net.conv1.bias"].fill_(torch.inf),
    "position missing": lambda c: c["ImageStore"].clear(),
    "position no number": lambda c: c["ImageStore"].update(position="x"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_edited_checkpoint_is_refused_in_one_line_that_names_it(
    what: str, tiny_cifar: Any, tmp_path: Path, config: Compose
) -> None:
    folder, words = tiny_cifar
    checkpoint = torch.load(last(folder), weights_only=True)
    CHANGES[what](checkpoint)
    path = tmp_path / "edited.ckpt"
    torch.save(checkpoint, path)
    with pytest.raises(UserError, match=r"^ckpt_path: .*edited\.ckpt") as error:
        run(config("cifar10_11pct", *words, "trainer.max_epochs=2"), "fit", tmp_path / "again", path)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def tiny_cifar(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Run of the smallest recipe after one epoch of two steps, and its overrides."""
    from functools import partial

    from alexnet_pl.config import recipes
    from alexnet_pl.data.prepare.options import StoreSettings
    from alexnet_pl.data.prepare.run import prepare
    from alexnet_pl.data.sources import synthetic

    folder = tmp_path_factory.mktemp("restored")
    prepare(
        synthetic.list_synthetic(32, 10),
        folder / "store",
        StoreSettings("t", 32, {}),
        partial(synthetic.read_drawn, size=32),
    )
    words = ["data.name=t", f"data.root={folder / 'store'}", "data.batch_size=16", "logger=csv"]
    words += ["performance.compile=false", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1"]
    run(recipes.compose("cifar10_11pct", [*words, "trainer.max_epochs=1"]), "fit", folder / "run")
    return folder / "run", words
