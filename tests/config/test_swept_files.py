"""Files that a sweep of a user's recipe chooses are checked, however their names are written."""

from pathlib import Path

import pytest

from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.errors import UserError

HOSTILE = "# @package _global_\nhydra: {job: {env_set: {A: b}}}\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "x").mkdir()
    for name, text in {"a": "{}\n", "b": "{}\n", "evil": HOSTILE}.items():
        (tmp_path / f"x/{name}.yaml").write_text(text)
    path = tmp_path / "mine.yaml"
    path.write_text("defaults: [demo, _self_]\n")
    return path


@pytest.mark.parametrize(
    "words",
    [["variant=choice(as_run,as_printed)"], ["+x=[a,b]", "seed=1,2"], ["+x=[a],[b]"], ["+x='a','b'"], ["+x=a, b"]],
)
def test_all_forms_of_a_choice_are_read(recipe: Path, words: list[str]) -> None:
    assert to_hydra(["fit", "-m", "-c", str(recipe), *words])
    for word in words:
        if word.startswith("+x"):
            with pytest.raises(UserError, match=r"hydra\.job\.env_set"):
                to_hydra(["fit", "-m", "-c", str(recipe), "seed=1,2", word.replace("b", "evil")])


def test_file_that_the_sweep_must_choose(recipe: Path) -> None:
    recipe.write_text("defaults: [demo, {x: '???'}, _self_]\n")
    assert to_hydra(["fit", "-m", "-c", str(recipe), "x=a,b"])
    with pytest.raises(UserError, match=r"hydra\.job\.env_set"):
        to_hydra(["fit", "-m", "-c", str(recipe), "x=a,evil"])


def test_choices_of_a_recipe(recipe: Path) -> None:
    text = "defaults: [demo, {{x: a}}, _self_]\nhydra: {{sweeper: {{params: {{x: 'choice(a,{})'}}}}}}\n"
    recipe.write_text(text.format("b"))
    assert to_hydra(["fit", "-m", "-c", str(recipe)])
    recipe.write_text(text.format("evil"))
    with pytest.raises(UserError, match=r"hydra\.job\.env_set"):
        to_hydra(["fit", "-m", "-c", str(recipe)])


def test_group_whose_name_starts_like_hydras(recipe: Path) -> None:
    (recipe.parent / "x").rename(recipe.parent / "hydra-x")
    with pytest.raises(UserError, match=r"hydra\.job\.env_set"):
        to_hydra(["fit", "-c", str(recipe), "+hydra-x=evil"])


@pytest.mark.parametrize("word", ["+hydra.sweeper.params={x: 'a,evil'}", "+hydra={sweeper: {params: {+x: evil}}}"])
def test_sweep_is_typed_as_words(recipe: Path, word: str) -> None:
    with pytest.raises(UserError, match="give a sweep as KEY=VALUE,VALUE"):
        to_hydra(["fit", "-m", "-c", str(recipe), word])


def test_files_in_too_many_combinations_are_refused(recipe: Path) -> None:
    numbers = ",".join(f"n{number}" for number in range(17))
    (recipe.parent / "x").rename(recipe.parent / "y")
    (recipe.parent / "x").mkdir()
    with pytest.raises(UserError, match="combines files in 289 ways; at most 256"):
        to_hydra(["fit", "-m", "-c", str(recipe), f"+x={numbers}", f"+y={numbers}"])
