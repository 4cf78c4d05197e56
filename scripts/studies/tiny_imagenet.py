"""The paper's comparisons, and every deviation alone, on 100 classes of tiny-ImageNet; short codes of its network.

tiny-ImageNet is cs231n.stanford.edu's tiny-imagenet-200.zip, unpacked: train/<wnid>/images, val/images.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kept_runs import KEPT, keep_run

from alexnet_pl.paper.deviations import deviations
from alexnet_pl.runs.metrics_log import read_rows
from studies.run import Run, Script, Study, alexnet_pl

RATES = (0.005, 0.01, 0.02)
PAPER_RATE = 0.01
NOISE = 1.0  # points between errors on 5,000 images that may be chance: 1.5 times the standard error of a difference
SHORT = ("trainer.max_epochs=4", "schedule.steps.drops=[3]")  # overrides for a run that tunes the learning rate
MAIN = "tinyimagenet"
SCHEDULE = "steps"  # schedule.name of that recipe
DEVIATION_SEEDS = 3
LONG_SEEDS = 3
ENSEMBLE_PRETRAINED = (1, 2)  # seeds of the two pre-trained networks in "7 CNNs*"

ABLATIONS = {  # §4, §5, §6 and §8
    "norm": "model.norm=false",
    "towers": "model.towers=1",
    "overlap": "model.overlap=false",
    "noise": "augment.noise=0",
    "crops": "augment.random_crop=false augment.flip=false",
    "dropout": "model.dropout=0",
    "tanh": "model.activation=tanh",
    "zero-biases": "model.unit_biases=[]",
    "without-conv2": "model.without=conv2",
    "without-conv3": "model.without=conv3",
    "without-conv4": "model.without=conv4",
    "without-conv5": "model.without=conv5",
}
LONG = ("trainer.max_epochs=60", "schedule.steps.drops=[48,54]")  # overrides for networks that learn slowly
LONG_NETWORKS = {  # ten epochs are too few for overfitting, which dropout prevents (§5.2), and for small weights (§6)
    "network": (),
    "dropout": (ABLATIONS["dropout"],),
    "wide-init": ("model.wide_init=false",),
    "as-printed": ("variant=as_printed",),
}
CODES = tuple(  # as scripts/codes.sh names them
    f"{kind}-{bits}-{loss}-seed0"
    for bits in (28, 64, 128, 256)
    for kind, loss in (("fc7", "neighbors1"), ("fc7", "neighbors0"), ("pixels", "neighbors0"))
)
NO_DECAY = "optim.weight_decay=0"
TUNED = ("dropout", "tanh", "towers")  # ablations that change the effect of a learning rate


def planned_runs(seeds: Sequence[int]) -> Iterator[Run | Script]:
    """All runs in order: every network with one seed before the next seed."""
    yield from tuning_runs()
    for seed in seeds:
        yield from measured_runs(seed)
    network = full_network(1)
    yield Script("codes", "codes.sh", (f"runs/{network.folder}", "runs/codes", "0", "data.root=task"), CODES, network)


def tuning_runs() -> Iterator[Run]:
    """Runs that tune the learning rate: each rate for the full network and each tuned ablation, in a short fit without
    a tenth of the training images, which are used for validation."""
    for name in ("full", *TUNED):
        override = (ABLATIONS[name],) if name in ABLATIONS else ()
        for rate in RATES:
            words = (*override, f"optim.lr={rate}", *SHORT)
            yield Run("tuning", f"{name}-{rate}", 1, MAIN, "tune", words, is_tested=False)


def measured_runs(seed: int) -> Iterator[Run]:
    rate = tuned_rate("full")
    yield full_network(seed)
    for name, override in ABLATIONS.items():
        yield Run("ablations", name, seed, MAIN, "task", (*override.split(), *own_rate(name)))
    if seed <= DEVIATION_SEEDS:
        for one in deviations(SCHEDULE):
            name = one.key.split(".")[-1].split("=")[-1].replace("_", "-")
            yield Run("deviations", name, seed, MAIN, "task", (one.override, *rate))
    words = (NO_DECAY, *rate)  # §6 is about the training error, which metrics.csv has
    yield Run("decay", "none", seed, MAIN, "task", words, is_tested=False)
    if seed <= LONG_SEEDS:
        for name, override in LONG_NETWORKS.items():
            yield Run("long", name, seed, MAIN, "task", (*override, *own_rate(name), *LONG))
    others = Run("pretrained", "others", seed, "tinyimagenet_pretrain", "others", rate)
    yield others
    words = (*rate, f"transfer.weights=runs/{others.folder}")
    yield Run("pretrained", "finetuned", seed, "tinyimagenet_finetune", "task", words, needs=others)


def own_rate(name: str) -> tuple[str, ...]:
    return tuned_rate(name if name in TUNED else "full")


def full_network(seed: int) -> Run:
    return Run("full", "network", seed, MAIN, "task", tuned_rate("full"), tests=("test.views=center",))


def tuned_rate(name: str) -> tuple[str, ...]:
    """Override with the rate of lowest error on held-out images; empty if the paper's rate is as good."""
    errors = {rate: error for rate in RATES if (error := tuning_error(name, rate)) is not None}
    if len(errors) < len(RATES):
        return ()
    best = min(errors, key=lambda rate: errors[rate])
    return (f"optim.lr={best}",) if errors[best] < errors[PAPER_RATE] - NOISE else ()


def tuning_error(name: str, rate: float) -> float | None:
    """Top-1 error in percent at the end of a tuning run; None if it has not run."""
    path = KEPT / f"tuning/{name}-{rate}/seed1/metrics.csv"
    rows = read_rows(path) if path.is_file() else []
    errors = [row["val/top1_error"] for row in rows if "val/top1_error" in row]
    return errors[-1] if errors else None


def prepare_stores(source: Path | None, root: Path) -> None:
    assert source is not None
    link_classes(source, root / "classes")
    for store, recipe in (("task", MAIN), ("others", "tinyimagenet_pretrain"), ("tune", MAIN)):
        alexnet_pl(root, "prepare", "-c", recipe, f"prepare.source=classes/{store}", f"data.root={store}")


def link_classes(source: Path, root: Path) -> None:
    """Create class folders of symbolic links: `task` has every second class by wnid, `others` the classes between;
    `tune` has the training images of `task`, with every tenth as a validation image."""
    wnids = sorted(folder.name for folder in (source / "train").iterdir())
    annotations = (source / "val/val_annotations.txt").read_text(encoding="utf-8")
    labels = [line.split("\t")[:2] for line in annotations.splitlines()]
    for half, own in (("task", wnids[::2]), ("others", wnids[1::2])):
        for wnid in own:
            link(root / half / "train" / wnid, source / "train" / wnid / "images")
        for name, wnid in labels:
            if wnid in own:
                link(root / half / "val" / wnid / name, source / "val/images" / name)
    for wnid in wnids[::2]:
        for number, image in enumerate(sorted((source / "train" / wnid / "images").iterdir())):
            link(root / "tune" / ("train" if number % 10 else "val") / wnid / image.name, image)


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_symlink():
        path.symlink_to(target)


def average_all(root: Path) -> None:
    """Average the trained networks of those rows of Table 2 that have several."""
    networks = [Path(f"runs/full/network/seed{seed}") for seed in range(1, 6)]
    finetuned = [Path(f"runs/pretrained/finetuned/seed{seed}") for seed in ENSEMBLE_PRETRAINED]
    for name, members in (("5cnns", networks), ("7cnns", [*networks, *finetuned])):
        if all((root / member / "result.json").is_file() for member in members):
            average(root, name, members)


def average(root: Path, name: str, members: list[Path]) -> None:
    """Average the saved predictions of networks without running them again."""
    folder, joined = Path("runs/ensembles") / name, ",".join(map(str, members))
    alexnet_pl(
        root, "ensemble", "-c", MAIN, "data.root=task", f"ensemble.members=[{joined}]", f"hydra.run.dir={folder}"
    )
    keep_run(root / folder, KEPT / "ensembles" / name)


TINY_IMAGENET = Study(
    "tiny-ImageNet",
    "tinyimagenet",
    "tiny-imagenet-200, unpacked",
    ("tuning", "full", "ablations", "deviations", "decay", "long", "pretrained", "codes"),
    (1, 2, 3, 4, 5),
    planned_runs,
    prepare_stores,
    average_all,
)
