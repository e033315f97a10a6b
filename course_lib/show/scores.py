"""The scoreboard as a picture."""

from __future__ import annotations

from statistics import mean

from matplotlib.figure import Figure

from course_lib.evaluate.scoreboard import REFERENCES, Scoreboard
from course_lib.show.style import COLOURS, GREY, WIDTH, mark_chance, panels, styled


@styled
def scoreboard(
    board: Scoreboard, *, metric: str, dataset: str, profile: str = "full", title: str | None = None
) -> Figure:
    """Every method's score as a dot on one line (small dots: seeds), references in grey, chance dotted.

    Raises:
        ValueError: nothing was recorded for this metric, data set and profile.
    """
    found = {
        name: board.values(name, metric=metric, dataset=dataset, profile=profile) for name in board.methods()
    }
    found = {name: values for name, values in found.items() if values}
    if not found:
        raise ValueError(f"the scoreboard has no {metric!r} on {dataset!r} with profile {profile!r}")
    chance = found.pop("chance", None)
    order = sorted(found, key=lambda name: mean(found[name]))
    figure, (axes,) = panels(1, height=0.9 + 0.4 * len(order), width=0.8 * WIDTH)
    for row, name in enumerate(order):
        colour = GREY if name in REFERENCES else COLOURS[0]
        centre = mean(found[name])
        axes.plot(found[name], [row] * len(found[name]), "o", color=colour, markersize=5, alpha=0.4, mew=0)
        axes.plot(centre, row, "o", color=colour, markersize=9)
        axes.annotate(
            f"{centre:.2f}", (centre, row), (0, 8), textcoords="offset points", ha="center", fontsize=9
        )
    if chance:
        mark_chance(axes, chance[0])
    axes.set_yticks(range(len(order)), order)
    axes.tick_params(axis="y", colors=COLOURS[6], length=0)
    axes.set(xlabel=metric, xlim=(0, 1), ylim=(-0.6, len(order) - 0.2), title=title or "")
    return figure
