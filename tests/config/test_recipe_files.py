"""Recipe files that are corrupt or include each other in a cycle are refused in one line."""

from pathlib import Path

import pytest

from alexnet_pl.config.recipe_files import check_recipe
from alexnet_pl.errors import UserError

DAMAGED = {
    "key given twice": ("seed: 1\nseed: 2\n", "duplicate key seed"),
    "nested key given twice": ("optim: {lr: 1, lr: 2}\n", "duplicate key lr"),
    "its own default": ("defaults: [recipe]\n", r"recipe.yaml: its defaults lead back to .*recipe.yaml"),
    "contains itself": ("data: &a {name: x, b: *a}\n", "Circular reference"),
    "python tag": ("x: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
    "tabs": ("data:\n\tname: x\n", "cannot be read as YAML"),
    "not closed": ("data: {name: x\n", "cannot be read as YAML"),
    "no mapping": ("- a\n", "not a mapping"),
    "empty": ("", "not a mapping"),
    "forty aliases": ("a: &a [x]\n" + "b: [" + "*a, " * 40 + "]\n", "more than 16 YAML aliases"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_corrupt_recipe_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    content, says = DAMAGED[what]
    (tmp_path / "recipe.yaml").write_text(content)
    with pytest.raises(UserError, match=says) as error:
        check_recipe(tmp_path / "recipe.yaml")
    assert "\n" not in str(error.value)


def test_cyclic_recipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("defaults: [two]\n")
    (tmp_path / "two.yaml").write_text("defaults: [one]\n")
    with pytest.raises(UserError, match=r"two.yaml: its defaults lead back to .*one.yaml, "):
        check_recipe(tmp_path / "one.yaml")


def test_recipe_with_the_name_of_the_shipped_one_that_it_extends_is_to_be_renamed(tmp_path: Path) -> None:
    """Also if another recipe beside it is used."""
    for name in ("demo", "mine"):
        (tmp_path / f"{name}.yaml").write_text("defaults: [demo, _self_]\n")
        with pytest.raises(UserError, match=r"demo\.yaml, which is read before a shipped .*: rename demo\.yaml if"):
            check_recipe(tmp_path / f"{name}.yaml")


def test_two_recipes_may_include_a_third(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("seed: 1\n")
    (tmp_path / "left.yaml").write_text("defaults: [base]\n")
    (tmp_path / "top.yaml").write_text("defaults: [base, left]\n")
    check_recipe(tmp_path / "top.yaml")


def test_recipe_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(b"data: {name: \xe9}\n")
    with pytest.raises(UserError, match="utf-8"):
        check_recipe(tmp_path / "recipe.yaml")
