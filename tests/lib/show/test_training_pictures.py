"""Neighbours and runs as pictures: what they must say."""

import matplotlib.pyplot as plt
import pytest
import torch

from course_lib import show
from course_lib.train import History


def test_neighbours_shows_the_nearest_first_under_each_query():
    shades = torch.tensor([0.0, 0.25, 0.5, 0.75]).view(4, 1, 1, 1).expand(4, 3, 6, 6)
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.2], [-1.0, 0.0]])
    figure = show.neighbours(
        torch.ones(1, 3, 6, 6),
        torch.tensor([[2.0, 0.1]]),  # its length must not matter
        shades,
        features,
        k=3,
        query_names=["q"],
        gallery_names=list("abcd"),
    )
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["q", "a", "c", "b", "query", "1.", "2.", "3."]
    column = axes.images[0].get_array()[:, 3, 0]
    assert [shade for shade in dict.fromkeys(column.tolist()) if shade < 1] == [0.0, 0.5, 0.25]
    assert plt.get_fignums() == []


def test_neighbours_refuses_what_does_not_fit():
    pictures, features = torch.zeros(3, 3, 4, 4), torch.zeros(3, 2)
    with pytest.raises(ValueError, match="one feature for each gallery image"):
        show.neighbours(pictures, features, pictures, features[:2])
    with pytest.raises(ValueError, match=r"k in \[1, 3\]"):
        show.neighbours(pictures, features, pictures, features, k=4)


def test_training_shows_loss_probe_and_meters_with_chance():
    history = History(
        losses=[2.0, 1.5, 1.0, 0.5],
        probe=[(2, 0.3), (4, 0.5)],
        chance=2.2,
        meters={"effective rank": [(2, 5.0), (4, 9.0)]},
    )
    figure = show.training({"one": history, "two": history}, probe_chance=0.1)
    assert [axes.get_title() for axes in figure.axes] == ["loss", "online kNN", "effective rank"]
    loss, probe, rank = figure.axes
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["one", "two", "chance: 2.20"]
    assert list(probe.lines[0].get_ydata()) == [0.3, 0.5]
    assert list(probe.lines[2].get_ydata()) == [0.1, 0.1]
    assert list(rank.lines[1].get_xdata()) == [2, 4]
    assert plt.get_fignums() == []


def test_training_of_a_run_without_measurements_is_its_loss():
    assert len(show.training(History(losses=[1.0, 0.5])).axes) == 1
