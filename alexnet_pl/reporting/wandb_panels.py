"""W&B dashboard panels: curves, norms and images of runs, and runs by row of the paper (Tables 1 and 2, §4, §5)."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from alexnet_pl.errors import not_installed
from alexnet_pl.paper.claim import ERRORS, Claim
from alexnet_pl.paper.claims import ABLATIONS, CLAIMS, TABLE1, TABLE2
from alexnet_pl.paper.rows import ReportRow
from alexnet_pl.reporting.paper_tables import format_claimed, paper_tables
from alexnet_pl.runs.metric_names import (
    ADAM_RATE,
    BOX_LOSSES,
    CONFUSIONS,
    FILTERS,
    FOUND_BOXES,
    GRADIENT,
    IDLE,
    LOCALISATION_ERRORS,
    MEAN_AVERAGE_PRECISION,
    MERGING,
    MISTAKES,
    PREDICTIONS,
    RATE,
    UPDATE,
    WEIGHT,
)
from alexnet_pl.table import to_markdown

NAME = "alexnet_pl"
STEP = "trainer/global_step"
BOXES = "Boxes (OverFeat)"
CLAIM = "claim"  # key of a run's config for the claim that its test reproduces
TESTED = [f"test/{error}" for error in ERRORS]


def import_wandb_workspaces() -> tuple[Any, Any]:
    """Modules (workspaces, reports) of wandb-workspaces. Raises UserError if it is not installed."""
    try:
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as workspaces
    except ModuleNotFoundError as error:
        raise not_installed("wandb-workspaces", "dashboard", "dashboard") from error
    return workspaces, reports


def curve_panels(wr: Any) -> dict[str, list[Any]]:
    """Section → panels of the metrics that a fit logs; `wr`: the reports module."""

    def lines(title: str, metrics: Sequence[str], **options: Any) -> Any:
        return wr.LinePlot(title=title, x=STEP, y=list(metrics), **options)

    def by_layer(title: str, prefix: str, suffix: str = "") -> Any:
        """Curves of all layers with weights, for any names of layers."""
        return wr.LinePlot(title=title, x=STEP, metric_regex=f"^{prefix}/.+{suffix}$", log_y=True)

    return {
        "Errors and losses": [
            lines("Validation top-1 error, %, center view", ["val/top1_error"]),
            lines("Validation top-5 error, %, center view", ["val/top5_error"]),
            lines("Training top-1 error, %, during training", ["train/top1_error", "train/epoch_top1_error"]),
            lines("Loss, nats", ["train/loss", "val/loss"]),
        ],
        "Learning rates": [
            by_layer("Learning rate of weights", RATE, ".weight"),
            by_layer("Learning rate of biases", RATE, ".bias"),
            lines("Learning rate of box regressors and codes", [ADAM_RATE]),
        ],
        "Gradients, weights, updates": [
            by_layer("Gradient norm", GRADIENT),
            by_layer("Weight norm", WEIGHT),
            by_layer("Update norm / weight norm", UPDATE),
        ],
        "Speed": [
            lines("Training images per second", ["train/images_per_second"]),
            lines("GPU idle, % of the time", [IDLE]),
        ],
    }


def picture_panels(wr: Any) -> list[Any]:
    """Panels of the images and tables that runs upload."""
    return [
        wr.MediaBrowser(title="Kernels of the first layer (Figure 3)", media_keys=[FILTERS], num_columns=1),
        wr.WeavePanelSummaryTable(table_name=PREDICTIONS),
        wr.WeavePanelSummaryTable(table_name=CONFUSIONS),
        wr.MediaBrowser(title="Most confused pairs", media_keys=[f"{CONFUSIONS}_pictures"], num_columns=1),
    ]


def box_panels(wr: Any) -> list[Any]:
    """Panels of OverFeat's localisation and detection: losses, errors, and boxes over images."""
    losses = [f"{stage}/{loss}" for stage in ("train", "val") for loss in BOX_LOSSES]
    return [
        wr.LinePlot(title="Detection: losses of classes and boxes", x=STEP, y=losses),
        wr.BarPlot(title="Localisation error, %; boxes given the class", metrics=list(LOCALISATION_ERRORS)),
        wr.BarPlot(title="Detection: mean average precision, %", metrics=[MEAN_AVERAGE_PRECISION]),
        wr.MediaBrowser(title="Boxes found", media_keys=[FOUND_BOXES], num_columns=2),
        wr.MediaBrowser(title="Boxes before and after merging", media_keys=[MERGING], num_columns=1),
        wr.MediaBrowser(title="Detector's mistakes by kind", media_keys=[MISTAKES], num_columns=1),
    ]


def table_panels(wr: Any) -> list[Any]:
    """Test errors by claim of the paper, averaged over runs."""
    titles = ("Top-1 error, %, by row of the paper", "Top-5 error, %, by row of the paper")
    return [
        wr.BarPlot(title=title, metrics=[metric], groupby=wr.Config(CLAIM), groupby_aggfunc="mean")
        for title, metric in zip(titles, TESTED, strict=True)
    ]


def ablation_panels(wr: Any) -> list[Any]:
    """One panel per config key of the paper's ablations, with test errors by its value."""
    return [
        wr.BarPlot(title=title, metrics=TESTED, groupby=wr.Config(key), groupby_aggfunc="mean")
        for key, title in ablation_titles().items()
    ]


def ablation_titles() -> dict[str, str]:
    """Title of each ablation's panel, with the paper's numbers, by config key."""
    by_key: dict[str, list[Claim]] = {}
    for claim in CLAIMS:
        if claim.group == ABLATIONS:
            by_key.setdefault(claim.overrides[0].partition("=")[0], []).append(claim)
    return {key: f"{key} ({claims[0].section}): {describe_claims(claims)}" for key, claims in by_key.items()}


def describe_claims(claims: Sequence[Claim]) -> str:
    """Text for claims with equal numbers, such as those on removed layers."""
    first, names = claims[0], ", ".join(claim.label for claim in claims)
    points = [format_claimed(value, first, metric) for metric, value in first.values.items() if not math.isnan(value)]
    worse = " ".join(filter(None, ("by", first.bound, " / ".join(points), "points"))) if points else "without a number"
    return f"{names}; in the paper worse {worse}"


def build_workspace(entity: str, project: str) -> Any:
    """Build the W&B workspace without saving it. Raises UserError if wandb-workspaces is not installed."""
    ws, wr = import_wandb_workspaces()
    sections = {
        **curve_panels(wr),
        "Pictures": picture_panels(wr),
        BOXES: box_panels(wr),
        "The paper's tables": table_panels(wr),
        ABLATIONS: ablation_panels(wr),
    }
    blocks = [ws.Section(name=name, panels=panels, is_open=True) for name, panels in sections.items()]
    columns = [f"summary:{metric}" for metric in TESTED]
    runset = ws.RunsetSettings(pinned_columns=["run:displayName", *columns])
    settings = ws.WorkspaceSettings(x_axis=STEP)
    return ws.Workspace(
        entity=entity, project=project, name=NAME, sections=blocks, settings=settings, runset_settings=runset
    )


def build_report(entity: str, project: str, rows: Sequence[ReportRow]) -> Any:
    """Build the W&B report without saving it: Tables 1 and 2 and ablations from local run folders, then live panels."""
    _, wr = import_wandb_workspaces()
    runs = wr.Runset(entity=entity, project=project, name="all runs")
    blocks = [wr.MarkdownBlock(text=INTRODUCTION), *(wr.MarkdownBlock(text=text) for text in markdown_tables(rows))]
    grids = {"Runs by row of the paper": table_panels(wr), ABLATIONS: ablation_panels(wr), **curve_panels(wr)}
    grids |= {"Pictures": picture_panels(wr), BOXES: box_panels(wr)}
    for title, panels in grids.items():
        blocks += [wr.H2(text=title), wr.PanelGrid(runsets=[runs], panels=panels)]
    return wr.Report(
        entity=entity, project=project, title=NAME, description="Results beside the paper", blocks=blocks, width="fluid"
    )


INTRODUCTION = """# Results beside the paper

The AlexNet paper (Krizhevsky, Sutskever, Hinton 2012) and the results of these runs. The tables come from the run
folders on the machine that saved this report; the panels below them show all runs of the project."""


def markdown_tables(rows: Sequence[ReportRow]) -> Iterator[str]:
    """Tables 1 and 2 and the ablations as Markdown."""
    shown = [row for row in rows if row.claim.group in (TABLE1, TABLE2, ABLATIONS)]
    return (to_markdown([table]) for table in paper_tables(shown))
