"""One look for every picture of the course: colours, fonts, grid and page width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe & Ito's colours, which stay apart for every common kind of colour blindness;
# their yellow is left out because it is too pale for a line on white.
COLOURS = (
    "#0072B2",  # blue
    "#D55E00",  # vermilion
    "#009E73",  # green
    "#CC79A7",  # pink
    "#56B4E9",  # sky
    "#E69F00",  # orange
    "#4D4D4D",  # dark grey
    "#8C6BB1",  # violet
    "#882255",  # wine
    "#44AA99",  # teal
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
GREY = "#6B6B6B"
INK = "#222222"
WIDTH = 9.0  # inches: the text width of a notebook page

# Blue for unlike, white for unrelated, orange for alike: readable in every kind of colour vision.
DIVERGING = LinearSegmentedColormap.from_list("course_diverging", ["#0072B2", "#FFFFFF", "#D55E00"])

STYLE: Any = {
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlepad": 8,
    "axes.labelsize": 11,
    "axes.edgecolor": "#B0B0B0",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "legend.frameon": True,  # without an edge: no line runs through the words
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 10,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "text.color": INK,
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the style of the course, and close the figure: a notebook shows it once, and no half of one."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        before = plt.get_fignums()
        try:
            with plt.rc_context(STYLE):
                return draw(*args, **kwargs)
        finally:
            for number in set(plt.get_fignums()) - set(before):
                plt.close(number)

    return wrapper


def panels(
    count: int, *, columns: int | None = None, height: float = 3.0, width: float = WIDTH
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels in rows of `columns`; `height` is that of one row, in inches."""
    if count < 1:
        raise ValueError(f"expected at least one panel, got {count}")
    columns = min(columns or count, count)
    rows = -(-count // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(width, rows * height), layout="constrained", squeeze=False
    )
    axes = list(np.ravel(grid))
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]


MOST_TICKS = 10


def mark_settings(axes: Axes, settings: Sequence[float], *, log: bool) -> None:
    """Ticks where something was measured, if that is in few places; of whole numbers, only whole ones."""
    if log:
        axes.set_xscale("log")
    whole = all(float(setting).is_integer() for setting in settings)
    if log and len(settings) <= MOST_TICKS:
        ticks = _apart(settings)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    elif whole and not log:
        whole_numbers(axes.xaxis)


def _apart(settings: Sequence[float]) -> list[float]:
    """Without those that are so near a smaller one that, on a log axis, their numbers would overlap."""
    ticks: list[float] = []
    for setting in sorted(settings):
        if not ticks or setting > 1.2 * ticks[-1]:
            ticks.append(setting)
    return ticks


def whole_numbers(axis: Axis) -> None:
    """Ticks at whole numbers only, and no more of them than there is room for."""
    axis.set_major_locator(MaxNLocator("auto", integer=True))


def mark_level(axes: Axes, value: float, label: str, *, colour: str = GREY, style: str = "--") -> None:
    """A labelled horizontal line: chance, a baseline, a bound."""
    axes.axhline(value, color=colour, linestyle=style, linewidth=1.3, zorder=1.5, label=label)


def mark_chance(axes: Axes, value: float) -> None:
    """A dotted vertical line with the word "chance" above it, for plots that run from left to right."""
    axes.axvline(value, color=GREY, linestyle=":", linewidth=1.3, zorder=1.5)
    place = axes.get_xaxis_transform()
    axes.text(value, 1.01, "chance", transform=place, ha="center", va="bottom", fontsize=9, color=GREY)
