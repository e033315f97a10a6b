"""Curves, bars, histograms and labelled planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.show.style import (
    COLOURS,
    MARKERS,
    WIDTH,
    mark_chance,
    mark_level,
    mark_settings,
    panels,
    styled,
    whole_numbers,
)

Values = float | Sequence[float]


def _losses(run: Any) -> np.ndarray:
    """The losses of a training history, or the numbers themselves."""
    return np.asarray(getattr(run, "losses", run), dtype=float)


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Centred moving average whose window shrinks at the ends, so no point is invented."""
    if window < 2 or len(values) <= window:
        return values
    sums = np.convolve(values, np.ones(window), mode="same")
    return sums / np.convolve(np.ones_like(values), np.ones(window), mode="same")


def draw_loss(axes: Axes, runs: Mapping[str, Any], *, chance: float | None, smooth: int) -> None:
    """Draw loss curves into `axes`; the raw values stay visible behind the smoothed line."""
    for colour, (name, run) in zip(COLOURS, runs.items(), strict=False):
        values = _losses(run)
        if smooth > 1:
            axes.plot(values, color=colour, alpha=0.2, linewidth=1)
        axes.plot(_smooth(values, smooth), color=colour, label=name or None)
    if chance is not None:
        mark_level(axes, chance, f"chance: {chance:.2f}")
    whole_numbers(axes.xaxis)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    if axes.get_legend_handles_labels()[1]:
        axes.legend()


@styled
def loss_curve(
    runs: Any, *, chance: float | Mapping[str, float] | None = None, smooth: int = 9, title: str | None = None
) -> Figure:
    """Loss against step, with the loss of an untrained guess marked.

    Args:
        runs: one history (anything with `.losses`, or the numbers), or several by name.
        chance: the loss of a network that knows nothing, such as log N. A number marks one panel that
            holds all runs; numbers by name give each run a panel of its own, since losses with
            different chance levels do not share an axis.
        smooth: steps averaged for the strong line; 1 draws the raw values only.
    """
    named = runs if isinstance(runs, Mapping) else {"": runs}
    if not isinstance(chance, Mapping):
        figure, (axes,) = panels(1, height=3.4, width=0.72 * WIDTH)
        draw_loss(axes, named, chance=chance, smooth=smooth)
        axes.set_title(title or "")
        return figure
    figure, grid = panels(len(named), columns=4, height=2.2)
    for axes, (name, run) in zip(grid, named.items(), strict=True):
        draw_loss(axes, {"": run}, chance=None, smooth=smooth)
        axes.set(title=name, ylabel="")
        if (level := chance.get(name)) is not None:
            mark_level(axes, level, "chance")
            place = axes.get_yaxis_transform()  # no room for a legend: write on the line itself
            axes.text(0.98, level, f"{level:.2f}", transform=place, ha="right", va="bottom", fontsize=9)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0.0), high + 0.12 * (high - low))
    grid[0].set_ylabel("loss")
    figure.suptitle(title or "")
    return figure


def _series(values: Mapping[Any, Any]) -> Mapping[str, Mapping[float, Values]]:
    nested = values and isinstance(next(iter(values.values())), Mapping)
    return values if nested else {"": values}


@styled
def curve(
    values: Mapping[Any, Any],
    *,
    x: str,
    y: str,
    chance: float | None = None,
    baseline: float | Mapping[str, float] | None = None,
    log_x: bool = False,
    title: str | None = None,
) -> Figure:
    """A measurement against a setting, with a band over seeds, chance and baselines.

    Args:
        values: setting -> value, or setting -> values over seeds, or name -> one of these.
        x, y: what the axes are.
        chance: the score of guessing, drawn dotted.
        baseline: one number, or several by name, drawn dashed.
        log_x: settings are spread over powers of ten.
    """
    figure, (axes,) = panels(1, height=3.6, width=0.72 * WIDTH)
    for i, (name, line) in enumerate(_series(values).items()):
        settings = sorted(line)
        seeds = [np.atleast_1d(np.asarray(line[s], dtype=float)) for s in settings]
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        axes.plot(
            settings, [s.mean() for s in seeds], color=colour, marker=marker, markersize=5, label=name or None
        )
        axes.fill_between(
            settings, [s.min() for s in seeds], [s.max() for s in seeds], color=colour, alpha=0.18
        )
    every = sorted({setting for line in _series(values).values() for setting in line})
    mark_settings(axes, every, log=log_x)
    marks = (
        baseline if isinstance(baseline, Mapping) else {"baseline": baseline} if baseline is not None else {}
    )
    for i, (name, level) in enumerate(marks.items()):
        mark_level(axes, level, name, colour=COLOURS[::-1][i], style="--")
    if chance is not None:
        mark_level(axes, chance, "chance", style=":")
    axes.set(xlabel=x, ylabel=y, title=title or "")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@styled
def functions(
    lines: Mapping[str, tuple[Any, Any]],
    *,
    x: str,
    y: str,
    level: Mapping[str, float] | None = None,
    title: str = "",
) -> Figure:
    """Curves y(x), each name -> (x values, y values); `level` adds named horizontal lines."""
    figure, (axes,) = panels(1, height=3.2, width=0.72 * WIDTH)
    for name, (xs, ys) in lines.items():
        axes.plot(np.asarray(xs), np.asarray(ys), label=name)
    for name, value in (level or {}).items():
        mark_level(axes, value, name)
    axes.set(xlabel=x, ylabel=y, title=title)
    axes.legend()
    return figure


@styled
def bars(
    values: Mapping[str, Values],
    *,
    x: str,
    chance: float | None = None,
    digits: int = 2,
    title: str | None = None,
) -> Figure:
    """Horizontal bars, name -> value or values over seeds (each seed a small dot), top to bottom."""
    figure, (axes,) = panels(1, height=0.8 + 0.38 * len(values), width=0.8 * WIDTH)
    for row, seeds in enumerate(np.atleast_1d(np.asarray(v, dtype=float)) for v in values.values()):
        axes.barh(row, seeds.mean(), color=COLOURS[0], alpha=0.85, height=0.62)
        if len(seeds) > 1:
            axes.plot(seeds, [row] * len(seeds), "o", color="white", markeredgecolor=COLOURS[6], markersize=5)
        axes.annotate(
            f"{seeds.mean():.{digits}f}",
            (max(seeds.max(), 0.0), row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(values)), list(values))
    axes.tick_params(axis="y", colors=COLOURS[6], length=0)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    if chance is not None:
        mark_chance(axes, chance)
    axes.set(xlabel=x, title=title or "")
    return figure


@styled
def histogram(groups: Mapping[str, Tensor], *, x: str, bins: int = 60, title: str | None = None) -> Figure:
    """Distributions of several groups over one axis, each with area one, its mean in the legend."""
    arrays = {name: values.detach().cpu().float().flatten().numpy() for name, values in groups.items()}
    ends = [edge for values in arrays.values() for edge in (values.min(), values.max())]
    edges = np.linspace(min(ends), max(ends) + 1e-6, bins + 1).tolist()
    figure, (axes,) = panels(1, height=3.2, width=0.8 * WIDTH)
    for colour, (name, values) in zip(COLOURS, arrays.items(), strict=False):
        axes.hist(values, edges, density=True, color=colour, alpha=0.25)
        label = f"{name} (mean {values.mean():.2f})"
        axes.hist(values, edges, density=True, color=colour, histtype="step", linewidth=1.8, label=label)
    axes.set(xlabel=x, ylabel="density", title=title or "")
    axes.set_yticks([])
    axes.legend()
    return figure


@styled
def plane(
    points: Mapping[str, tuple[float, float]],
    *,
    x: str,
    y: str,
    better: str | None = None,
    title: str | None = None,
) -> Figure:
    """Named points in a plane; `better` says in words where the good corner lies."""
    figure, (axes,) = panels(1, height=3.8, width=0.8 * WIDTH)
    for i, (name, (px, py)) in enumerate(points.items()):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        axes.plot(px, py, linestyle="", marker=marker, color=colour, markersize=10, label=name)
    axes.margins(0.12)
    axes.set(xlabel=x, ylabel=y, title=title or "")
    if better:
        axes.text(0.02, 0.03, f"↙ {better}", transform=axes.transAxes, color=COLOURS[6], fontsize=10)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
