"""`figures`: of each run folder what can be drawn of it, and of what cannot, why and which command makes it.

Runs of Figure 1's network go into one figure and its page (figure1.py). Of every other run come RUN/figures/ with PNG
and SVG, light and dark, and RUN/figures.md, the page that shows them.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from alexnet_pl.errors import UserError
from alexnet_pl.figures import figure1
from alexnet_pl.figures.page import page
from alexnet_pl.figures.pictures import PICTURES
from alexnet_pl.figures.theme import save
from alexnet_pl.telling import say
from alexnet_pl.trained import Trained, read_config

KEYS = {"out": "", "data.root": "", "photographs": "true"}
USE = "figures RUN [RUN ...] [out=FOLDER] [data.root=STORE] [photographs=false]"


def figures(words: list[str]) -> None:
    """Everything after the command's name. Raises UserError where nothing at all could be drawn."""
    folders, keys = parse(words)
    runs, others = find_runs(folders)
    if not runs and not others:
        raise UserError(f"{', '.join(map(str, folders))}: no run folder in there, with metrics.csv or checkpoints")
    command = " ".join(Path(word).name if Path(word) in folders else word for word in words)
    problems = []
    for run in runs:
        alone = len(runs) == 1 and not others
        own = Path(keys["out"], "" if alone else run.name) if keys["out"] else run / "figures"
        try:
            draw(Trained(run, keys["data.root"] or None), own, keys["photographs"] == "true", command)
        except UserError as error:  # the other runs are drawn all the same
            problems.append(error)
    for error in problems if len(problems) < len(runs) else []:
        print(f"not drawn: {error}", flush=True)
    if others:
        print(f"→ {figure1.write(folders, Path(keys['out'] or 'docs'))}", flush=True)
    elif len(problems) == len(runs):
        raise problems[0]


def parse(words: list[str]) -> tuple[list[Path], dict[str, str]]:
    given = dict(word.split("=", 1) for word in words if "=" in word and not word.startswith("-"))
    folders = [Path(word) for word in words if "=" not in word and not word.startswith("-")]
    if flags := [word for word in words if word.startswith("-")]:
        raise UserError(f"{' '.join(flags)}: {USE}")
    if unknown := sorted(set(given) - set(KEYS)):
        raise UserError(f"{unknown[0]}: there is no such key; {USE}")
    if not folders:
        raise UserError(f"figures: of which run folders? {USE}")
    if given.get("photographs", "true") not in ("true", "false"):
        raise UserError(f"photographs={given['photographs']}: true or false")
    return folders, {**KEYS, **given}


def find_runs(folders: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """(runs that are drawn each by itself, runs of Figure 1's network) among `folders` and all below them."""
    found: dict[Path, bool] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder")
        for path in sorted(folder.rglob(".hydra/config.yaml")):
            run = path.parent.parent
            if (run / "metrics.csv").is_file() or (run / "checkpoints").is_dir():
                found[run] = read_config(run).model.get("name") == "conv"
    return [run for run, conv in found.items() if not conv], [run for run, conv in found.items() if conv]


def draw(run: Trained, out: Path, photographs: bool, command: str) -> None:
    """All of one run, and the page beside `out`."""
    drawn, missing = {}, {}
    for name, (title, make) in PICTURES.items():
        try:
            picture = make(run, photographs)
        except UserError as error:
            missing[title] = str(error)
            print(f"not drawn: {title}: {error}", flush=True)
            continue
        save(picture.drawing, out / name)
        if picture.data is not None:
            (out / f"{name}.json").write_text(json.dumps(picture.data, indent=1) + "\n")
        print(f"{title}: {picture.said}", flush=True)
        drawn[name] = (title, picture.caption)
    if not drawn:
        raise UserError(f"{run.folder}: nothing can be drawn yet; {next(iter(missing.values()))}")
    path = out.with_name(f"{out.name}.md")
    path.write_text(page(run, drawn, missing, out.name, command))
    say(f"{len(drawn)} figures as PNG and SVG, light and dark, in {out}", path)
