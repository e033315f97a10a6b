"""Schematics say where the gradient flows: as the methods themselves have it."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from course_lib import show

ALL = [show.SIMCLR, show.MOCO]


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.title.split(":")[0])
def test_every_box_and_arrow_is_drawn_inside_the_picture(method: show.Schematic) -> None:
    figure = show.schematic(method)
    (axes,) = figure.axes
    assert plt.get_fignums() == []
    figure.canvas.draw()
    frame = figure.bbox
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert (len(boxes), len(arrows)) == (len(method.boxes), len(method.arrows))
    extents = [patch.get_window_extent() for patch in boxes]
    for extent, text in zip(extents, axes.texts, strict=False):
        assert frame.contains(extent.x0, extent.y0)
        assert frame.contains(extent.x1, extent.y1)
        if text.get_text() in {box.text for box in method.boxes.values()}:
            words = text.get_window_extent()
            assert extent.x0 < words.x0
            assert words.x1 < extent.x1
    assert not any(a.overlaps(b) for i, a in enumerate(extents) for b in extents[:i])


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.title.split(":")[0])
def test_the_legend_explains_just_the_arrows_that_occur(method: show.Schematic) -> None:
    (axes,) = show.schematic(method).axes
    assert len(axes.get_legend().get_texts()) == len({arrow.flow for arrow in method.arrows})


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.title.split(":")[0])
def test_gradient_reaches_networks_and_no_follower(method: show.Schematic) -> None:
    reached = {arrow.start for arrow in method.arrows if arrow.flow == "gradient"}
    assert {name for name, box in method.boxes.items() if box.kind == "network"} == reached


def test_an_arrow_to_nowhere_is_an_error() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        show.schematic(show.Schematic("", {"a": show.Box("a", 0, 0)}, (show.Arrow("a", "nowhere"),)))
