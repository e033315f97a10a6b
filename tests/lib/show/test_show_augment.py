"""Galleries and the widget of augmentations."""

import pytest
import torch
from matplotlib.figure import Figure

from course_lib.augment import SimCLRAugment, papers
from course_lib.show.augment import gallery, play_with_views, single_steps

IMAGE = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)


def test_gallery_and_its_rows() -> None:
    state = torch.get_rng_state()
    figure = gallery(IMAGE, {"SimCLR": SimCLRAugment(24), "MAE": papers.mae(32)}, count=3)
    assert isinstance(figure, Figure)
    assert {text.get_text() for text in figure.axes[0].texts} == {"SimCLR", "MAE"}
    assert torch.equal(torch.get_rng_state(), state)


def test_single_steps_change_what_they_name() -> None:
    torch.manual_seed(0)
    images = IMAGE.expand(8, -1, -1, -1)
    plain = images.float() / 255
    for name, pipeline in single_steps(32).items():
        views = pipeline(images)
        assert views.shape == (8, 3, 32, 32)
        assert not torch.allclose(views, plain, atol=1e-3), name
    assert isinstance(gallery(IMAGE, single_steps(32), count=2), Figure)


def test_widget_falls_back_to_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_STATIC", "1")
    figure = play_with_views(IMAGE, pairs=2)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 4


def test_widget(monkeypatch: pytest.MonkeyPatch) -> None:
    ipywidgets = pytest.importorskip("ipywidgets")
    monkeypatch.delenv("COURSE_STATIC", raising=False)
    assert isinstance(play_with_views(IMAGE, pairs=1), ipywidgets.VBox)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="one image"):
        gallery(IMAGE[None], {"MAE": papers.mae(32)})
    with pytest.raises(ValueError, match="at least one"):
        gallery(IMAGE, {})
