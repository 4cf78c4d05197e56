"""Words below and beside pictures: class names cut to a width, probabilities."""

from matplotlib.text import Text

CERTAIN = {"1.00": ">0.99", "0.00": "<0.01"}
RIGHT, WRONG = "✓", "✗"  # for readers who cannot tell the colors


def format_probability(probability: float) -> str:
    """Two decimals, which do not claim certainty or impossibility."""
    rounded = f"{probability:.2f}"
    return CERTAIN.get(rounded, rounded)


def cut_to_width(text: Text, inches: float) -> None:
    """Shorten a text of one line until it is at most `inches` wide as drawn: letters differ in width."""
    words = text.get_text()
    letters = len(words)
    while letters and measure_width(text) > inches:
        letters -= 1
        text.set_text(words[:letters].rstrip() + "…")


def measure_width(text: Text) -> float:
    """Width of a text in a figure, in inches."""
    figure = text.get_figure(root=True)
    return text.get_window_extent().width / figure.dpi if figure else 0.0
