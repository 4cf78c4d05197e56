"""Bad-input campaign: every key with every kind of wrong value, and corrupt recipes.

Expected: exit code 0, or 2 with one line that starts with "alexnet_pl:"; no traceback, no timeout.
"""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from forks import run
from tally import Tally
from workload import Workplace, prepare_words

WRONG = ("nan", "inf", "-1", "0", "1.5", "1e30", "abc", "null", "true", "[]", "[abc]", "{a: 1}", "''", "../x", "é☃")
FIT = (
    "data.name=tiny", "data.size=72", "augment.crop=67", "data.batch_size=16", "logger=csv", "model.num_classes=4",
    "performance.compile=false", "trainer.max_steps=1", "trainer.limit_val_batches=1", "trainer.max_epochs=1",
)  # fmt: skip
SKIPPED = ("prepare.", "bench.", "codes.", "hydra.", "command", "defaults")  # keys read by commands other than `fit`
SLICE = {
    "a wrong value": 4,
    "a wrong value of prepare": 1,
    "a corrupt recipe": 2,
    "a wrong word": 1,
}  # cases in `make test`
WORDS = (["=5"], ["command=foo"], ["-c", "demo"], ["fitt"], ["fit"], ["fit", "-c", "nothing"], ["test", "-c", "."])
EXTRA = ("=5", "+=5", "hydra.run.dir=/dev/null/x", "seed=4294967296", "trainer.devices=99", "+trainer.num_nodes=2")
RECIPES = {
    "latin1.yaml": b"defaults: [_base, _self_]\ndata: {name: \xe9}\n",
    "unclosed.yaml": b"defaults: [_base, _self_]\ndata: {name: x\n",
    "tabs.yaml": b"data:\n\tname: x\n",
    "twice.yaml": b"defaults: [_base, _self_]\nseed: 1\nseed: 2\n",
    "tag.yaml": b"x: !!python/object/apply:os.system ['true']\n",
    "own_default.yaml": b"defaults: [own_default]\n",
    "circle.yaml": b"defaults: [circle_2]\n",
    "circle_2.yaml": b"defaults: [circle]\n",
    "contains_itself.yaml": b"data: &a {name: x, b: *a}\n",
    "interpolation.yaml": b"defaults: [_base, _self_]\nseed: ${seed}\n",
    "aliases.yaml": b"a: &a [x, x]\n" + b"".join(b"a%d: &a%d [*a, *a]\n" % (i, i) for i in range(40)),
    "null_section.yaml": b"defaults: [demo, _self_]\noptim: null\n",
    "number_section.yaml": b"defaults: [demo, _self_]\ntrainer: 3\n",
    "empty.yaml": b"",
    "list.yaml": b"- a\n",
    "bytes.yaml": bytes(range(256)),
}


def wrong_values(fit: list[str], draw: random.Random, values: int) -> Iterator[list[str]]:
    """argv for each key of `fit`, with `values` of the wrong values each."""
    from alexnet_pl.config.known_keys import known_keys

    for key in sorted(known_keys()):
        if not key.startswith(SKIPPED):
            yield from ([*fit, f"{key}={value}"] for value in draw.sample(WRONG, values))


def prepare_values(place: Workplace, folder: Path, draw: random.Random, values: int) -> Iterator[list[str]]:
    from alexnet_pl.config.known_keys import known_keys

    for key in sorted(known_keys()):
        if key.startswith("prepare."):
            words = prepare_words(place.images, folder / "store", 32)
            yield from ([*words, f"{key}={value}"] for value in draw.sample(WRONG, values))


def damaged_recipes(folder: Path) -> Iterator[list[str]]:
    for name, content in RECIPES.items():
        (folder / name).write_bytes(content)
        yield ["fit", "-c", str(folder / name), f"hydra.run.dir={folder / 'run'}"]


def campaign(place: Workplace, tally: Tally, whole: bool) -> None:
    folder, draw = place.fresh("bad_input"), random.Random(tally.seed)
    folder.mkdir()
    fit = ["fit", "-c", "imagenette", f"data.root={place.store(72)}", f"hydra.run.dir={folder / 'run'}", *FIT]
    kinds = {
        "a wrong value": list(wrong_values(fit, draw, 6)),
        "a wrong value of prepare": list(prepare_values(place, folder, draw, 4)),
        "a corrupt recipe": list(damaged_recipes(folder)),
        "a wrong word": [*([*fit, word] for word in EXTRA), *WORDS],
    }
    for kind, every in kinds.items():
        for argv in every if whole else draw.sample(every, SLICE[kind]):
            what = " ".join(argv[-3:]) if kind == "a corrupt recipe" else argv[-1]
            if not tally.wants(what):
                continue
            shutil.rmtree(folder / "run", ignore_errors=True)  # a new fit does not replace a run
            ended = run(argv, place.output)
            tally.note(what, "" if ended.well else f"exit code {ended.code}: {ended.last_line}", place.output)
            tally.count(f"{kind}, {'refused' if ended.code == 2 else 'allowed'}")
