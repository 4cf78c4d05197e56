"""CIFAR-10: §4.3 with the authors' whole schedule, 13 % without response normalization and 11 % with it; Figure 1."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from alexnet_pl.config import recipes
from studies.run import Run, Study, alexnet_pl

NETWORKS = ("13pct", "11pct")
WITHOUT_NORMS = "model.norm=false"  # in the network of 11 %: the effect of its norms alone
SEEDS = (0, 1, 2, 3, 4)
SEEDS_OF_NORMS = SEEDS[:3]  # hours each
TENTH = (  # of the schedule of both networks
    "trainer.max_epochs=52",
    "data.include_val_after_epoch=35",
    "schedule.steps.drops=[51,52]",
)
RATES = {"relu": (0.001, 0.002, 0.004, 0.008), "tanh": (0.004, 0.008, 0.016, 0.032)}  # one of each is the recipe's
FASTER = (  # than the recipe: half the time in bfloat16 on a CPU that computes in it, and a tenth of it in validation
    "trainer.precision=auto",
    "+trainer.check_val_every_n_epoch=10",
)
VIEWS = ("test.views=ten", "test.views=center")  # besides the recipes' nine


def planned_runs(seeds: Sequence[int]) -> Iterator[Run]:
    for seed in seeds:
        for network in NETWORKS if seed in SEEDS_OF_NORMS else ():
            yield Run("cifar10-tenth", network, seed, f"cifar10_{network}", "cifar10", (*FASTER, *TENTH))
            yield Run("cifar10", network, seed, f"cifar10_{network}", "cifar10", FASTER, VIEWS)
        for activation in RATES:
            override = f"model.activation={activation}"
            yield Run("figure1", activation, seed, "cifar10", "cifar10", (override,))
    yield from search_runs()
    yield from runs_without_norms(seeds)


def runs_without_norms(seeds: Sequence[int]) -> Iterator[Run]:
    for part, schedule, tests in (("cifar10-tenth", (*FASTER, *TENTH), ()), ("cifar10", FASTER, VIEWS)):
        for seed in seeds:
            if seed in SEEDS_OF_NORMS:
                overrides = (*schedule, WITHOUT_NORMS)
                yield Run(part, "11pct-without-norms", seed, "cifar10_11pct", "cifar10", overrides, tests)


def search_runs() -> Iterator[Run]:
    """Fits of Figure 1's networks with other rates, each until its training error is 25 %, or for 60 epochs."""
    chosen = recipes.compose("cifar10").schedule.lr_by_activation
    for activation, rates in RATES.items():
        for rate in rates:
            if rate != chosen[activation]:
                overrides = (f"model.activation={activation}", f"optim.lr={rate}", "trainer.max_epochs=60")
                name = f"{activation}-{rate}"
                yield Run("figure1-search", name, 0, "cifar10", "cifar10", overrides, is_tested=False)


def prepare_store(source: Path | None, root: Path) -> None:
    alexnet_pl(root, "prepare", "-c", "cifar10", f"prepare.source={source}", "data.root=cifar10")


CIFAR10 = Study(
    "CIFAR-10",
    "cifar10",
    "cifar-10-python.tar.gz, or the folder unpacked from it",
    ("cifar10-tenth", "cifar10", "figure1", "figure1-search"),
    SEEDS,
    planned_runs,
    prepare_store,
)
