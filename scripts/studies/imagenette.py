"""Imagenette: whether the two GPUs' kernels specialize at the paper's crop of 224 pixels (§7.1, Figure 3), and
OverFeat's comparisons of dense tests."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from studies.run import Run, Script, Study, alexnet_pl

SIZE = ("data.size=256", "augment.crop=224")  # §3 and §5.1
SCHEDULE = ("schedule.name=steps", "+schedule.steps.drops=[36,42]", "trainer.max_epochs=45")  # 3,285 steps


def planned_runs(seeds: Sequence[int]) -> Iterator[Run | Script]:
    for seed in seeds:
        yield Run(
            "specialization", "network", seed, "imagenette", "imagenette256", (*SIZE, "+model.width=0.25", *SCHEDULE)
        )
    yield Script("overfeat", "overfeat.sh", ("imagenette", "overfeat"), names=("seed1", "seed2", "seed3"))


def prepare_store(source: Path | None, root: Path) -> None:
    assert source is not None
    link = root / "imagenette"
    link.unlink(missing_ok=True)
    link.symlink_to(source)
    alexnet_pl(root, "prepare", "-c", "imagenette", "prepare.source=imagenette", "data.root=imagenette256")


IMAGENETTE = Study(
    "Imagenette",
    "imagenette",
    "Imagenette, unpacked",
    ("specialization", "overfeat"),
    (1, 2, 3, 4, 5),
    planned_runs,
    prepare_store,
)
