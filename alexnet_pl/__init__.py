"""The AlexNet paper (Krizhevsky, Sutskever, Hinton 2012) as a program: each of its numbers has one command.

The names below are the public interface. Each is imported when first used, so `import alexnet_pl` is instant and does
not need torch. Everything else is internal and may move.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors, which do not call __getattr__
    from alexnet_pl.data.loading.augment import Augment as Augment
    from alexnet_pl.data.store.split import Split as Split
    from alexnet_pl.data.store.store import Store as Store
    from alexnet_pl.data.store.whole import WholeSplit as WholeSplit
    from alexnet_pl.detection.box_run import BoxRun as open_boxes
    from alexnet_pl.detection.box_run import example_box_run as example_box_run
    from alexnet_pl.detection.merging import match_scores as match_scores
    from alexnet_pl.errors import UserError as UserError
    from alexnet_pl.evaluation.result import load_result as load_result
    from alexnet_pl.experiment.example_run import example_run as example_run
    from alexnet_pl.experiment.example_run import run_command as run_command
    from alexnet_pl.experiment.trained_run import TrainedRun as open_run
    from alexnet_pl.figures.boxes import draw_merging as draw_merging
    from alexnet_pl.figures.boxes import draw_mistakes as draw_mistakes
    from alexnet_pl.figures.catalog import draw_figure as draw_figure
    from alexnet_pl.figures.filter_responses import draw_filter_responses as draw_filter_responses
    from alexnet_pl.figures.filter_responses import draw_top_patches as draw_top_patches
    from alexnet_pl.figures.inside import draw_attribution as draw_attribution
    from alexnet_pl.figures.inside import draw_units as draw_units
    from alexnet_pl.figures.offset_pooling import draw_offset_pooling as draw_offset_pooling
    from alexnet_pl.figures.offset_pooling import draw_scale_table as draw_scale_table
    from alexnet_pl.figures.retrieval_sheet import compare_neighbors as compare_neighbors
    from alexnet_pl.inference.trained_network import Prediction as Prediction
    from alexnet_pl.inference.trained_network import TrainedNetwork as TrainedNetwork
    from alexnet_pl.inference.trained_network import load as load
    from alexnet_pl.models.alexnet import AlexNet as AlexNet
    from alexnet_pl.models.color_selectivity import color_selectivity as color_selectivity
    from alexnet_pl.models.layers import LocalResponseNorm as LocalResponseNorm
    from alexnet_pl.models.overfeat import OverFeat as OverFeat
    from alexnet_pl.reporting.code_tables import code_report as code_report
    from alexnet_pl.reporting.learning_curves import learning_curves as learning_curves
    from alexnet_pl.retrieval.codebook import open_codes as open_codes
    from alexnet_pl.retrieval.gallery import open_image_index as open_index
    from alexnet_pl.training.classifier import Classifier as Classifier
    from alexnet_pl.training.optimizer import MomentumSGD as MomentumSGD

__version__ = "0.1.0"
__all__ = [  # without it, type checkers take a name that an import above renames for a private one
    "AlexNet", "Augment", "Classifier", "LocalResponseNorm", "MomentumSGD", "OverFeat", "Prediction", "Split",
    "Store", "TrainedNetwork", "UserError", "WholeSplit", "code_report", "color_selectivity", "compare_neighbors",
    "draw_attribution", "draw_figure", "draw_filter_responses", "draw_merging", "draw_mistakes",
    "draw_offset_pooling", "draw_scale_table", "draw_top_patches", "draw_units", "example_box_run", "example_run",
    "learning_curves", "load", "load_result", "match_scores", "open_boxes", "open_codes", "open_index", "open_run",
    "run_command",
]  # fmt: skip

PUBLIC = {  # name → module:definition
    "AlexNet": "models.alexnet:AlexNet",
    "Augment": "data.loading.augment:Augment",
    "Classifier": "training.classifier:Classifier",
    "LocalResponseNorm": "models.layers:LocalResponseNorm",
    "MomentumSGD": "training.optimizer:MomentumSGD",
    "OverFeat": "models.overfeat:OverFeat",
    "Prediction": "inference.trained_network:Prediction",
    "Split": "data.store.split:Split",
    "Store": "data.store.store:Store",
    "TrainedNetwork": "inference.trained_network:TrainedNetwork",
    "UserError": "errors:UserError",
    "WholeSplit": "data.store.whole:WholeSplit",
    "code_report": "reporting.code_tables:code_report",
    "color_selectivity": "models.color_selectivity:color_selectivity",
    "compare_neighbors": "figures.retrieval_sheet:compare_neighbors",
    "draw_attribution": "figures.inside:draw_attribution",
    "draw_figure": "figures.catalog:draw_figure",
    "draw_filter_responses": "figures.filter_responses:draw_filter_responses",
    "draw_merging": "figures.boxes:draw_merging",
    "draw_mistakes": "figures.boxes:draw_mistakes",
    "draw_offset_pooling": "figures.offset_pooling:draw_offset_pooling",
    "draw_scale_table": "figures.offset_pooling:draw_scale_table",
    "draw_top_patches": "figures.filter_responses:draw_top_patches",
    "example_box_run": "detection.box_run:example_box_run",
    "example_run": "experiment.example_run:example_run",
    "draw_units": "figures.inside:draw_units",
    "learning_curves": "reporting.learning_curves:learning_curves",
    "load": "inference.trained_network:load",
    "load_result": "evaluation.result:load_result",
    "match_scores": "detection.merging:match_scores",
    "open_boxes": "detection.box_run:BoxRun",
    "open_codes": "retrieval.codebook:open_codes",
    "open_index": "retrieval.gallery:open_image_index",
    "open_run": "experiment.trained_run:TrainedRun",
    "run_command": "experiment.example_run:run_command",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, definition = PUBLIC[name].partition(":")
    globals()[name] = value = getattr(import_module(f"{__name__}.{module}"), definition)
    return value


def __dir__() -> list[str]:
    return [*globals(), *PUBLIC]
