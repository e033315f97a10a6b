"""Similarity matrices: what a batch looks like to a contrastive loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.show.style import DIVERGING, INK, panels, styled, whole_numbers


@styled
def similarity_matrix(
    similarities: Tensor | Mapping[str, Tensor],
    *,
    numbers: bool | None = None,
    names: Sequence[str] = (),
    mark_best: bool = False,
    limit: float = 1.0,
    title: str | None = None,
) -> Figure:
    """Heat maps of pairwise similarities, orange for alike and blue for unlike.

    Args:
        similarities: one matrix (N, M), or several by name, drawn side by side on one colour scale.
        numbers: write each value into its cell; by default only where at most eight columns leave room.
        names: of rows and columns, written where there are at most twelve.
        mark_best: put a dot into the largest cell of every row.
        limit: the scale runs from -limit to limit; 1 for cosine similarities.
    """
    named = similarities if isinstance(similarities, Mapping) else {"": similarities}
    for values in named.values():
        if values.ndim != 2:
            raise ValueError(f"expected a matrix (N, M), got {tuple(values.shape)}")
    figure, grid = panels(len(named), columns=4, height=3.1, width=0.6 + 2.9 * min(len(named), 4))
    for axes, (name, values) in zip(grid, named.items(), strict=True):
        cells = values.detach().cpu().float().numpy()
        picture = axes.imshow(cells, cmap=DIVERGING, vmin=-limit, vmax=limit)
        axes.set_title(name)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        _label(axes, cells, names)
        if mark_best:
            axes.plot(cells.argmax(axis=1), range(len(cells)), "o", color=INK, markersize=4)
        if cells.shape[1] <= 8 if numbers is None else numbers:
            for row, column in np.ndindex(cells.shape):
                value = round(float(cells[row, column]), 2) + 0.0  # + 0.0 turns -0 into 0
                axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=8)
    figure.colorbar(picture, ax=grid, shrink=0.8, label="similarity")
    figure.suptitle(title or "")
    return figure


def _label(axes: Axes, cells: np.ndarray, names: Sequence[str]) -> None:
    """Names at both axes, or numbers, where they do not run into each other."""
    if names and len(names) <= 12:
        axes.set_xticks(range(cells.shape[1]), names, rotation=90)
        axes.set_yticks(range(cells.shape[0]), names)
        axes.tick_params(labelsize=8)
    elif cells.shape[1] <= 8:
        axes.set_xticks(range(cells.shape[1]))
        axes.set_yticks(range(cells.shape[0]))
    else:
        whole_numbers(axes.xaxis)
        whole_numbers(axes.yaxis)
