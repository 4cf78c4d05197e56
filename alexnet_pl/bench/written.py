"""docs/benchmarks.md, from the JSON of `bench` and `bench prepare`: a section a file, nothing typed by hand."""

import json
import os
from pathlib import Path
from typing import Any

from tabulate import tabulate

from alexnet_pl.bench import table
from alexnet_pl.bench.gates import judged
from alexnet_pl.config_migration import migrate
from alexnet_pl.errors import UserError

HEAD = """# Benchmarks

Written by `python -m alexnet_pl bench report json={names}` from what `bench` measured; no number is typed.
Contenders take turns, once a round, and the median of the rounds counts: ratios of one run can be trusted on a machine
that others use too, the rates themselves less. Every contender has its own defaults; ours are the recipe's. Of a loader
whose rounds differ by more than twice, a gate takes the fastest.
"""
GRAPHED = " A step of ours by itself is a CUDA graph; stock PyTorch computes convolutions in TF32, its default."
NO_GPU = "On a GPU: not yet measured."


def write(paths: list[Path], to: Path) -> None:
    found = [read(path) for path in paths]
    names = ",".join(os.path.relpath(path) for path in paths)
    parts = [HEAD.format(names=f"[{names}]" if len(paths) > 1 else names)]
    for path, each in zip(paths, found, strict=True):
        parts.append(training(each, path, to.absolute().parent) if each["stage"] == "train" else preparing(each))
    if not any(each["machine"]["gpu"] for each in found):
        parts.append(NO_GPU + "\n")
    to.write_text("\n".join(parts))


def read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        if found["stage"] not in ("train", "prepare"):
            raise ValueError(f"stage {found['stage']}")
        return found
    except OSError as error:
        raise UserError(f"bench.output={path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"bench.output={path}: no figures of bench ({error})") from error


def about(found: dict[str, Any]) -> str:
    told = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    return (
        f"{told['cpu']}, {told['cores']} cores, GPU: {told['gpu'] or 'none'}, load {told['load']} before it began; "
        f"Python {told['python']}, {versions}. Photographs: {found['photographs']}."
    )


def preparing(found: dict[str, Any]) -> str:
    rates = [
        (name, f"{rate['median']:,.0f}", f"{rate['low']:,.0f} to {rate['high']:,.0f}")
        for name, rate in found["images_per_second"].items()
    ]
    ratios = [(name, f"{ratio:.2f}") for name, ratio in found["ratios"].items()]
    return "\n".join(
        [
            f"## Preparing a store: {found['machine']['cpu']}\n",
            about(found) + f" {found['images']:,} of them to 256 × 256, {found['workers']} workers.\n",
            rows(("", "images/s", "slowest to fastest round"), rates),
            rows(("ratio", "times"), ratios),
        ]
    )


def training(found: dict[str, Any], path: Path, base: Path) -> str:
    told, stage = found["machine"], found["stages"]
    size, picture = stage["batch_size"], path.with_suffix(".png")
    parts = [
        f"## Training: {told['gpu'] or told['cpu']}\n",
        f"{about(found)} {found['rounds']} rounds.\n",
        f"Ours: {settings(found['recipe'])}; {stage['precision']} unless said otherwise. Stock PyTorch: the same "
        "network of PyTorch's own functions, eager, channels first, `torch.optim.SGD`, its memory as PyTorch has it. "
        f"Loaders: {told['cores']} worker processes or threads each.{GRAPHED if told['gpu'] else ''}\n",
        rows(("gate", "found", "wanted", ""), table.gated(judged(found))),
        f"![rates and stages]({os.path.relpath(picture, base)})\n" if picture.is_file() else "",
        f"A step of {size} images, {stage['device']}, {stage['precision']}, beside the floor that bytes over bandwidth "
        "and operations over the rate of a large product set, both measured in the same run:\n",
        rows(("stage", "ms", "floor, ms"), table.staged(stage)),
        rows(("images to the network", "images/s", "slowest to fastest round"), table.fed(found)),
        rows(
            ("a store that is not in memory yet", "images/s", "slowest to fastest round"), table.ranged(found["cold"])
        ),
        rows((f"step of {size} images", "ms", "images/s"), table.stepped(found["steps"], size)),
        *(
            rows((f"step of {name} images", "ms", "images/s"), table.stepped(each, int(name)))
            for name, each in found.get("batches", {}).items()
        ),
        rows(("response normalisation", "ms"), [(name, f"{1e3 * s:,.1f}") for name, s in found["norms"].items()]),
        rows(("the trainer beyond the bare loop", "µs a step"), costs(found)),
        "\n".join(f"- {line.strip()}" for line in (*table.ended(found), *table.projected(found))) + "\n",
    ]
    return "\n".join(part for part in parts if part)


def costs(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(name, f"{rate['median']:,.0f}") for name, rate in found["trainer"].items()]


def settings(recipe: dict[str, Any]) -> str:
    """What of the recipe decides the speed."""
    return ", ".join(
        f"`performance.{key}={str(value).lower()}`" for key, value in migrate(recipe)["performance"].items()
    )


def rows(headings: tuple[str, ...], found: list[tuple[str, ...]]) -> str:
    align = ("left", *("right" for _ in headings[1:]))
    return tabulate(found, headings, "pipe", disable_numparse=True, colalign=align) + "\n"
