"""The command line: `alexnet_pl fit -c configs/ilsvrc2012.yaml optim.lr=0.02`.

Hydra composes the config and owns sweeps, launchers and run folders. This file turns our own conventions, a leading
command, `-c FILE` and `ckpt_path=last`, into Hydra's, then hands over. Everything else passes through untouched:
`-m`, `--cfg job`, `hydra/launcher=joblib`.
"""

import errno
import hashlib
import os
import re
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from alexnet_pl import __version__
from alexnet_pl.config_migration import check_overrides as check_renamed
from alexnet_pl.errors import UserError
from alexnet_pl.memory import ask_for_large_pages
from alexnet_pl.run_config import check_recipe, isolated_config

COMMANDS = {
    "prepare": "make a store from a copy of the images (prepare.source → data.root)",
    "verify": "check every byte of the store at data.root",
    "fit": "train; ckpt_path=last goes on with the newest run of the recipe",
    "validate": "errors on the validation images, centre view",
    "test": "errors with ten views (§5.1), written to result.json",
    "reproduce": "fit to the end and test; the same command again goes on where it stopped",
    "ensemble": "train and test what ensemble.groups lists, or take ensemble.members, and average (§7)",
    "predict": "class names and probabilities for predict.images=FILE_OR_FOLDER",
    "features": "activities of fc7 for every image of a split (§7.1), kept in the run folder",
    "retrieve": "the nearest training images to predict.images=FILE_OR_FOLDER, or to those that are tested (Figure 4)",
    "bench": "what each stage costs here; `bench prepare`: making a store",
    "report": "the paper's tables beside what the run folders under report.runs have measured",
    "dashboard": "the same and all curves as a W&B workspace and report, saved to wandb.project=… wandb.entity=…",
}
DEFAULTS = {
    "verify": "_base.yaml",
    "report": "_base.yaml",
    "dashboard": "_base.yaml",
    "bench": "ilsvrc2012.yaml",
}  # of commands without -c
READERS = {
    "figures": "Figures 2, 3, 4 and training curves of runs into RUN/figures/, Figure 1 of cifar10 runs into docs/",
    "page": "a local web page to try a run's network on pictures; port=7860 host=127.0.0.1",
}
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)  # what a person can mend
PATHS = (
    "data.root", "prepare.source", "prepare.synsets", "bench.output", "report.output", "predict.images", "ckpt_path",
    "transfer.weights", "hydra.run.dir", "hydra.sweep.dir", "codes.features", "retrieval.codes",
)  # fmt: skip
STORES = "transfer.data_roots."  # also paths
USERS = ("validate", "test", "predict", "features", "retrieve")  # of an earlier run's checkpoint
LATER = (
    "trainer.",
    "features.",
    "retrieval.",
    "monitor.",
    "wandb.entity=",
    "report.output=",
)  # keys that an older run folder may not mention
NAMELESS = ("data.root", "codes.features", "prepare.", "test.", "logger",
            "wandb.", "monitor.", "performance.", "hydra", "trainer.accelerator", "trainer.devices",
            "trainer.precision", STORES)  # fmt: skip
PACKAGE = Path(__file__).resolve().parent
SHIPPED = PACKAGE.parent / "configs" if (PACKAGE.parent / "configs/_base.yaml").is_file() else PACKAGE / "configs"


def usage() -> str:
    commands, readers = (
        "\n".join(f"  {name:<10} {what}" for name, what in some.items()) for some in (COMMANDS, READERS)
    )
    names = ", ".join(sorted(path.stem for path in SHIPPED.glob("[!_]*.yaml")))
    recipes = textwrap.fill(names, 100, subsequent_indent=" " * 23)
    return f"""usage: alexnet_pl COMMAND -c RECIPE [key=value ...] [hydra flags]
       alexnet_pl COMMAND RUN [RUN ...]

{commands}

{readers}

  -c RECIPE   a YAML file, the name of a shipped recipe, or a run folder (its own config again)
              shipped: {recipes}
  -m          sweep: `seed=1,2,3` runs three jobs, one after the other or by hydra/launcher=…
  --cfg job   print the composed config and run nothing

`alexnet_pl fit -c RECIPE --help` prints that recipe's keys. Start here: alexnet_pl fit -c demo
Exit codes: 0 done, 2 a mistake to mend (one line says which), 130 Ctrl-C and 143 SIGTERM (a fit has left last.ckpt:
the same command with ckpt_path=last goes on; a second signal ends it at once without), 1 a fault of the program."""


def to_hydra(argv: list[str]) -> list[str]:
    """Our argv (without the program's name) → Hydra's.

    An argv without a leading command is Hydra's already and is returned as it is. Lightning relies on that: under DDP
    it starts the other ranks with the argv it finds in `sys.argv`, which by then is the translated one.
    """
    if not argv or argv[0].startswith(("-", "+")) or "=" in argv[0]:
        return argv
    command, recipe, rest = argv[0], "", []
    if command not in COMMANDS:
        raise UserError(f"{command}: no such command; one of {', '.join([*COMMANDS, *READERS])}")
    words = iter(argv[1:])
    if command == "bench" and len(argv) > 1 and argv[1].isalpha():
        rest.append(f"bench.suite={next(words)}")
    for word in words:
        if word in ("-c", "--config"):
            recipe = next(words, "")
        elif word.startswith("--config="):
            recipe = word.removeprefix("--config=")
        else:
            rest.append(word)
    path = find_recipe(recipe) if recipe or command not in DEFAULTS else SHIPPED / DEFAULTS[command]
    flags = [word for word in rest if not is_override(word)]
    overrides = [word for word in rest if is_override(word)]  # Hydra wants them together, after its flags
    check_renamed(overrides)
    sweep = bool({"-m", "--multirun"} & set(flags))  # in which a comma parts values, of a path too
    composed = config_for_hydra(path)
    where = [f"--config-path={composed.parent}", f"--config-name={composed.stem}", f"--config-dir={SHIPPED}"]
    return [
        *where,
        *flags,
        f"++command={command}",
        *(addable(word, sweep) for word in fixed_folder(command, path, run_folder(command, path, overrides), sweep)),
    ]


def is_override(word: str) -> bool:
    """`key=value`, `+key=value`, `~key`: an override; `-m`, `--cfg`, and the `job` after it: Hydra's flags."""
    return word.startswith("~") or ("=" in word and not word.startswith("-"))


def addable(word: str, sweep: bool = False) -> str:
    """Let any option of Lightning's Trainer be given, also those that the recipes do not mention, and any path."""
    key, _, value = word.partition("=")
    if (
        (key in PATHS or key.startswith(STORES))
        and not sweep
        and value[:1] not in ("'", '"', "[", "$")
        and value != "null"
    ):
        return f"{key}={quoted(os.path.expanduser(value))}"
    return f"++{word}" if word.startswith(LATER) else word


def quoted(value: str) -> str:
    """A value in which Hydra reads no comma as a sweep and no brace as a list."""
    return "'" + value.replace("'", "\\'") + "'"


def find_recipe(name: str) -> Path:
    """Resolve `-c NAME`: a file or run folder here, else one shipped with the package (`configs/x.yaml`, `x`)."""
    if not name:
        raise UserError(
            "which recipe? add -c demo, -c configs/ilsvrc2012.yaml or a file of your own (--help lists them)"
        )
    for path in (Path(name), Path(name) / ".hydra/config.yaml", SHIPPED / f"{Path(name).stem}.yaml"):
        if path.is_file():
            return path.resolve()
    raise UserError(f"-c {name}: there is no such file here, and none of that name in {SHIPPED}")


def config_for_hydra(path: Path) -> Path:
    """The file that Hydra composes: a run folder's config without anything that Hydra would obey, a recipe as it is."""
    if path.parent.name == ".hydra":
        return isolated_config(path.parent.parent)
    if path.parent != SHIPPED:
        check_recipe(path)
    return path


def run_folder(command: str, recipe: Path, overrides: list[str]) -> list[str]:
    """Give a command that uses an earlier run that run's checkpoint and folder; leave others as they are.

    A config that was read from a run folder brings no settings for Hydra itself, so those are added.
    """
    again = recipe.parent.name == ".hydra"
    given = [word.removeprefix("ckpt_path=").strip("'\"") for word in overrides if word.startswith("ckpt_path=")]
    rest = [word for word in overrides if not word.startswith("ckpt_path=")]
    wanted = given[-1] if given else ("last" if again or command in USERS else "null")
    if again and command == "ensemble":
        raise UserError("-c: an ensemble goes on by the command that began it, with the recipe and the same overrides")
    if again and command == "reproduce":
        where = f"hydra.run.dir={quoted(str(recipe.parent.parent))}"
        return [*rest, where, "hydra.job.name=alexnet_pl", "hydra/job_logging=none"]
    if command in ("prepare", "reproduce", "ensemble", *DEFAULTS) or wanted in ("null", "auto"):
        return overrides
    runs = recipe.parent.parent if again else Path("runs") / recipe.stem
    checkpoint = newest(runs, wanted) if wanted in ("last", "best") else Path(wanted)
    if not checkpoint.is_file():
        raise UserError(f"ckpt_path={wanted}: there is no such file")
    found = [f"ckpt_path={quoted(str(checkpoint.resolve()))}", *rest]
    if checkpoint.resolve().parent.name == "checkpoints":
        found.append(f"hydra.run.dir={quoted(str(checkpoint.resolve().parent.parent))}")
        found.append(f"hydra.output_subdir=.hydra/{command}")
    return [*found, "hydra.job.name=alexnet_pl", "hydra/job_logging=none"] if again else found


def fixed_folder(command: str, recipe: Path, overrides: list[str], sweep: bool) -> list[str]:
    """Give commands that are called again the run folder that they had, unless one is given."""
    if command not in ("reproduce", "ensemble", "report", "dashboard") or any(
        word.startswith("hydra.") for word in overrides
    ):
        return overrides
    if command in ("report", "dashboard"):
        return [*overrides, f"hydra.run.dir=runs/{command}", "hydra.output_subdir=null"]
    if sweep:
        where = f"hydra.sweep.dir='runs/{recipe.stem}/reproduce'"
        return [*overrides, where, "hydra.sweep.subdir=${hydra.job.override_dirname}"]
    name = "_".join(sorted(word.lstrip("+") for word in overrides if not word.lstrip("+").startswith(NAMELESS)))
    name = re.sub(r"[^\w.=-]", "_", name).replace("=", "-") or "as-shipped"
    if len(name) > 100:
        name = name[:90] + "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return [*overrides, f"hydra.run.dir='runs/{recipe.stem}/{command}/{name}'"]


def newest(runs: Path, which: str) -> Path:
    found = sorted(runs.glob(f"**/checkpoints/{which}.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"ckpt_path={which}: no run under {runs} has a {which}.ckpt; fit first, or name a file")
    return found[-1]


def main() -> None:
    """Run the command; a mistake of the person's becomes one line and exit code 2."""
    argv = sys.argv[1:]
    if argv == ["--version"]:
        print(f"alexnet_pl {__version__}")
        raise SystemExit
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        raise SystemExit(0 if argv else 2)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    ask_for_large_pages()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed by Hydra
    try:
        if argv[0] == "page":
            return open_page(argv[1:])
        if argv[0] in READERS:
            return read_runs(argv[1:])
        sys.argv[1:] = to_hydra(argv)
        run()
    except UserError as error:
        fail(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        fail(plain(error))
    except OSError as error:
        if error.errno not in DISK:
            raise
        fail(f"{error.filename or 'writing'}: {error.strerror}; make room or choose another place, then go on")


def read_runs(words: list[str]) -> None:
    """`figures`: run folders need no recipe, they hold their own."""
    if words in (["-h"], ["--help"]):
        return print(usage())
    from alexnet_pl.figures.command import figures

    figures(words)


def open_page(words: list[str]) -> None:
    """`page`: a run folder that stays open until Ctrl-C."""
    if words in (["-h"], ["--help"]):
        return print(usage())
    from alexnet_pl import page

    page.command(words)


def leave(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def fail(message: str) -> NoReturn:
    print(f"alexnet_pl: {message}", file=sys.stderr)
    raise SystemExit(2)


def discard(folder: Path) -> None:
    """Remove a run folder in which nothing came to be but Hydra's notes: after `prepare`, or a mistake."""
    if folder.exists() and {path.name for path in folder.iterdir()} <= {".hydra"}:
        shutil.rmtree(folder, ignore_errors=True)  # another job that began in the same second may do the same


def plain(error: Exception) -> str:
    """Hydra's message of several lines in one; for a key that does not exist, its name and the way to look."""
    text = str(error)
    if found := re.search(r"Could not override '([^']+)'", text):
        return f"{found[1]}: there is no such key{near(found[1])}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: {text.splitlines()[0]}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def near(key: str) -> str:
    """ ", did you mean …?" from the keys of the shipped recipes."""
    import difflib

    from omegaconf import OmegaConf

    keys: set[str] = set()
    for path in [*SHIPPED.glob("*.yaml"), *SHIPPED.glob("variant/*.yaml")]:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        own = {key: config[key] for key in config if key != "hydra"} if isinstance(config, dict) else {}
        keys |= set(dotted(own))
    last = key.rpartition(".")[2]
    same = sorted(name for name in keys if name.rpartition(".")[2] == last)
    found = same[:1] or difflib.get_close_matches(key, sorted(keys), 1)
    return f"; did you mean {found[0]}?" if found else "; --cfg job prints those there are"


def dotted(config: dict, prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{key}.")


@hydra.main(version_base="1.3")
def run(cfg: DictConfig) -> float | None:
    """One job: a command on a composed config. Returns the sweep's objective."""
    from alexnet_pl.section import check  # torch loads here, so that --help and --cfg job stay instant

    job = HydraConfig.get()
    with own_process_state():
        if job.mode == RunMode.MULTIRUN:  # the other DDP ranks must repeat this job, not start the sweep again
            saved = isolated_config(Path(job.runtime.output_dir), f"{job.output_subdir}/config.yaml")
            sys.argv[1:] = [f"--config-path={saved.parent}", "--config-name=config", "hydra/job_logging=none"]
        folder = Path(job.runtime.output_dir)
        try:
            check(cfg)
            return command(cfg.command)(cfg, folder)
        except UserError as error:  # told here, since Hydra would put a line of its own before it
            if job.mode == RunMode.MULTIRUN:
                raise  # the other jobs of a sweep go on
            fail(str(error))
        finally:
            discard(folder)


def command(name: str) -> Callable[[DictConfig, Path], float | None]:
    """What makes a store needs nothing of the trainer, which takes seconds to load."""
    if name in ("prepare", "verify"):
        from alexnet_pl.preparation import COMMANDS as OWN

        return OWN[name]
    if name == "bench":
        from alexnet_pl.bench.command import bench

        return bench
    from alexnet_pl.commands import run as with_trainer

    return with_trainer


@contextmanager
def own_process_state() -> Iterator[None]:
    """Give back `sys.argv` and the environment as found.

    Hydra's basic launcher runs a whole sweep in one process, and the LOCAL_RANK and WORLD_SIZE that Lightning sets for
    one job would make it take the next for a rank that torchrun started.
    """
    argv, environ = sys.argv.copy(), os.environ.copy()
    try:
        yield
    finally:
        sys.argv[:] = argv
        os.environ.clear()
        os.environ.update(environ)
        import torch.distributed as dist

        if dist.is_initialized():
            dist.destroy_process_group()
        if wandb := sys.modules.get("wandb"):
            wandb.finish()  # or the next job of a sweep would go on in this one's W&B run
