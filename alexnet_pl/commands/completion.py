"""`completion SHELL`: print a script for bash, zsh or fish that completes commands, recipes and keys."""

from dataclasses import fields

from alexnet_pl.commands.registry import COMMANDS, Command
from alexnet_pl.commands.run_options import option_key
from alexnet_pl.config.known_keys import known_keys
from alexnet_pl.config.recipes import recipe_names
from alexnet_pl.errors import UserError

BASH = """\
_alexnet_pl() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} keys
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{commands}" -- "$word"))
  elif [ "$before" = -c ] || [ "$before" = --config ]; then
    COMPREPLY=($(compgen -W "{recipes}" -- "$word") $(compgen -f -- "$word"))
  else
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    COMPREPLY=($(compgen -S = -W "$keys" -- "$word"))
    [ "$COMP_CWORD" -eq 2 ] && [[ " {recipe_commands} " == *" ${{COMP_WORDS[1]}} "* ]] &&
      COMPREPLY+=($(compgen -W "{recipes}" -- "$word"))
    COMPREPLY+=($(compgen -f -- "$word"))
    [[ ${{COMPREPLY[0]}} == *= ]] && type compopt > /dev/null 2>&1 && compopt -o nospace
  fi
}}
complete -F _alexnet_pl alexnet_pl
"""
FISH = """\
complete -c alexnet_pl -n __fish_use_subcommand -f -a "{commands}"
complete -c alexnet_pl -s c -l config -r -a "{recipes}"
complete -c alexnet_pl -n "{fish_recipe}" -a "{recipes}"
{fish_keys}
"""
ZSH = """\
autoload -Uz compinit bashcompinit && compinit && bashcompinit
compopt() {{ :; }}
"""  # bashcompinit has `complete` and `compgen` but no `compopt`; keys end in `=` without a space by -o nospace
SCRIPTS = {
    "bash": BASH,
    "zsh": ZSH + BASH.replace("complete -F", "complete -o nospace -F"),
    "fish": FISH,
}


USAGE = """\
usage: alexnet_pl completion bash|zsh|fish

Print a script that completes commands, recipes and keys, for a shell's start-up file:
  eval "$(alexnet_pl completion bash)"            in ~/.bashrc
  eval "$(alexnet_pl completion zsh)"             in ~/.zshrc
  alexnet_pl completion fish | source             in ~/.config/fish/config.fish"""


def completion(shell: str) -> str:
    if shell in ("-h", "--help"):
        return USAGE
    if shell not in SCRIPTS:
        raise UserError(f"completion: choose a shell: {', '.join(SCRIPTS)}")
    keys = {name: command_keys(command) for name, command in COMMANDS.items()}
    by_recipe = " ".join(name for name, one in COMMANDS.items() if not (one.options or one.default_recipe))
    return SCRIPTS[shell].format(
        commands=" ".join([*COMMANDS, "completion"]),
        recipes=" ".join(recipe_names()),
        recipe_commands=by_recipe,
        fish_recipe=f"test (count (commandline -opc)) -eq 2; and __fish_seen_subcommand_from {by_recipe}",
        cases="\n".join(f'      {name}) keys="{" ".join(own)}" ;;' for name, own in keys.items()),
        fish_keys="\n".join(fish_line(name, own) for name, own in keys.items()),
    )


def command_keys(command: Command) -> list[str]:
    """Keys that a command reads, without those of whole sections."""
    if command.options:
        return [option_key(one) for one in fields(command.options)]
    known = known_keys()
    sections = {key.rpartition(".")[0] for key in known}
    read = (key for key in known - sections if key in command.keys or key.partition(".")[0] in command.keys)
    return sorted({*read, "variant", "hydra.run.dir"})


def fish_line(name: str, keys: list[str]) -> str:
    words = " ".join(f"{key}=" for key in keys)
    return f'complete -c alexnet_pl -n "__fish_seen_subcommand_from {name}" -a "{words}"'
