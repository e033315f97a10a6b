"""Two-dimensional embeddings, at rest and in motion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.show.style import COLOURS, MARKERS, WIDTH, panels, styled

if TYPE_CHECKING:
    from IPython.display import HTML


def _frame(axes: Axes, name: str, path: np.ndarray) -> None:
    """Fix equal, generous limits from the whole path, so that scales can be compared over time."""
    reach = 1.12 * max(np.abs(path).max(), 1e-3)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title=name)
    axes.locator_params(nbins=3)
    axes.tick_params(labelsize=8, length=0)
    axes.axhline(0, color="#D0D0D0", linewidth=0.8, zorder=0)
    axes.axvline(0, color="#D0D0D0", linewidth=0.8, zorder=0)


def _draw_classes(axes: Axes, points: np.ndarray, labels: np.ndarray) -> list[Any]:
    """One artist for each class, with its own colour and its own marker."""
    artists = []
    for i, label in enumerate(np.unique(labels)):
        x, y = points[labels == label].T
        (line,) = axes.plot(
            x, y, MARKERS[i % len(MARKERS)], color=COLOURS[i % len(COLOURS)], markersize=4.5, alpha=0.8, mew=0
        )
        artists.append(line)
    return artists


def _check(paths: Mapping[str, Tensor], labels: Tensor, dims: int) -> dict[str, np.ndarray]:
    for name, path in paths.items():
        if path.ndim != dims or path.shape[-2:] != (len(labels), 2):
            shape = "(T, N, 2)" if dims == 3 else "(N, 2)"
            raise ValueError(f"expected {shape} with N = {len(labels)} for {name!r}, got {tuple(path.shape)}")
    return {name: path.detach().cpu().float().numpy() for name, path in paths.items()}


@styled
def points(
    embeddings: Mapping[str, Tensor],
    labels: Tensor,
    *,
    names: Sequence[str] = (),
    columns: int = 4,
    title: str | None = None,
) -> Figure:
    """Embeddings (N, 2) by name, side by side, coloured and marked by label (N,).

    Scales differ from panel to panel: read the axes. `names` are written beside the first points.
    """
    arrays, classes = _check(embeddings, labels, 2), labels.cpu().numpy()
    figure, grid = panels(len(arrays), columns=columns, height=2.5, width=WIDTH if len(arrays) > 1 else 3.6)
    for axes, (name, array) in zip(grid, arrays.items(), strict=True):
        _frame(axes, name, array)
        _draw_classes(axes, array, classes)
        for text, place in zip(names, array, strict=False):
            axes.annotate(text, place, (6, 4), textcoords="offset points", fontsize=11)
    figure.suptitle(title or "")
    return figure


@styled
def points_in_motion(
    paths: Mapping[str, Tensor], labels: Tensor, *, frames: int = 18, columns: int = 4, seconds: float = 5.0
) -> HTML:
    """An animation of training: paths (T, N, 2) by name, side by side, coloured by label (N,).

    Self-contained HTML with its own player; it needs no kernel, so it also moves on a static page.
    Frames are taken more densely early on, where most of the movement is.
    """
    import matplotlib.pyplot as plt
    from IPython.display import HTML
    from matplotlib.animation import FuncAnimation

    arrays, classes = _check(paths, labels, 3), labels.cpu().numpy()
    length = min(len(path) for path in arrays.values())
    moments = np.unique(np.round((length - 1) * np.linspace(0, 1, frames) ** 2).astype(int))
    figure, grid = panels(len(arrays), columns=columns, height=2.35)
    figure.set_dpi(64)  # every frame is a picture inside the page: keep them small
    artists = []
    for axes, (name, path) in zip(grid, arrays.items(), strict=True):
        _frame(axes, name, path)
        artists.append(_draw_classes(axes, path[0], classes))
    clock = figure.suptitle("step 0")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is the same in every frame: find it once

    def draw(moment: int) -> list[Any]:
        for path, lines in zip(arrays.values(), artists, strict=True):
            for line, label in zip(lines, np.unique(classes), strict=True):
                line.set_data(*path[moment][classes == label].T)
        clock.set_text(f"step {moment}")
        return [line for lines in artists for line in lines]

    film = FuncAnimation(figure, draw, frames=list(moments), interval=int(1000 * seconds / len(moments)))
    html = film.to_jshtml(default_mode="loop")
    plt.close(figure)
    return HTML(html)
