"""`completion SHELL`: print a script for bash, zsh or fish that completes commands, recipes and keys."""

from alexnet_pl.commands.registry import COMMANDS
from alexnet_pl.config.recipes import known_keys, recipe_names
from alexnet_pl.errors import UserError

BASH = """\
_alexnet_pl() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{commands}" -- "$word"))
  elif [ "$before" = -c ] || [ "$before" = --config ]; then
    COMPREPLY=($(compgen -W "{recipes}" -- "$word") $(compgen -f -- "$word"))
  else
    COMPREPLY=($(compgen -S = -W "{keys}" -- "$word") $(compgen -f -- "$word"))
    [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace
  fi
}}
complete -F _alexnet_pl alexnet_pl
"""
FISH = """\
complete -c alexnet_pl -n __fish_use_subcommand -f -a "{commands}"
complete -c alexnet_pl -s c -l config -r -a "{recipes}"
complete -c alexnet_pl -n "not __fish_use_subcommand" -a "{fish_keys}"
"""
SCRIPTS = {"bash": BASH, "zsh": "autoload -U +X bashcompinit && bashcompinit\n" + BASH, "fish": FISH}


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
    keys = sorted(known_keys() | {"variant", "hydra.run.dir"})
    words = {
        "commands": " ".join([*COMMANDS, "completion"]),
        "recipes": " ".join(recipe_names()),
        "keys": " ".join(keys),
        "fish_keys": " ".join(f"{key}=" for key in keys),
    }
    return SCRIPTS[shell].format(**words)
