"""`bench`: run a suite of measurements, write its JSON, chart and report."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from alexnet_pl.bench import prepare_suite
from alexnet_pl.bench.report import print_prepare_report, print_training_report
from alexnet_pl.commands.typed_overrides import check_typed_store
from alexnet_pl.console import print_message
from alexnet_pl.errors import UserError
from alexnet_pl.files import list_paths
from alexnet_pl.json_records import write_json

SUITES = ("train", "prepare", "gpu", "report")
PAGE = Path("docs/benchmarks.md")


def bench(cfg: DictConfig, folder: Path) -> None:
    if cfg.bench.suite not in SUITES:
        raise UserError(f"bench {cfg.bench.suite}: one of {', '.join(SUITES)}")
    if cfg.bench.suite in ("report", "prepare"):  # the other suites open the store
        check_typed_store(cfg)
    if cfg.bench.suite == "report":
        return write_benchmark_page(cfg)
    if cfg.bench.suite == "gpu":
        return measure_on_gpu(cfg)
    check_output(cfg.bench.output)
    if cfg.bench.suite == "prepare":
        source = Path(cfg.prepare.source) if cfg.prepare.source else None
        measured = prepare_suite.measure_prepare(source, cfg.bench.rounds)
        print_prepare_report(measured)
    else:
        measured = measure_training_stages(cfg, folder)
    if cfg.bench.output:
        path = Path(cfg.bench.output)
        write_json(path, measured)
        print_message("all measurements", path)


def check_output(output: Any) -> None:
    """Raise UserError if `bench.output` is given and is not a file in an existing folder."""
    if output and not (isinstance(output, str) and Path(output).absolute().parent.is_dir()):
        raise UserError(f"bench.output={output}: a file in an existing folder")


def measure_training_stages(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    from alexnet_pl.bench import idle_share, suite  # these import the trainer, which takes seconds

    measured = suite.measure_training(cfg, folder)
    print_training_report(measured)
    if cfg.bench.output:
        from alexnet_pl.figures.bench_chart import save_bench_chart

        save_bench_chart(Path(cfg.bench.output).with_suffix(".png"), measured)
        print_message("a chart", Path(cfg.bench.output).with_suffix(".png"))
    if cfg.bench.profile:
        print_message("a trace for chrome://tracing or ui.perfetto.dev", folder / idle_share.TRACE)
    return measured


def measure_on_gpu(cfg: DictConfig) -> None:
    from alexnet_pl.bench.gpu_suite import measure_gpu  # imports the trainer, which takes seconds

    if not isinstance(cfg.bench.output, str):
        raise UserError("bench.output is required: pass bench.output=FOLDER, to which the same command can be repeated")
    measure_gpu(cfg, Path(cfg.bench.output))


def write_benchmark_page(cfg: DictConfig) -> None:
    """Write docs/benchmarks.md, below the working folder, from the files in `bench.output`, one section per file, and
    redraw the chart beside each, so that it has the numbers of the file."""
    from alexnet_pl.bench.report import read_measurements, write_benchmarks
    from alexnet_pl.figures.bench_chart import save_bench_chart
    from alexnet_pl.figures.picture import picture_lines

    if not cfg.bench.output:
        raise UserError("bench.output is required: pass bench.output=FILE or [FILE,FILE], written by `bench`")
    PAGE.parent.mkdir(exist_ok=True)
    files = list_paths(cfg.bench.output)
    for path in files:
        if (measured := read_measurements(path))["suite"] == "train":
            save_bench_chart(path.with_suffix(".png"), measured)
    write_benchmarks(files, PAGE, picture_lines)
    print_message(f"{len(files)} files of figures", PAGE)
