import numpy as np
import pytest
import torch

from course_lib.data.shapes.geometry import SIGNED_DISTANCES, cos_sin
from course_lib.data.shapes.textures import PATTERNS
from course_lib.data.shapes.vocabulary import PALETTES, SHAPES, TEXTURES

SIDE = 400


def plane() -> tuple[torch.Tensor, torch.Tensor]:
    at = (torch.arange(SIDE) + 0.5) / SIDE * 3 - 1.5
    return at.expand(SIDE, SIDE), at.flip(0).unsqueeze(1).expand(SIDE, SIDE)


def test_tables_and_names_are_in_the_same_order() -> None:
    assert tuple(shape.__name__ for shape in SIGNED_DISTANCES) == SHAPES
    assert tuple(texture.__name__ for texture, _ in PATTERNS) == TEXTURES
    assert len(SHAPES) == len(set(SHAPES)) == len(TEXTURES) == len(set(PALETTES)) >= 10


@pytest.mark.parametrize("shape", SIGNED_DISTANCES, ids=SHAPES)
def test_a_shape_fills_the_unit_circle_and_has_slope_one_at_its_outline(shape) -> None:
    u, v = plane()
    distance = shape(u, v)
    inside = distance < 0
    assert (u**2 + v**2)[inside].max() <= 1.17  # corners may reach a little beyond
    assert (u**2 + v**2)[inside].max() >= 0.8
    down, across = np.gradient(distance.numpy(), 3 / SIDE)
    near = (distance.abs() < 0.02).numpy()
    slope = np.hypot(down, across)[near]
    assert np.mean(np.abs(slope - 1) < 0.05) > 0.85  # all but corners


def test_shapes_are_all_different() -> None:
    u, v = plane()
    insides = torch.stack([shape(u, v) < 0 for shape in SIGNED_DISTANCES]).flatten(1).float()
    overlap = insides @ insides.T
    union = insides.sum(1, keepdim=True) + insides.sum(1) - overlap
    assert (overlap / union).fill_diagonal_(0).max() < 0.8


@pytest.mark.parametrize("pattern", [texture for texture, _ in PATTERNS], ids=TEXTURES)
def test_a_texture_is_a_share_and_fades_to_its_mean_when_too_fine(pattern) -> None:
    u, v = plane()
    u, v = u.reshape(1, SIDE, SIDE), v.reshape(1, SIDE, SIDE)
    sharp = pattern(u, v, torch.full((1, 1, 1), 100.0))
    assert 0 <= sharp.min() <= sharp.max() <= 1
    if pattern.__name__ != "plain":
        assert 0.2 < sharp.mean() < 0.7
        assert sharp.std() > 0.2
    if pattern.__name__ not in ("plain", "gradient"):
        assert pattern(u, v, torch.full((1, 1, 1), 1.0)).std() < 0.75 * sharp.std()


def test_cosine_and_sine() -> None:
    degrees = torch.linspace(-800, 800, 5000)
    cos, sin = cos_sin(degrees)
    assert torch.allclose(cos.double(), degrees.double().deg2rad().cos(), atol=5e-6)
    assert torch.allclose(sin.double(), degrees.double().deg2rad().sin(), atol=5e-6)
