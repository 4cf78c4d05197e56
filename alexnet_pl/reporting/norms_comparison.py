"""CIFAR-10 test errors without and with normalisation by seed (§4.3): `curves RUN [RUN ...] norms=true`.

"A four-layer CNN achieved a 13 % test error rate without normalization and 11 % with normalization." Runs of
configs/cifar10_13pct.yaml and cifar10_11pct.yaml that were tested, those within the folders included, as Markdown.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from alexnet_pl.config.migration import migrate_record
from alexnet_pl.config.run_config import read_own_keys
from alexnet_pl.console import pluralize
from alexnet_pl.errors import UserError
from alexnet_pl.runs.layout import CONFIG, RESULT

NORM_CLAIMS = {False: 13.0, True: 11.0}
HEAD = """# 13 % to 11 %: response normalisation on CIFAR-10

§4.3: "a four-layer CNN achieved a 13 % test error rate without normalization and 11 % with normalization." Written by
`python -m alexnet_pl curves RUN [RUN ...] norms=true`; nothing here is typed by hand.
"""


class CifarTest(NamedTuple):
    norm: bool
    epochs: int
    seed: int
    error: float
    facts: str


def tested(folder: Path) -> CifarTest | None:
    """A tested run of the network; None for every other folder."""
    config, result = folder / CONFIG, folder / RESULT
    if not (config.is_file() and result.is_file()):
        return None
    cfg: Any = OmegaConf.create(read_own_keys(config))
    if cfg.model.get("name") != "local":
        return None
    found = migrate_record(json.loads(result.read_text()))
    about, split = found["dataset"], f"{found['images']:,} {found['dataset']['split']} images"
    course = (
        f"all images after {cfg.data.include_val_after_epoch} epochs, rates divided by ten with epochs "
        f"{' and '.join(map(str, cfg.schedule.steps.drops))}"
    )
    facts = f"{course}; {about['name']} ({about['fingerprint'][:12]}), {split}, {found['views']} views"
    return CifarTest(bool(cfg.model.norm), cfg.trainer.max_epochs, cfg.seed, found["top1_error"], facts)


def lines(runs: list[CifarTest]) -> Iterator[str]:
    """A table for each length of the schedule, which only the whole one of 470 epochs answers the claim with."""
    for epochs in sorted({run.epochs for run in runs}, reverse=True):
        same = [run for run in runs if run.epochs == epochs]
        yield f"{pluralize(epochs, 'epoch')}{'' if epochs == 470 else ' of the 470 of the schedule'}; {same[0].facts}:"
        yield ""
        yield "| seed | without norms % | with norms % | difference |"
        yield "| ---: | ---: | ---: | ---: |"
        yield f"| paper | {NORM_CLAIMS[False]:g} | {NORM_CLAIMS[True]:g} | {NORM_CLAIMS[False] - NORM_CLAIMS[True]:g} |"
        errors = {(run.norm, run.seed): run.error for run in same}
        seeds = sorted({run.seed for run in same})
        for seed in seeds:
            pair = [errors.get((norm, seed)) for norm in (False, True)]
            yield row(str(seed), pair)
        both = [
            (errors[False, seed], errors[True, seed]) for seed in seeds if {(False, seed), (True, seed)} <= {*errors}
        ]
        if len(both) > 1:
            columns = [*zip(*both, strict=True), [without - normed for without, normed in both]]
            cells = " | ".join(f"{mean(column):.2f} ± {stdev(column):.2f}" for column in columns)
            yield f"| mean ± standard deviation | {cells} |"
        yield ""


def row(name: str, pair: list[float | None]) -> str:
    without, normed = pair
    difference = f"{without - normed:.2f}" if without is not None and normed is not None else ""
    cells = ["not yet measured" if error is None else f"{error:.2f}" for error in pair]
    return f"| {name} | {' | '.join(cells)} | {difference} |"


def norms_page(folders: list[Path]) -> Iterator[str]:
    """Raises UserError where no tested run of the network is in the folders or below them."""
    configs = [path for folder in folders for path in sorted(folder.rglob(CONFIG))]
    runs = [run for run in (tested(path.parent.parent) for path in configs) if run]
    if not runs:
        where = ", ".join(map(str, folders))
        raise UserError(f"norms=true: no tested run of cifar10_13pct or cifar10_11pct in {where}")
    yield HEAD
    yield from lines(runs)
