"""Style of all figures on light and dark backgrounds; saving as PNG and as SVG with text kept as text.

Colours are Okabe and Ito's (2008) or, on dark pages, lighter ones of their hues, which people of all kinds of colour
vision tell apart; what a colour says, a line's style or a mark says as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

DPI = 160  # of PNG
FONTS = ["DejaVu Sans", "Verdana", "Arial", "sans-serif"]  # of about the same width, where a reader lacks the first


@dataclass(frozen=True)
class Theme:
    """Colours by what they say."""

    suffix: str  # of the file's name
    page: str
    ink: str
    faint: str  # lines of a grid, and what stands back
    right: str  # the correct label
    other: str  # another label
    series: tuple[str, str, str]  # training, validation, validation of another kind
    box: tuple[str, str, str]  # a solid's faces: front, side, top

    @property
    def settings(self) -> Any:
        """Settings of matplotlib."""
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
            "svg.hashsalt": "alexnet_pl",  # the same drawing is the same file
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
    """Write `path`.png and .svg, and -dark.png and -dark.svg; `path` has no suffix. Returns what was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for theme in THEMES:
        with rc_context(theme.settings):
            figure = drawing(theme)
            for kind, facts in (("png", {}), ("svg", {"Date": None})):
                written.append(path.with_name(f"{path.name}{theme.suffix}.{kind}"))
                figure.savefig(written[-1], metadata=facts)
    return written


def show(drawing: Drawing, theme: Theme = LIGHT) -> Figure:
    """The figure itself, for a notebook."""
    with rc_context(theme.settings):
        return drawing(theme)
