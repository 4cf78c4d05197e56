"""Style of all figures, light and dark, axes placed in inches, and the export as PNG and SVG (with text as text).

Colors are those of Okabe and Ito (2008), on dark pages lighter ones of the same hues, which readers with any color
vision can distinguish. Line styles or marks repeat what colors say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DPI = 160  # of PNG
FONTS = ["DejaVu Sans", "Verdana", "Arial", "sans-serif"]  # fallbacks of similar width


@dataclass(frozen=True)
class Theme:
    """Colors of a theme, by role."""

    suffix: str  # of the file name
    page: str  # background
    ink: str  # text and lines
    faint: str  # grid lines
    right: str  # the correct label
    other: str  # other labels
    series: tuple[str, str, str]  # training, validation, a third series
    box: tuple[str, str, str]  # faces of a box: front, side, top

    @property
    def settings(self) -> Any:
        """Matplotlib settings (rcParams)."""
        inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
        pages = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
        return {
            **dict.fromkeys(inks, self.ink),
            **dict.fromkeys(pages, self.page),
            "grid.color": self.faint,
            "font.family": "sans-serif",
            "font.sans-serif": FONTS,
            "font.size": 9.0,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "svg.fonttype": "none",
            "svg.hashsalt": "alexnet_pl",  # reproducible files
            "savefig.dpi": DPI,
        }


LIGHT = Theme(
    "", "#ffffff", "#1b1f24", "#c9cfd6", "#d55e00", "#8a9bb0", ("#0072b2", "#d55e00", "#555e68"),
    ("#dbe7f3", "#b9cfe4", "#eef4fa"),
)  # fmt: skip
DARK = Theme(
    "-dark", "#0d1117", "#e6edf3", "#3d444d", "#ff8c42", "#5f7a99", ("#56b4e9", "#ff8c42", "#b5bdc7"),
    ("#2a4058", "#1d2f43", "#37526f"),
)  # fmt: skip
THEMES = (LIGHT, DARK)

Drawing = Callable[[Theme], Figure]


def save_drawing(drawing: Drawing, path: Path) -> list[Path]:
    """Write `path`.png, .svg, -dark.png and -dark.svg; `path` has no suffix. Returns the paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for theme in THEMES:
        with rc_context(theme.settings):
            figure = drawing(theme)
            for kind, metadata in (("png", {}), ("svg", {"Date": None})):
                written.append(path.with_name(f"{path.name}{theme.suffix}.{kind}"))
                figure.savefig(written[-1], metadata=metadata)
    return written


def add_axes_inches(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Add axes without an axis line at a position in inches."""
    across, up = figure.get_size_inches()
    axes = figure.add_axes((x / across, y / up, width / across, height / up))
    axes.axis("off")
    return axes


def draw_for_notebook(drawing: Drawing, theme: Theme = LIGHT) -> Figure:
    """Draw a figure for a notebook."""
    with rc_context(theme.settings):
        return drawing(theme)
