"""Run the command line on many bad inputs, each in a fork of one process that has imported everything.

    python tests/campaign/bad_input.py STORE FOLDER SHARE SEED

SHARE of all cases (1: every one), chosen by SEED, on the store STORE; prints a line for each case that is not answered
as it should be, and last how many there were. As it should be: exit code 0, or 2 with one line that starts with
"alexnet_pl:"; no traceback, and an end within a minute.
"""

import os
import random
import sys
import time
from pathlib import Path

WRONG = ("nan", "inf", "-1", "0", "1.5", "1e30", "abc", "null", "true", "[]", "[abc]", "{a: 1}", "''", "../x", "é☃")
SECONDS = 60.0
FIT = (
    "data.name=tiny", "data.size=72", "augment.crop=67", "data.batch_size=16", "logger=csv", "model.num_classes=10",
    "performance.compile=false", "trainer.max_steps=1", "trainer.limit_val_batches=1", "trainer.max_epochs=1",
)  # fmt: skip
SKIPPED = ("prepare.", "bench.", "codes.", "hydra.", "command", "defaults")  # read by other commands than `fit`
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
    """argv of each case. Every key of the recipes by every wrong value; recipes that are damaged."""
    from alexnet_pl.config.overrides import known_keys

    fit = ["fit", "-c", "imagenette", f"data.root={store}", f"hydra.run.dir={folder / 'run'}", *FIT]
    keys = sorted(key for key in known_keys() if not key.startswith(SKIPPED))
    found = [[*fit, f"{key}={value}"] for key in keys for value in WRONG]
    for name, content in RECIPES.items():
        (folder / name).write_bytes(content)
        found.append(["fit", "-c", str(folder / name), f"hydra.run.dir={folder / 'run'}"])
    extra = ["=5", "+=5", "hydra.run.dir=/dev/null/x", "seed=4294967296", "trainer.devices=99", "+trainer.num_nodes=2"]
    return found + [[*fit, word] for word in extra]


def run_in_fork(argv: list[str], output: Path) -> tuple[int | None, str]:
    """(exit code, what was printed); None where it did not end in time."""
    pid = os.fork()
    if pid == 0:
        run_here(argv, output)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), output.read_text(errors="replace")
        time.sleep(0.01)
    os.killpg(pid, 9)
    os.waitpid(pid, 0)
    return None, output.read_text(errors="replace")


def run_here(argv: list[str], output: Path) -> None:
    from alexnet_pl.cli.main import main

    os.setsid()
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["alexnet_pl", *argv]
    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def is_answered_well(code: int | None, text: str) -> bool:
    told = [line for line in text.splitlines() if line.startswith("alexnet_pl: ")]
    return "Traceback" not in text and (code == 0 or (code == 2 and len(told) == 1))


def main() -> None:
    store, folder, share, seed = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])

    os.chdir(folder)
    every = cases(store, folder)
    chosen = random.Random(seed).sample(every, round(share * len(every)))
    bad = 0
    for argv in chosen:
        code, text = run_in_fork(argv, folder / "output.txt")
        if not is_answered_well(code, text):
            bad += 1
            last = (text.splitlines() or [""])[-1]
            print(f"{argv[2] if len(argv) < 5 else argv[-1]}: exit code {code}: {last}", flush=True)
    print(f"{len(chosen)} of {len(every)} cases, seed {seed}: {bad} not answered well", flush=True)
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
