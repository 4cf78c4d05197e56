"""Bad input on the command line: every key with every kind of wrong value, and recipes that are damaged.

As it should be: exit code 0, or 2 with one line that starts with "alexnet_pl:"; no traceback, and an end in time.
"""

import random
from pathlib import Path

from forks import run
from tally import Tally
from workload import Workplace

WRONG = ("nan", "inf", "-1", "0", "1.5", "1e30", "abc", "null", "true", "[]", "[abc]", "{a: 1}", "''", "../x", "é☃")
FIT = (
    "data.name=tiny", "data.size=72", "augment.crop=67", "data.batch_size=16", "logger=csv", "model.num_classes=4",
    "performance.compile=false", "trainer.max_steps=1", "trainer.limit_val_batches=1", "trainer.max_epochs=1",
)  # fmt: skip
SKIPPED = ("prepare.", "bench.", "codes.", "hydra.", "command", "defaults")  # read by other commands than `fit`
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


def cases(store: Path, folder: Path) -> list[list[str]]:
    """argv of each case."""
    from alexnet_pl.config.recipes import known_keys

    fit = ["fit", "-c", "imagenette", f"data.root={store}", f"hydra.run.dir={folder / 'run'}", *FIT]
    keys = sorted(key for key in known_keys() if not key.startswith(SKIPPED))
    found = [[*fit, f"{key}={value}"] for key in keys for value in WRONG]
    for name, content in RECIPES.items():
        (folder / name).write_bytes(content)
        found.append(["fit", "-c", str(folder / name), f"hydra.run.dir={folder / 'run'}"])
    return found + [[*fit, word] for word in EXTRA]


def campaign(place: Workplace, tally: Tally, whole: bool) -> None:
    folder = place.fresh("bad_input")
    folder.mkdir()
    every = cases(place.store(72), folder)
    tally.facts["of"] = len(every)
    draw = random.Random(tally.seed)
    for argv in draw.sample(every, len(every) if whole else 8):
        ended = run(argv, place.output)
        recipe = len(argv) < 5
        what = argv[2] if recipe else argv[-1]
        tally.note(what, "" if ended.well else f"exit code {ended.code}: {ended.last_line}")
        tally.count("a damaged recipe" if recipe else "a wrong value")
