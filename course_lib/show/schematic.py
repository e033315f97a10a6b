"""Schematics of methods: boxes, arrows, where the gradient flows back and where it stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from course_lib.show.style import COLOURS, GREY, INK, WIDTH, styled

Kind = Literal["data", "network", "follower", "memory", "loss"]
Flow = Literal["gradient", "stop", "average", "same"]

BLUE, VERMILION, GREEN = COLOURS[:3]
FILLS: Mapping[Kind, str] = {
    "data": "#FFFFFF",
    "network": "#D6E8F5",
    "follower": "#ECECEC",
    "memory": "#D5EFE6",
    "loss": "#FBE3D3",
}
EDGES: Mapping[Kind, str] = {
    "data": GREY,
    "network": BLUE,
    "follower": GREY,
    "memory": GREEN,
    "loss": VERMILION,
}
LINES: Mapping[Flow, tuple[str, Literal["-", "--", ":"], str]] = {
    "gradient": (VERMILION, "-", "the gradient comes back this way"),
    "stop": (GREY, "--", "no gradient"),
    "average": (BLUE, ":", "moving average of the weights"),
    "same": (BLUE, "-", "the same weights"),
}
BOX = (0.78, 0.5)  # width and height of a box, in columns and rows
ROW, MARGIN = 1.15, 0.55  # inches a row, inches for title and legend


@dataclass(frozen=True)
class Box:
    """A box of a schematic.

    Args:
        text: what it says; lines are split at a newline.
        column, row: where its middle stands; row 0 is at the top, halves are allowed.
        kind: what it is, which sets its colour; a "follower" is a network that no gradient changes.
    """

    text: str
    column: float
    row: float
    kind: Kind = "data"


@dataclass(frozen=True)
class Arrow:
    """From one box to another.

    Args:
        flow: "same" is a line without a head, between two drawings of one network.
        text: beside its middle.
        bend: 0 is straight; positive bends to the left, seen in its direction.
    """

    start: str
    end: str
    flow: Flow = "gradient"
    text: str = ""
    bend: float = 0.0


@dataclass(frozen=True)
class Schematic:
    """A method as a picture: boxes by name, and the arrows between them."""

    title: str
    boxes: Mapping[str, Box]
    arrows: Sequence[Arrow] = field(default=())


@styled
def schematic(method: Schematic) -> Figure:
    """Draw a method: data flows along the arrows, and the gradient back along those in colour.

    Args:
        method: such as `show.SIMCLR`.

    Raises:
        KeyError: an arrow starts or ends at a box that is not there.
    """
    columns = [box.column for box in method.boxes.values()]
    rows = [box.row for box in method.boxes.values()]
    height = ROW * (max(rows) - min(rows) + 1) + MARGIN
    figure, axes = plt.subplots(figsize=(WIDTH, height), layout="constrained")
    axes.set_xlim(min(columns) - 0.5, max(columns) + 0.5)
    axes.set_ylim(max(rows) + 0.5, min(rows) - 0.5)
    axes.set_axis_off()
    axes.set_title(method.title)
    patches = {name: _box(axes, box) for name, box in method.boxes.items()}
    for arrow in method.arrows:
        _arrow(axes, arrow, method.boxes, patches)
    flows = dict.fromkeys(arrow.flow for arrow in method.arrows)
    handles = [
        Line2D([], [], color=colour, linestyle=style, label=words)
        for colour, style, words in (LINES[flow] for flow in flows)
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(handles))
    return figure


def _box(axes: Axes, box: Box) -> FancyBboxPatch:
    width, height = BOX
    patch = FancyBboxPatch(
        (box.column - width / 2, box.row - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=FILLS[box.kind],
        edgecolor=EDGES[box.kind],
        linewidth=1.4,
        zorder=2,
    )
    axes.add_patch(patch)
    axes.text(box.column, box.row, box.text, ha="center", va="center", fontsize=10, color=INK, zorder=3)
    return patch


def _arrow(axes: Axes, arrow: Arrow, boxes: Mapping[str, Box], patches: Mapping[str, FancyBboxPatch]) -> None:
    start, end = boxes[arrow.start], boxes[arrow.end]
    colour, style, _ = LINES[arrow.flow]
    axes.add_patch(
        FancyArrowPatch(
            (start.column, start.row),
            (end.column, end.row),
            patchA=patches[arrow.start],
            patchB=patches[arrow.end],
            arrowstyle="-" if arrow.flow == "same" else "-|>",
            connectionstyle=f"arc3,rad={arrow.bend}",
            mutation_scale=14,
            shrinkA=2,
            shrinkB=2,
            color=colour,
            linestyle=style,
            linewidth=1.8,
            zorder=1,
        )
    )
    if arrow.text:
        axes.annotate(
            arrow.text,
            ((start.column + end.column) / 2, (start.row + end.row) / 2),
            xytext=(6, 0) if start.column == end.column else (0, 6),
            textcoords="offset points",
            ha="left" if start.column == end.column else "center",
            va="center" if start.column == end.column else "bottom",
            fontsize=9,
            color=colour,
        )
