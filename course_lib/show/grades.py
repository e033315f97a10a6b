"""Pictures of how a class did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from course_lib.show.style import COLOURS, GREY, WIDTH, styled, whole_numbers

SHARES = ("solved", "partly", "not solved", "not read yet")
_SHARE_COLOURS = (COLOURS[2], COLOURS[5], COLOURS[1], "#C8CED4")


@styled
def score_distribution(scores: Sequence[float], points: float) -> Figure:
    """A histogram of the scores, ten bars from 0 to `points`, with the median marked.

    Raises:
        ValueError: there are no scores.
    """
    if not scores:
        raise ValueError("expected at least one score")
    figure, axes = plt.subplots(figsize=(WIDTH, 2.8), layout="constrained")
    edges = np.linspace(0, points, 11).tolist()
    axes.hist(np.clip(scores, 0, points), bins=edges, color=COLOURS[0], edgecolor="white", linewidth=1.5)
    median = float(np.median(scores))
    axes.axvline(median, color=COLOURS[1], linewidth=2)
    place = axes.get_xaxis_transform()
    axes.text(median, 1.02, f"median {median:.4g}", transform=place, ha="center", color=COLOURS[1])
    axes.set(xlim=(0, points), xticks=edges, xlabel=f"points of {points:g}", ylabel="students")
    whole_numbers(axes.yaxis)
    axes.grid(axis="x", visible=False)
    return figure


@styled
def item_shares(counts: Mapping[str, Sequence[int]]) -> Figure:
    """A bar for every item: how many students solved it, partly, not, and how many answers wait.

    Args:
        counts: item -> four numbers, in the order of `SHARES`.

    Raises:
        ValueError: there are no items.
    """
    if not counts:
        raise ValueError("expected at least one item")
    figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.34 * len(counts)), layout="constrained")
    table = np.array(list(counts.values()), dtype=float)  # (items, 4)
    left = np.zeros(len(table))
    for share, colour, column in zip(SHARES, _SHARE_COLOURS, table.T, strict=True):
        axes.barh(list(counts), column, left=left, color=colour, label=share, height=0.7)
        left += column
    axes.invert_yaxis()
    axes.set(xlim=(0, max(1, left.max())), xlabel="students")
    whole_numbers(axes.xaxis)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0, labelcolor=GREY)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(SHARES))
    return figure
