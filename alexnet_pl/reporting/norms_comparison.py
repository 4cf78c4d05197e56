"""CIFAR-10 test errors without and with normalisation by seed (§4.3): `curves RUN [RUN ...] norms=true`.

"A four-layer CNN achieved a 13 % test error rate without normalization and 11 % with normalization." Runs of
configs/cifar10_13pct.yaml and cifar10_11pct.yaml that were tested, those within the folders included, as Markdown.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from alexnet_pl.config.run_config import read_own_keys
from alexnet_pl.console import pluralize
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.result import read_result
from alexnet_pl.paper.claims import BY_KEY
from alexnet_pl.runs.layout import CONFIG, RESULT

NORM_CLAIMS = {norm: BY_KEY[key].values["top1_error"] for norm, key in ((False, "cifar.13pct"), (True, "cifar.11pct"))}
SCHEDULE = 470  # epochs, of configs/cifar10_13pct.yaml
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
    """A tested run of the network; None for every other folder, and for a fit that was not finished."""
    config, result = folder / CONFIG, folder / RESULT
    if not (config.is_file() and result.is_file()):
        return None
    cfg: Any = OmegaConf.create(read_own_keys(config))
    if cfg.model.get("name") != "local":
        return None
    test = read_result(result)
    if not test.finished or test.images != test.dataset.images:
        return None
    split = f"{test.images:,} {test.dataset.split} images"
    course = (
        f"all images after {cfg.data.include_val_after_epoch} epochs, rates divided by ten with epochs "
        f"{' and '.join(map(str, cfg.schedule.steps.drops))}"
    )
    facts = f"{course}; {test.dataset.name} ({test.dataset.fingerprint[:12]}), {split}, {test.views} views"
    return CifarTest(bool(cfg.model.norm), cfg.trainer.max_epochs, cfg.seed, test.top1_error, facts)


def lines(runs: list[CifarTest]) -> Iterator[str]:
    """A table for each length of the schedule and set of images; only the whole schedule answers the claim."""
    for epochs, facts in sorted({(run.epochs, run.facts) for run in runs}, reverse=True):
        same = [run for run in runs if (run.epochs, run.facts) == (epochs, facts)]
        part = "" if epochs == SCHEDULE else f" of the {SCHEDULE} of the schedule"
        yield f"{pluralize(epochs, 'epoch')}{part}; {facts}:"
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
        raise UserError(f"norms=true: no finished and tested run of cifar10_13pct or cifar10_11pct in {where}")
    yield HEAD
    yield from lines(runs)
