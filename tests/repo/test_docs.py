"""What README and DEVIATIONS.md say can be typed, exists, and is all there is."""

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.commands import registry
from alexnet_pl.config import schema
from alexnet_pl.config.overrides import is_override
from alexnet_pl.config.recipes import SHIPPED

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TYPED = re.findall(r"^    (?:uv run )?python -m alexnet_pl (.*)$", README, re.MULTILINE)


def takes(command: str) -> str:
    found = registry.COMMANDS.get(command.split()[0])
    return found.takes if found else ""


COMMANDS = [command for command in TYPED if takes(command) == "recipe"]


@pytest.fixture
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run folders that README's commands speak of."""
    monkeypatch.chdir(tmp_path)
    for run in ("runs/demo/2026-11-21_10-00-00-524288", "runs/imagenette/any", "runs/cifar10_11pct/any"):
        (tmp_path / run / "checkpoints").mkdir(parents=True)
        (tmp_path / run / "checkpoints/last.ckpt").touch()
        (tmp_path / run / ".hydra").mkdir()
        with initialize_config_dir(str(SHIPPED), version_base="1.3"):
            OmegaConf.save(compose(run.split("/")[1]), tmp_path / run / ".hydra/config.yaml")


@pytest.mark.usefixtures("_runs")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_composes_without_an_unknown_key(command: str) -> None:
    words = to_hydra(shlex.split(command, comments=True))
    path, name = (word.split("=", 1)[1] for word in words[:2])
    keys = [word for word in words[3:] if is_override(word) and not word.startswith("hydra.")]
    sweep = {"-m"} & set(words)
    single = [word.split(",")[0] if sweep else word for word in keys]  # a sweep's list is for Hydra's sweeper
    with initialize_config_dir(path, version_base="1.3"):
        schema.check(compose(name, single))


def test_the_readme_has_commands_for_everything_the_program_can_do() -> None:
    assert {command.split()[0] for command in TYPED} == {*registry.COMMANDS, "completion"}


def test_the_tree_in_the_readme_names_every_module_and_no_other() -> None:
    named = set(re.findall(r"^      (\w+\.py) ", README, re.MULTILINE))
    assert named == {path.name for path in (ROOT / "alexnet_pl").glob("[!_]*.py")}
    for folder in ("cli", "commands", "config", "runs", "data", "bench", "figures"):
        (files,) = re.findall(rf"^      {folder}/ +(.*)$", README, re.MULTILINE)
        assert set(files.split(", ")) == {path.stem for path in (ROOT / "alexnet_pl" / folder).glob("[!_]*.py")}


def test_the_section_index_points_at_files_that_are_there() -> None:
    index = README[README.index("## Where is what") : README.index("    alexnet_pl/\n")]
    files = re.findall(r"`((?:data/|figures/)?\w+\.py)`", index)
    assert len(files) > 10
    assert not [name for name in files if not (ROOT / "alexnet_pl" / name).is_file()]


def test_the_table_of_recipes_names_every_shipped_one() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)) == {p.stem for p in SHIPPED.glob("[!_]*.yaml")}


def test_every_switch_between_program_and_text_has_its_row_of_deviations() -> None:
    text = (ROOT / "DEVIATIONS.md").read_text()
    program, printed = (OmegaConf.load(SHIPPED / f"variant/{name}.yaml") for name in ("as_run", "as_printed"))
    switches = [
        f"{section}.{key}"
        for section in ("model", "augment", "optim")
        for key in program[section]
        if program[section][key] != printed[section][key]
    ]
    assert len(switches) == 11
    assert not [switch for switch in switches if f"`{switch}`" not in text]


def test_no_file_of_the_project_names_a_registry_or_a_machine() -> None:
    pattern = re.compile(r"https?://[^ \"]+/(simple|packages/[0-9a-f]{2})|/(work|root|home)/[a-z]")
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("*.toml"),
        *ROOT.glob("alexnet_pl/**/*.py"),
        ROOT / "requirements.lock.txt",
    ]:
        assert not pattern.search(path.read_text()), path
