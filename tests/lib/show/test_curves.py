"""Ticks and legends of curves: where something was measured, and readable."""

from itertools import pairwise

from matplotlib.axes import Axes

from course_lib import show


def tick_labels(axes: Axes) -> list[str]:
    axes.figure.draw_without_rendering()
    low, high = axes.get_xlim()
    ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    return [label.get_text() for place, label in ticks if low <= place <= high]


def test_a_log_axis_names_the_values_that_were_asked_for() -> None:
    few = {"frozen": {2: 0.2, 5: 0.3}, "tuned": {20: 0.5, 100: 0.6}}
    (axes,) = show.curve(few, x="labels a class", y="accuracy", log_x=True).axes
    assert tick_labels(axes) == ["2", "5", "20", "100"]
    assert len(axes.get_xticks(minor=True)) == 0


def test_many_values_leave_the_powers_of_ten() -> None:
    (axes,) = show.curve({2**k: float(k) for k in range(13)}, x="N", y="nats", log_x=True).axes
    assert len(axes.get_xticks()) < 10


def test_whole_numbers_have_whole_ticks() -> None:
    (axes,) = show.curve({k: k / 7 for k in range(1, 6)}, x="epoch", y="kNN").axes
    assert all(float(label.replace("−", "-")).is_integer() for label in tick_labels(axes))
    (axes,) = show.loss_curve([3.0, 2.0, 1.0, 0.5], smooth=1).axes
    assert all(float(label.replace("−", "-")).is_integer() for label in tick_labels(axes))


def test_no_line_runs_through_the_words_of_a_legend() -> None:
    (axes,) = show.loss_curve({"a": [3.0, 2.0], "b": [2.0, 1.0]}, chance=2.5).axes
    frame = axes.get_legend().get_frame()
    assert frame.get_visible()
    assert frame.get_alpha() > 0.8


def test_ticks_of_small_panels_do_not_run_into_each_other() -> None:
    figure = show.loss_curve([1 / (1 + step) for step in range(200)])
    figure.set_size_inches(2.2, 2.0)
    figure.canvas.draw()
    low, high = figure.axes[0].get_xlim()
    ticks = zip(figure.axes[0].get_xticks(), figure.axes[0].get_xticklabels(), strict=True)
    boxes = [label.get_window_extent() for place, label in ticks if low <= place <= high]
    assert len(boxes) >= 2
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def test_settings_that_nearly_coincide_on_a_log_axis_share_a_tick() -> None:
    lines = {"a": {62: 1.0, 510: 2.0}, "b": {512: 1.0, 2048: 1.0}}
    (axes,) = show.curve(lines, x="negatives", y="MiB", log_x=True).axes
    assert tick_labels(axes) == ["62", "510", "2048"]
