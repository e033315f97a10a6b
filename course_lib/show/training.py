"""A run at a glance: its loss, and beside it what was measured on the way."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from course_lib.show.curves import draw_loss
from course_lib.show.style import COLOURS, mark_level, panels, styled
from course_lib.train import History


@styled
def training(
    runs: History | Mapping[str, History],
    *,
    probe: str = "online kNN",
    probe_chance: float | None = None,
    smooth: int = 9,
    title: str | None = None,
) -> Figure:
    """Loss, probe and meters of one run or several by name, a panel each, with chance where it is known.

    Args:
        runs: histories of `fit`. The loss at chance is the first one's `chance`.
        probe: what the probe measured.
        probe_chance: its value for guessing.
        smooth: steps averaged for the strong line of the loss.
    """
    named = runs if isinstance(runs, Mapping) else {"": runs}
    first = next(iter(named.values()))
    measured = {name: {run: h.meters.get(name, []) for run, h in named.items()} for name in first.meters}
    if first.probe:
        measured = {probe: {run: h.probe for run, h in named.items()}} | measured
    figure, (left, *grid) = panels(1 + len(measured), columns=4, height=2.7)
    draw_loss(left, named, chance=first.chance, smooth=smooth)
    for axes, (name, lines) in zip(grid, measured.items(), strict=True):
        for colour, points in zip(COLOURS, lines.values(), strict=False):
            axes.plot([s for s, _ in points], [v for _, v in points], "o-", color=colour, markersize=4)
        if name == probe and probe_chance is not None:
            mark_level(axes, probe_chance, "chance")
            axes.legend()
        axes.set(xlabel="step", title=name)
        axes.margins(y=0.15)
        axes.set_ylim(bottom=0)
    left.set(title="loss", ylabel="")
    figure.suptitle(title or "")
    return figure
