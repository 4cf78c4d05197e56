"""Registry of all commands: help, options, examples and the function of each.

Used by help, completion, the translation to Hydra and the commands themselves. Functions are given as strings and
imported when called, so that `--help` imports neither torch nor Lightning.
"""

import difflib
from dataclasses import dataclass, field
from typing import Any, Literal

from alexnet_pl.commands.run_options import CurveOptions, ExportOptions, FigureOptions, ImportOptions, PageOptions
from alexnet_pl.errors import UserError

NET = ("model", "augment")  # sections that decide a checkpoint's network
MACHINE = ("trainer", "performance", "distributed")
FIT = ("objective", "logger", "wandb", "data", *NET, "optim", "schedule", "transfer", "monitor", *MACHINE)


@dataclass(frozen=True)
class Command:
    """`target`: `module:function` in this package, NAME:NAME by default, called with (config, run folder), or (folders,
    options) for `takes="runs"`.

    `targets_by_kind`: targets for code and box recipes, by the config section that only such a recipe has. `keys`:
    sections and top-level keys of the config that the command reads. `next`: command to suggest afterwards, with {run},
    {recipe} and {data} to fill in; `next_by_kind`: the same after a code or box recipe.
    """

    name: str
    help: str
    target: str = ""
    targets_by_kind: dict[str, str] = field(default_factory=dict)
    default_recipe: str = ""  # recipe without -c
    needs_checkpoint: bool = False  # by default the newest last.ckpt of the recipe
    stable_run_dir: bool = False  # the same command uses the same run folder again
    uses_trainer: bool = False
    boxes_only: bool = False  # only for runs of box recipes
    first_process_only: bool = False  # in a job of torchrun or srun
    first_process_kinds: tuple[str, ...] = ()  # kinds of recipe of which only the first process runs the command
    takes: Literal["recipe", "runs"] = "recipe"
    operands: str = "RUN [RUN ...]"  # for takes="runs": the arguments without a key
    options: type[Any] | None = None  # for takes="runs": the dataclass for key=value arguments
    keys: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    next: str = ""
    next_by_kind: dict[str, str] = field(default_factory=dict)

    @property
    def function(self) -> str:
        return self.target or f"{self.name}:{self.name}"

    @property
    def reads_store(self) -> bool:
        return any(key.partition(".")[0] == "data" for key in self.keys)


COMMANDS = {
    command.name: command
    for command in (
        Command(
            "prepare",
            "make a store from a copy of the images (prepare.source → data.root)",
            keys=("data", "prepare"),
            examples=("prepare -c imagenette prepare.source=/downloads/imagenette data.root=/fast/imagenette",),
            next="fit -c {recipe} {data}",
        ),
        Command(
            "verify",
            "verify the checksums of the store at data.root",
            target="prepare:verify",
            default_recipe="_base.yaml",
            keys=("data.root",),
            examples=("verify data.root=/fast/imagenette",),
            next="fit -c {recipe} {data}",
        ),
        Command(
            "fit",
            "train; ckpt_path=last resumes the newest run of the recipe",
            targets_by_kind={"codes": "codes:fit", "boxes": "boxes:fit"},
            uses_trainer=True,
            keys=("seed", "ckpt_path", *FIT, "codes", "boxes"),
            examples=(
                "fit -c demo",
                "fit -c ilsvrc2012 data.root=/fast/ilsvrc2012 optim.lr=0.02",
                "fit -c finetune data.root=/fast/photos transfer.weights=runs/ilsvrc2012/latest",
                "fit runs/demo/latest                # resume where that run stopped",
                "fit -m -c demo seed=1,2,3           # a sweep",
            ),
            next="test {run}",
        ),
        Command(
            "validate",
            "errors on the validation images, center view",
            target="evaluate:validate",
            needs_checkpoint=True,
            uses_trainer=True,
            keys=("ckpt_path", "data", *NET, *MACHINE),
            examples=("validate runs/imagenette/latest", "validate runs/imagenette/latest ckpt_path=best"),
        ),
        Command(
            "test",
            "errors with ten views (§5.1), written to result.json",
            target="evaluate:test",
            targets_by_kind={"codes": "codes:test", "boxes": "box_test:test"},
            needs_checkpoint=True,
            uses_trainer=True,
            first_process_kinds=("codes", "boxes"),
            keys=("ckpt_path", "test", "logger", "data", *NET, "codes", "detect", *MACHINE),
            examples=("test runs/demo/latest", "test -c demo ckpt_path=best test.views=center"),
            next="figures {run}",
            next_by_kind={"codes": "report", "boxes": "page {run}"},
        ),
        Command(
            "reproduce",
            "fit and test; the same command resumes after an interruption",
            targets_by_kind={"codes": "reproduce:reproduce", "boxes": "reproduce:reproduce"},
            stable_run_dir=True,
            uses_trainer=True,
            keys=("seed", "test", *FIT, "codes", "boxes", "detect"),
            examples=("reproduce -c ilsvrc2010 data.root=/fast/ilsvrc2010",),
            next="report",
        ),
        Command(
            "ensemble",
            "average the predictions of networks (§7): ensemble.groups to train, or tested ensemble.members",
            target="ensemble:average",
            stable_run_dir=True,
            uses_trainer=True,
            first_process_only=True,
            keys=("ensemble", "test", *FIT),  # those of FIT apply to the members that it trains
            examples=("ensemble -c ensemble_5cnns data.root=/fast/ilsvrc2012",),
            next="report",
        ),
        Command(
            "predict",
            "classify images: predict.images=FILE_OR_FOLDER",
            needs_checkpoint=True,
            uses_trainer=True,
            first_process_only=True,
            keys=("predict", "prepare", "ckpt_path", "test", *NET, *MACHINE),
            examples=("predict runs/demo/latest predict.images=holiday.jpg",),
        ),
        Command(
            "detect",
            "detect objects in images: predict.images=FILE_OR_FOLDER",
            boxes_only=True,
            targets_by_kind={"boxes": "detect:detect"},
            needs_checkpoint=True,
            uses_trainer=True,
            first_process_only=True,
            keys=("detect", "predict", "ckpt_path", "trainer"),
            examples=("detect runs/overfeat_detect/latest predict.images=holiday.jpg",),
        ),
        Command(
            "features",
            "save the fc7 activations of training and tested images in the run folder (§7.1)",
            needs_checkpoint=True,
            uses_trainer=True,
            keys=("features", "ckpt_path", "data", *NET, *MACHINE),
            examples=("features runs/demo/latest",),
            next="retrieve {run}",
        ),
        Command(
            "probe",
            "linear probe: logistic regression on a layer's activations for the images at data.root",
            needs_checkpoint=True,
            uses_trainer=True,
            first_process_only=True,
            keys=("probe", "seed", "ckpt_path", "test", "data", *NET, *MACHINE),
            examples=(
                "probe runs/demo/latest",
                "probe runs/ilsvrc2012/latest data.root=/fast/photos probe.shots=1,2,5,10,20",
            ),
        ),
        Command(
            "retrieve",
            "find the training images nearest to predict.images=FILE_OR_FOLDER or to the test images (Figure 4)",
            needs_checkpoint=True,
            uses_trainer=True,
            first_process_only=True,
            keys=("retrieval", "predict", "features", "ckpt_path", "data", *NET, *MACHINE),
            examples=("retrieve runs/demo/latest predict.images=holiday.jpg",),
        ),
        Command(
            "bench",
            "measure throughput of training; `bench prepare`: of preparing a store; `bench gpu`: all GPU measurements",
            default_recipe="ilsvrc2012.yaml",
            keys=("bench", "prepare", "data", *NET, *MACHINE),
            examples=("bench data.root=/fast/ilsvrc2012", "bench prepare prepare.source=/downloads/photographs"),
        ),
        Command(
            "report",
            "print what the run folders in report.runs measured beside the paper's numbers; write all rows to files",
            default_recipe="_base.yaml",
            stable_run_dir=True,
            keys=("report",),
            examples=("report", "report 'report.runs=[runs,/more/runs]'"),
            next="dashboard",
        ),
        Command(
            "dashboard",
            "save tables and curves as a W&B workspace and report in wandb.project=… wandb.entity=…",
            target="report:dashboard",
            default_recipe="_base.yaml",
            stable_run_dir=True,
            keys=("wandb", "report"),
            examples=("dashboard wandb.project=alexnet_pl",),
        ),
        Command(
            "figures",
            "draw Figures 2, 3, 4 and training curves into RUN/figures/, and Figure 1 of cifar10 runs into docs/",
            takes="runs",
            options=FigureOptions,
            examples=("figures runs/imagenette/latest", "figures runs/cifar10 out=runs/cifar10"),
            next="page {run}",
        ),
        Command(
            "curves",
            "print learning curves and test results of runs, or of all runs below a folder, side by side, as Markdown",
            target="report:curves",
            takes="runs",
            options=CurveOptions,
            examples=("curves runs/imagenette/latest", "curves runs/cifar10_13pct runs/cifar10_11pct norms=true"),
        ),
        Command(
            "export",
            "export a network as safetensors, ONNX or torch.export, with a model card",
            takes="runs",
            options=ExportOptions,
            examples=("export runs/demo/latest", "export runs/demo/latest format=onnx out=demo-onnx"),
        ),
        Command(
            "import",
            "convert weights of the authors' program, Caffe or torchvision to a run folder",
            target="import_weights:import_weights",
            takes="runs",
            operands="FILE",
            options=ImportOptions,
            examples=(
                "import bvlc_alexnet.caffemodel classes=synset_words.txt mean=imagenet_mean.binaryproto out=runs/caffe",
            ),
        ),
        Command(
            "page",
            "start a local web app that classifies images with a run's network, and print its address",
            takes="runs",
            operands="RUN",
            options=PageOptions,
            examples=("page runs/imagenette/latest port=7860",),
        ),
    )
}

SYNONYMS = {
    "train": "fit",
    "eval": "test",
    "evaluate": "test",
    "infer": "predict",
    "serve": "page",
    "convert": "import",
}
"""Names of commands in other programs."""


def find(name: str) -> Command:
    if name not in COMMANDS:
        near = [SYNONYMS[name]] if name in SYNONYMS else difflib.get_close_matches(name, COMMANDS, 1)
        meant = f"did you mean {near[0]}?" if near else "--help lists them"
        raise UserError(f"{name}: no such command; {meant}")
    return COMMANDS[name]
