"""Sliders where there is someone to move them, small multiples where there is not."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib.show.style import WIDTH, panels, styled

Draw = Callable[..., None]


def _static_wanted() -> bool:
    """True when nobody can move a slider: COURSE_STATIC=1 is set, or ipywidgets is missing."""
    if os.environ.get("COURSE_STATIC", "0") not in ("", "0"):
        return True
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        return True
    return False


@styled
def _one(draw: Draw, count: int, height: float, values: dict[str, Any]) -> Figure:
    figure, axes = panels(count, height=height, width=min(WIDTH, 4.5 * count))
    draw(axes if count > 1 else axes[0], **values)
    return figure


def _spread(choices: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the choices, evenly spread, both ends among them."""
    picks = np.unique(np.round(np.linspace(0, len(choices) - 1, min(count, len(choices)))).astype(int))
    return [choices[i] for i in picks]


@styled
def small_multiples(draw: Draw, *, count: int = 1, height: float = 2.6, **sliders: Sequence[Any]) -> Figure:
    """The picture for up to four values of the first slider; the other sliders stay at their middle value."""
    name, *others = sliders
    rest = {other: sliders[other][len(sliders[other]) // 2] for other in others}
    chosen = _spread(sliders[name], 4)
    figure, grid = plt.subplots(
        count, len(chosen), figsize=(WIDTH, height * count), layout="constrained", squeeze=False
    )
    for column, value in enumerate(chosen):
        axes: list[Axes] = list(grid[:, column])
        draw(axes if count > 1 else axes[0], **{name: value}, **rest)
        above = axes[0].get_title()
        axes[0].set_title(
            f"{name.replace('_', ' ')} = {value:g}" + (f"\n{above}" if above else ""), fontsize=10.5
        )
    return figure


def interact(draw: Draw, *, panels: int = 1, height: float = 2.6, **sliders: Sequence[Any]) -> Any:
    """A picture that follows its sliders; on a static page, the same picture for several values.

    Args:
        draw: `draw(axes, **values)` draws into one matplotlib Axes (a list of them if `panels` > 1).
        panels: how many axes `draw` wants.
        height: of a panel, in inches.
        **sliders: for each argument of `draw`, the values it may take, in order.

    Returns:
        A widget; or a Figure of small multiples over the first slider when COURSE_STATIC=1 is set
        or ipywidgets is missing.
    """
    if not sliders or any(len(choices) == 0 for choices in sliders.values()):
        raise ValueError("expected at least one slider, each with at least one value")
    if _static_wanted():
        return small_multiples(draw, count=panels, height=height, **sliders)
    import ipywidgets
    from IPython.display import display

    controls = {
        name: ipywidgets.SelectionSlider(
            options=[(f"{choice:g}", choice) for choice in choices],
            value=choices[len(choices) // 2],
            description=name.replace("_", " "),
            continuous_update=False,
            style={"description_width": "initial"},
        )
        for name, choices in sliders.items()
    }
    output = ipywidgets.interactive_output(
        lambda **values: display(_one(draw, panels, height, values)), controls
    )
    return ipywidgets.VBox([*controls.values(), output])
