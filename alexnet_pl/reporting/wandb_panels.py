"""Panels of the W&B dashboard: curves, norms and pictures of a run, and runs beside each other (Tables 1 and 2, §4,
§5)."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from alexnet_pl.errors import UserError
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.summary import find_learned_layers
from alexnet_pl.paper.claim import ERRORS, Claim
from alexnet_pl.paper.claims import ABLATIONS, CLAIMS, TABLE1, TABLE2
from alexnet_pl.paper.rows import ReportRow
from alexnet_pl.reporting import paper_tables as paper_tables_module
from alexnet_pl.reporting import tables
from alexnet_pl.reporting.paper_tables import number
from alexnet_pl.training.metric_names import CONFUSIONS, FILTERS, GRADIENT, IDLE, PREDICTIONS, RATE, UPDATE, WEIGHT

NAME = "alexnet_pl"
STEP = "trainer/global_step"
CLAIM = "claim"  # key of a run's config: the row of the paper that its test answers
TESTED = [f"test/{error}" for error in ERRORS]


def libraries() -> tuple[Any, Any]:
    """(workspaces, reports)."""
    try:
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as workspaces
    except ModuleNotFoundError as error:
        raise UserError("dashboard: wandb-workspaces is not installed; pip install alexnet_pl[dashboard]") from error
    return workspaces, reports


def layers() -> list[str]:
    with torch.device("meta"):
        return list(find_learned_layers(AlexNet()))


def curves(wr: Any) -> dict[str, list[Any]]:
    """Section → panels, of what a fit logs."""
    names = layers()

    def lines(title: str, metrics: Sequence[str], **options: Any) -> Any:
        return wr.LinePlot(title=title, x=STEP, y=list(metrics), **options)

    def by_layer(title: str, prefix: str, suffix: str = "") -> Any:
        return lines(title, [f"{prefix}/{name}{suffix}" for name in names], log_y=True)

    return {
        "Errors and losses": [
            lines("Validation top-1 error, %, centre view", ["val/top1_error"]),
            lines("Validation top-5 error, %, centre view", ["val/top5_error"]),
            lines("Training top-1 error, %, as the minibatches came", ["train/top1_error", "train/epoch_top1_error"]),
            lines("Loss, nats", ["train/loss", "val/loss"]),
        ],
        "Learning rates": [
            by_layer("Rate of the weights", RATE, ".weight"),
            by_layer("Rate of the biases", RATE, ".bias"),
        ],
        "Gradients, weights, updates": [
            by_layer("Norm of the gradient", GRADIENT),
            by_layer("Norm of the weights", WEIGHT),
            by_layer("Size of a step over that of the weights", UPDATE),
        ],
        "Speed": [
            lines("Images a second in training", ["train/images_per_second"]),
            lines("GPU waiting, % of the time", [IDLE]),
        ],
    }


def pictures(wr: Any) -> list[Any]:
    return [
        wr.MediaBrowser(title="Kernels of the first layer (Figure 3)", media_keys=[FILTERS], num_columns=1),
        wr.WeavePanelSummaryTable(table_name=PREDICTIONS),
        wr.WeavePanelSummaryTable(table_name=CONFUSIONS),
        wr.MediaBrowser(title="Most confused pairs", media_keys=[f"{CONFUSIONS}_pictures"], num_columns=1),
    ]


def rows_of_tables(wr: Any) -> list[Any]:
    """Tests that answer a row of the paper, averaged over runs."""
    titles = ("Top-1 error, %, by row of the paper", "Top-5 error, %, by row of the paper")
    return [
        wr.BarPlot(title=title, metrics=[metric], groupby=wr.Config(CLAIM), groupby_aggfunc="mean")
        for title, metric in zip(titles, TESTED, strict=True)
    ]


def ablations(wr: Any) -> list[Any]:
    """A panel for each switch of the paper's ablations: test errors by its value."""
    return [
        wr.BarPlot(title=title, metrics=TESTED, groupby=wr.Config(key), groupby_aggfunc="mean")
        for key, title in switches().items()
    ]


def switches() -> dict[str, str]:
    """Config key → what the paper says of it."""
    found: dict[str, list[Claim]] = {}
    for claim in CLAIMS:
        if claim.group == ABLATIONS:
            found.setdefault(claim.overrides[0].partition("=")[0], []).append(claim)
    return {key: f"{key} ({claims[0].section}): {metric_line(claims)}" for key, claims in found.items()}


def metric_line(claims: Sequence[Claim]) -> str:
    """Line for claims with the same numbers, such as those of each removed layer."""
    first, names = claims[0], ", ".join(claim.label for claim in claims)
    points = [number(value, first) for value in first.values.values() if not math.isnan(value)]
    worse = f"{first.bound} {' / '.join(points)} points" if points else "no number"
    return f"{names}; in the paper worse, {worse.strip()}"


def workspace(entity: str, project: str) -> Any:
    ws, wr = libraries()
    sections = {
        **curves(wr),
        "Pictures": pictures(wr),
        "The paper's tables": rows_of_tables(wr),
        ABLATIONS: ablations(wr),
    }
    made = [ws.Section(name=name, panels=panels, is_open=True) for name, panels in sections.items()]
    columns = [f"summary:{metric}" for metric in TESTED]
    shown = ws.RunsetSettings(pinned_columns=["run:displayName", *columns])
    settings = ws.WorkspaceSettings(x_axis=STEP)
    return ws.Workspace(
        entity=entity, project=project, name=NAME, sections=made, settings=settings, runset_settings=shown
    )


def written_report(entity: str, project: str, rows: Sequence[ReportRow]) -> Any:
    """Tables 1 and 2 and the ablations, the paper's numbers beside those of local run folders, then live panels."""
    _, wr = libraries()
    runs = wr.Runset(entity=entity, project=project, name="all runs")
    blocks = [wr.MarkdownBlock(text=INTRODUCTION), *(wr.MarkdownBlock(text=text) for text in paper_tables(rows))]
    grids = {"Runs by row of the paper": rows_of_tables(wr), ABLATIONS: ablations(wr), **curves(wr)}
    grids["Pictures"] = pictures(wr)
    for title, panels in grids.items():
        blocks += [wr.H2(text=title), wr.PanelGrid(runsets=[runs], panels=panels)]
    return wr.Report(
        entity=entity, project=project, title=NAME, description="Ours beside the paper", blocks=blocks, width="fluid"
    )


INTRODUCTION = """# Ours beside the paper

The AlexNet paper (Krizhevsky, Sutskever, Hinton 2012) and what these runs measured. The tables are of
the run folders on the machine that saved this report; the panels below them are of all runs of the project."""


def paper_tables(rows: Sequence[ReportRow]) -> Iterator[str]:
    """Each table as Markdown."""
    for table in paper_tables_module.paper_tables(
        [row for row in rows if row.claim.group in (TABLE1, TABLE2, ABLATIONS)]
    ):
        yield tables.markdown([table])
