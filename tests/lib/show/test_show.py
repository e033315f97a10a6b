"""Pictures are judged by eye; these tests hold what they must say, and that no figure is left open."""

import math
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from course_lib import show
from course_lib.evaluate import Scoreboard


def test_figures_are_closed_so_that_a_notebook_shows_them_once():
    show.bars({"one": 0.1, "two": [0.2, 0.3]}, x="accuracy", chance=0.1)
    show.curve(
        {0.1: [0.2, 0.3], 1.0: 0.4}, x="temperature", y="accuracy", chance=0.1, baseline=0.2, log_x=True
    )
    assert plt.get_fignums() == []


def test_the_style_does_not_leak():
    before = plt.rcParams["axes.spines.top"]
    show.histogram({"some": torch.randn(50), "others": torch.randn(30)}, x="similarity")
    assert plt.rcParams["axes.spines.top"] == before


def test_images_places_each_image_where_it_belongs():
    colours = torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 8, 8)  # red, green, blue
    (axes,) = show.images(colours, ["r", "g", "b"], columns=3).axes
    canvas = axes.images[0].get_array()
    centres = canvas[canvas.shape[0] - 5, [4, 4 + 9, 4 + 18]]
    assert (centres == np.eye(3)).all()
    assert [text.get_text() for text in axes.texts] == ["r", "g", "b"]


def test_images_takes_bytes_and_clips_floats():
    (axes,) = show.images(torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)).axes
    assert axes.images[0].get_array().max() == 1
    (axes,) = show.images(torch.full((1, 3, 4, 4), 1.7)).axes
    assert axes.images[0].get_array().max() == 1


@pytest.mark.parametrize("wrong", [torch.zeros(3, 8, 8), torch.zeros(2, 5, 8, 8)])
def test_images_refuses_what_is_not_images(wrong):
    with pytest.raises(ValueError, match="expected images"):
        show.images(wrong)


def test_images_wants_a_title_for_each():
    with pytest.raises(ValueError, match="expected 2 titles"):
        show.images(torch.rand(2, 3, 8, 8), ["only one"])


def test_pairs_names_its_rows_and_resizes_the_originals():
    (axes,) = show.pairs(torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8), torch.rand(4, 3, 16, 16)).axes
    assert [text.get_text() for text in axes.texts] == ["image", "view 1", "view 2"]
    with pytest.raises(ValueError, match="one shape"):
        show.pairs(torch.rand(4, 3, 8, 8), torch.rand(3, 3, 8, 8))


def test_loss_curve_marks_chance_and_accepts_a_history():
    history = SimpleNamespace(losses=[3.0 - 0.01 * step for step in range(100)])
    (axes,) = show.loss_curve(history, chance=math.log(20)).axes
    assert "chance: 3.00" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert any(line.get_ydata()[0] == pytest.approx(math.log(20)) for line in axes.lines)


def test_loss_curve_gives_every_run_its_own_panel_when_chances_differ():
    figure = show.loss_curve({"a": [2.0, 1.0], "b": [9.0, 8.0]}, chance={"a": 2.5, "b": 10.0}, smooth=1)
    first, second = figure.axes
    assert first.get_title() == "a"
    assert first.get_ylim()[1] > 2.5
    assert second.get_ylim()[1] > 10


def test_smoothing_keeps_a_constant_and_the_length():
    (axes,) = show.loss_curve([2.0] * 50, smooth=9).axes
    assert all(line.get_ydata() == pytest.approx([2.0] * 50) for line in axes.lines)


def test_similarity_matrix_writes_small_numbers_only_where_there_is_room():
    figure = show.similarity_matrix({"few": torch.eye(3) * 1e-9, "many": torch.eye(20)})
    few, many = figure.axes[:2]
    assert {text.get_text() for text in few.texts} == {"0"}
    assert len(many.texts) == 0
    with pytest.raises(ValueError, match="matrix"):
        show.similarity_matrix(torch.zeros(3))


def test_similarity_matrix_names_its_axes_and_marks_the_largest_of_every_row():
    cells = torch.tensor([[0.1, 0.3], [0.2, 0.0]])
    axes = show.similarity_matrix(cells, names=["disc", "ring"], mark_best=True).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["disc", "ring"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["disc", "ring"]
    (dots,) = axes.lines
    assert list(zip(dots.get_xdata(), dots.get_ydata(), strict=True)) == [(1, 0), (0, 1)]
    crowded = show.similarity_matrix(torch.eye(20), names=[str(i) for i in range(20)]).axes[0]
    assert "19" not in [text.get_text() for text in crowded.get_xticklabels()]
    twelve = show.similarity_matrix(torch.eye(12)).axes[0]
    assert all(float(tick).is_integer() for tick in (*twelve.get_xticks(), *twelve.get_yticks()))


def test_points_draws_every_point_once_and_names_the_first():
    figure = show.points({"x": torch.randn(6, 2)}, torch.tensor([0, 0, 1, 1, 2, 2]), names=["p", "q"])
    (axes,) = figure.axes
    groups = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert sum(len(line.get_xdata()) for line in groups) == 6
    assert [text.get_text() for text in axes.texts] == ["p", "q"]


def test_points_in_motion_is_a_page_of_its_own_and_small():
    paths = {"one": torch.randn(30, 8, 2), "two": torch.randn(30, 8, 2)}
    page = show.points_in_motion(paths, torch.arange(4).repeat(2), frames=6).data
    assert "<script" in page
    assert "base64" in page
    assert len(page) < 500_000
    assert plt.get_fignums() == []


def test_points_in_motion_says_what_it_expects():
    with pytest.raises(ValueError, match=r"\(T, N, 2\) with N = 5"):
        show.points_in_motion({"one": torch.randn(30, 8, 2)}, torch.arange(5))


def draw(axes, temperature, scale=1):
    axes.bar(range(3), torch.softmax(torch.arange(3.0) / temperature, dim=0) * scale)


def test_interact_is_a_widget_where_widgets_work(monkeypatch):
    ipywidgets = pytest.importorskip("ipywidgets")
    monkeypatch.delenv("COURSE_STATIC", raising=False)
    widget = show.interact(draw, temperature=[0.1, 0.5, 1.0])
    assert isinstance(widget, ipywidgets.VBox)
    assert widget.children[0].value == 0.5


def test_interact_is_a_figure_on_a_static_page(monkeypatch):
    monkeypatch.setenv("COURSE_STATIC", "1")
    figure = show.interact(draw, temperature=[0.01, 0.1, 0.2, 0.5, 1.0, 5.0], scale=[1, 2, 3])
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 4
    assert titles[0] == "temperature = 0.01"
    assert titles[-1] == "temperature = 5"
    assert figure.axes[0].patches[0].get_height() <= 2  # the other slider rests in the middle


def test_interact_is_a_figure_without_ipywidgets(monkeypatch):
    monkeypatch.delenv("COURSE_STATIC", raising=False)
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    assert len(show.interact(draw, temperature=[0.1, 1.0]).axes) == 2


def test_interact_wants_sliders():
    with pytest.raises(ValueError, match="slider"):
        show.interact(draw)


def test_scoreboard_picture_names_every_method(tmp_path):
    board = Scoreboard(tmp_path / "scores.csv")
    for method, values in {"chance": {0: 0.1}, "supervised": {0: 0.7}, "mine": {0: 0.5, 1: 0.6}}.items():
        board.record(method, values, week=1, dataset="shapes", metric="kNN")
    (axes,) = show.scoreboard(board, metric="kNN", dataset="shapes").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mine", "supervised"]
    with pytest.raises(ValueError, match="no 'kNN' on 'pets'"):
        show.scoreboard(board, metric="kNN", dataset="pets")
