"""Ticks and legends of curves: where something was measured, and readable."""

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
