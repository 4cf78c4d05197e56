"""The package lies in a folder whose name has letters and signs of Hydra's override grammar."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import alexnet_pl

import alexnet_pl as package
from alexnet_pl.config.recipes import SHIPPED


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Folder with a copy of the package and its recipes."""
    folder = tmp_path / "zoë (a), b=c 'd'"
    skipped = shutil.ignore_patterns("__pycache__", "configs")
    shutil.copytree(Path(package.__file__).parent, folder / "alexnet_pl", ignore=skipped)
    shutil.copytree(SHIPPED, folder / "configs")
    return folder


def test_recipe_that_sets_the_environment_is_refused_in_any_folder(odd: Path) -> None:
    recipe = odd / "mine.yaml"
    recipe.write_text("defaults: [demo, _self_]\nhydra: {job: {env_set: {A: b}}}\n")
    ran = alexnet_pl("fit", "-c", recipe.name, "trainer.max_epochs=0", cwd=odd, PYTHONPATH=str(odd))
    assert (ran.returncode, ran.stderr) == (
        2, f"alexnet_pl: {recipe}: it sets hydra.job.env_set.A=b, which is not allowed in a recipe; "
           "type it if it is your own\n",
    )  # fmt: skip


def test_recipe_names_code_in_any_folder(odd: Path) -> None:
    recipe = odd / "mine.yaml"
    recipe.write_text("defaults: [demo, _self_]\nhydra: {callbacks: {x: '${oc.create:{_target_: os.getcwd}}'}}\n")
    ran = alexnet_pl("fit", "-c", recipe.name, "trainer.max_epochs=0", cwd=odd, PYTHONPATH=str(odd))
    assert ran.returncode == 2
    assert "hydra.callbacks" in ran.stderr


def test_recipes_compose_in_any_folder(odd: Path) -> None:
    """As in `report`, in ensembles and for earlier runs."""
    program = "from alexnet_pl.config import recipes; print(recipes.compose('demo').seed, recipes.SHIPPED)"
    printed = subprocess.check_output(
        [sys.executable, "-c", program], text=True, cwd=odd, env={**os.environ, "PYTHONPATH": str(odd)}
    )
    assert printed == f"0 {odd}/configs\n"
