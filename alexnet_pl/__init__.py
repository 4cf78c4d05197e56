"""The AlexNet paper (Krizhevsky, Sutskever, Hinton 2012) as a program: each number of it has one command.

The names below are the public interface. Each is imported when it is first used, so `import alexnet_pl` is instant and
needs no torch; everything else is internal and may move.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors, which follow no __getattr__
    from alexnet_pl.codebook import open_codes as open_codes
    from alexnet_pl.codetable import code_report as code_report
    from alexnet_pl.curves import curves as learning_curves
    from alexnet_pl.data.store import Store as Store
    from alexnet_pl.errors import UserError as UserError
    from alexnet_pl.example import run_folder as example_run
    from alexnet_pl.example import train as run_command
    from alexnet_pl.figures.answers import draw_filter_responses as draw_filter_responses
    from alexnet_pl.figures.answers import draw_top_patches as draw_top_patches
    from alexnet_pl.figures.pictures import draw_figure as draw_figure
    from alexnet_pl.gallery import open_run as open_index
    from alexnet_pl.kernels import colour_shares as color_selectivity
    from alexnet_pl.model import AlexNet as AlexNet
    from alexnet_pl.module import Classifier as Classifier
    from alexnet_pl.result import load_result as load_result
    from alexnet_pl.sheet import compare_neighbors as compare_neighbors
    from alexnet_pl.trained import Trained as open_run

__version__ = "0.1.0"

PUBLIC = {  # name → module:definition
    "AlexNet": "model:AlexNet",
    "Classifier": "module:Classifier",
    "Store": "data.store:Store",
    "UserError": "errors:UserError",
    "code_report": "codetable:code_report",
    "color_selectivity": "kernels:colour_shares",
    "compare_neighbors": "sheet:compare_neighbors",
    "draw_figure": "figures.pictures:draw_figure",
    "draw_filter_responses": "figures.answers:draw_filter_responses",
    "draw_top_patches": "figures.answers:draw_top_patches",
    "example_run": "example:run_folder",
    "learning_curves": "curves:curves",
    "load_result": "result:load_result",
    "open_codes": "codebook:open_codes",
    "open_index": "gallery:open_run",
    "open_run": "trained:Trained",
    "run_command": "example:train",
}


def __getattr__(name: str) -> Any:
    """PEP 562: called for a name that is not here yet."""
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, definition = PUBLIC[name].partition(":")
    globals()[name] = value = getattr(import_module(f"{__name__}.{module}"), definition)
    return value


def __dir__() -> list[str]:
    return [*globals(), *PUBLIC]
