"""Files that a sweep chooses: `variant=as_run,as_printed`."""

from collections.abc import Iterable
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, ValueType

from alexnet_pl.config.recipes import open_hydra
from alexnet_pl.errors import UserError

LISTED = (ValueType.SIMPLE_CHOICE_SWEEP, ValueType.CHOICE_SWEEP)
MAX_COMBINATIONS = 256  # of files; each takes a tenth of a second


def find_swept_files(recipe: Path, words: Iterable[str]) -> list[list[str]]:
    """Overrides of jobs that together include every file that a sweep over `words` can choose; one job if it chooses
    none. All combinations are listed, since the files that one choice includes may depend on another. Swept values
    that choose no file are left out."""
    with open_hydra(recipe) as hydra:
        loader: Any = hydra.config_loader
        parsed, files = loader._parse_overrides_and_create_caching_repo(recipe.stem, [*words])
        groups = [files.group_exists(word.key_or_group) for word in parsed]
    choices = {word.get_key_element(): list_choices(word, group) for word, group in zip(parsed, groups, strict=True)}
    count = prod(len(one) for one in choices.values() if one)
    if count > MAX_COMBINATIONS:
        raise UserError(f"{recipe}: the sweep combines files in {count} ways; at most {MAX_COMBINATIONS} are checked")
    return [list(job) for job in product(*filter(None, choices.values()))]


def list_choices(word: Override, chooses_file: bool) -> list[str]:
    """Words of the jobs for one word of a sweep; none if it is swept over values that are no files."""
    key = word.get_key_element()
    if not word.is_sweep_override():
        return [str(word.input_line)]
    if not chooses_file:
        return []
    if word.value_type not in LISTED:
        raise UserError(f"{word.input_line}: write the names, with commas between them: each file is checked")
    return [f"{key}={name}" for name in word.sweep_string_iterator()]
