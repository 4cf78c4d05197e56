"""Help and shell completion list every command, recipe and key."""

import re
import shutil
import subprocess
import textwrap
from dataclasses import fields
from pathlib import Path

import pytest
from command_line import alexnet_pl
from omegaconf import DictConfig, OmegaConf

from alexnet_pl import __version__
from alexnet_pl.commands import registry, run_options
from alexnet_pl.commands.completion import command_keys
from alexnet_pl.commands.help import command_help, fit_to_terminal, usage, wrap_lines
from alexnet_pl.config.recipes import compose, recipe_names
from alexnet_pl.config.run_config import KNOWN


@pytest.mark.parametrize("name", registry.COMMANDS)
def test_every_command_exists_and_its_help_lists_its_keys(name: str) -> None:
    """Each target is a function of its module; each key is a section of a config with a comment."""
    command = registry.find(name)
    for target in (command.function, *command.targets_by_kind.values()):
        module, function = target.split(":")
        source = (Path(registry.__file__).parent / f"{module}.py").read_text()
        assert f"\ndef {function}(" in source
    assert {key.partition(".")[0] for key in command.keys} <= set(KNOWN)
    text = command_help(command)
    assert all(f"  {part}:" in text for key in command.keys for part in key.split("."))
    if command.options:
        assert all(f"\n  {run_options.option_key(one)}=" in text for one in fields(command.options))
    assert all(example.split()[0] == name for example in command.examples)


@pytest.mark.parametrize("name", [name for name, one in registry.COMMANDS.items() if one.takes == "recipe"])
def test_help_lists_each_key_once_with_the_value_of_the_shipped_config(name: str) -> None:
    """A section may be spread over several files of configs/. OmegaConf refuses YAML with a key twice."""
    text = command_help(registry.find(name)).partition("Config keys:\n")[2].partition("\n\n")[0]
    listed = OmegaConf.create(textwrap.dedent(text))
    assert isinstance(listed, DictConfig)
    if name == "fit":
        assert listed.schedule == compose("ilsvrc2012").schedule
        assert listed.model == compose("ilsvrc2012").model
    mappings = [line for line in text.splitlines() if ": {" in line]
    assert not [line for line in mappings if len(line) > 120 or line.count("# ") > 1]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_long_lines_are_broken_at_the_width_of_a_terminal(width: int) -> None:
    for name in registry.COMMANDS:
        text = command_help(registry.find(name))
        wrapped = wrap_lines(text, width)
        assert re.sub(r"[\s#]+", " ", wrapped) == re.sub(r"[\s#]+", " ", text), "no word is lost"
        for line in wrapped.splitlines():
            whole = line in text.splitlines()  # without a description: commands and usage, to copy
            assert len(line) <= width or whole, line
    wanted = ["    size: 256  # §3: side of the stored", "               # square images"]
    assert wrap_lines("    size: 256  # §3: side of the stored square images", 40).splitlines() == wanted


def test_usage_fits_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = usage()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    wrapped = fit_to_terminal(usage())
    assert max(map(len, wrapped.splitlines())) <= 80
    assert wrapped.split() == whole.split(), "no word is lost or broken"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_offers_commands_recipes_and_keys(shell: str, tmp_path: Path) -> None:
    script = alexnet_pl("completion", shell, cwd=tmp_path).stdout
    for word in (*registry.COMMANDS, *recipe_names(), "optim.lr"):
        assert re.search(rf"[ \"]{re.escape(word)}[ =\"]", script), word
    if not (found := shutil.which(shell)):
        pytest.skip(f"this machine has no {shell}, which must accept the script")
    assert subprocess.run([found, "-n"], input=script, text=True, capture_output=True).stderr == ""


def test_bash_completion_works_in_bash(tmp_path: Path) -> None:
    script = alexnet_pl("completion", "bash", cwd=tmp_path).stdout
    ask = 'COMP_WORDS=({}); COMP_CWORD={}; _alexnet_pl 2>/dev/null; echo "${{COMPREPLY[@]}}"'
    typed = {"alexnet_pl rep": "reproduce report", "alexnet_pl fit -c imagen": "imagenette"}
    typed |= {"alexnet_pl fit optim.momen": "optim.momentum=", "alexnet_pl export runs/demo form": "format="}
    typed |= {"alexnet_pl fit imagen": "imagenette", "alexnet_pl reproduce -m overfeat_acc": ""}
    typed |= {"alexnet_pl report optim.momen": "", "alexnet_pl report imagen": ""}  # not of this command
    typed["alexnet_pl fit seed=1 imagen"] = ""  # a recipe comes first
    for words, wanted in typed.items():
        line = ask.format(words, len(words.split()) - 1)
        done = subprocess.run(["bash", "-c", f"{script}\n{line}"], capture_output=True, text=True)
        assert done.stdout.strip() == wanted, done.stderr


def test_bash_completion_works_without_compopt(tmp_path: Path) -> None:
    """macOS's bash 3.2 has none."""
    script = alexnet_pl("completion", "bash", cwd=tmp_path).stdout
    line = "enable -n compopt; COMP_WORDS=(alexnet_pl fit optim.momen); COMP_CWORD=2; _alexnet_pl; echo $COMPREPLY"
    done = subprocess.run(["bash", "-c", f"{script}\n{line}"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("optim.momentum=\n", "")


def test_zsh_completion_loads_what_bashcompinit_needs_and_lacks(tmp_path: Path) -> None:
    """`complete` calls compdef, which compinit defines. There is no compopt, so keys get no space by an option of
    `complete`. Run in bash, with functions in place of zsh's."""
    script = alexnet_pl("completion", "zsh", cwd=tmp_path).stdout
    functions = """
        autoload() { :; }
        compinit() { compdef() { :; }; }
        bashcompinit() { complete() { compdef || exit 1; echo "$@"; }; enable -n compopt; }
    """
    ask = "COMP_WORDS=(alexnet_pl fit logge); COMP_CWORD=2; _alexnet_pl; echo ${COMPREPLY[@]}"
    call = ["bash", "-c", f"enable -n complete; {functions}\n{script}\n{ask}"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("-o nospace -F _alexnet_pl alexnet_pl\nlogger=\n", "")


def test_help_names_the_keys_of_the_fits_that_a_command_starts() -> None:
    """`reproduce` and the members of `ensemble` are fits, so the words of a fit apply to them."""
    fit = {*registry.FIT, "objective", "logger", "wandb", "monitor", "transfer"}
    for name in ("fit", "reproduce", "ensemble"):
        assert fit <= {*registry.COMMANDS[name].keys}
        assert "transfer.data_roots.fall2011" in command_keys(registry.COMMANDS[name])


def test_usage_names_the_flag_that_prints_the_version(tmp_path: Path) -> None:
    assert "alexnet_pl --version\n" in usage()
    assert alexnet_pl("--version", cwd=tmp_path).stdout == f"alexnet_pl {__version__}\n"


def test_completion_refuses_an_unknown_shell(tmp_path: Path) -> None:
    done = alexnet_pl("completion", "csh", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "alexnet_pl: completion: choose a shell: bash, zsh, fish\n")
