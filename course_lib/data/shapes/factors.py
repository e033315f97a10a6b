"""What an image is made of: every factor as a tensor, drawn by hash or set by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from course_lib.data.shapes import vocabulary
from course_lib.data.shapes.geometry import cos_sin
from course_lib.data.shapes.hashing import bits, mix, uniform

# Counters of the hash. Each object has a block of its own, so that what is drawn for it does not depend on
# how many others there are.
SURROUNDINGS_DRAWS = 16
LABEL_DRAWS = 16
OBJECT_DRAWS, DRAWS_PER_OBJECT = 32, 32

MOST_OBJECTS = 16  # keeps the counters of objects clear of the others
MAX_TILT = 30.0  # degrees to either side: things in pictures stand more or less upright
SIZE_RANGE = (0.4, 0.9)  # diameter of a lone object, as a share of the image's width
CENTRE_RANGE = (0.25, 0.75)  # its centre, likewise


@dataclass(frozen=True, eq=False)
class Factors:
    """Everything that decides how B images of K objects look; resolution is not among it.

    Lengths are shares of the image's width, x runs right and y down from the top left corner, colours are RGB
    in [0, 1]. Integers index the tuples of `vocabulary`. Replace any with `dataclasses.replace` and render
    again.

    Attributes:
        key: int64 (B,), the image's own random stream: wording, kind of corruption, place of the lamp.
        grain: int64 (B,), random stream of the grain alone; each frame of a video has its own.
        shape: int64 (B, K); `shape[:, 0]` is the label, object 0 being the main one.
        texture: int64 (B, K).
        palette: int64 (B, K).
        size: (B, K), diameter of the circle that the shape fits.
        rotation: (B, K), degrees, counter-clockwise as seen.
        x, y: (B, K), centre.
        depth: (B, K), distance from the viewer; the smaller stands in front.
        tint: (B, K, 3), factor on each colour channel of the object.
        phase: (B, K, 2) in [0, 1), where the texture's pattern begins.
        background: int64 (B,), index into BACKGROUNDS.
        background_colours: (B, 2, 3); a calm background fades from one to the other.
        background_angle: (B,), degrees, direction of the fade or tilt of the pattern.
        background_texture: int64 (B,), pattern of a background that is not calm.
        light: (B,), brightness of the whole image, 1 = as given.
        occlusion: (B,), share of the main object's diameter hidden behind a strip, 0 to 1.
        occlusion_angle: (B,), degrees, the side from which the strip hides it.
        noise: (B,), standard deviation of the grain, 1 = from black to white.
        domain: int64 (B,), index into DOMAINS.
    """

    key: Tensor
    grain: Tensor
    shape: Tensor
    texture: Tensor
    palette: Tensor
    size: Tensor
    rotation: Tensor
    x: Tensor
    y: Tensor
    depth: Tensor
    tint: Tensor
    phase: Tensor
    background: Tensor
    background_colours: Tensor
    background_angle: Tensor
    background_texture: Tensor
    light: Tensor
    occlusion: Tensor
    occlusion_angle: Tensor
    noise: Tensor
    domain: Tensor

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, rows: Tensor | slice) -> Factors:
        """The factors of some of the images."""
        return Factors(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def to(self, device: torch.device | str) -> Factors:
        return Factors(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def balanced(key_of: Callable[[Tensor], Tensor], indices: Tensor, count: int, draws: int) -> Tensor:
    """A class for each index, int64 (B,): every `count` consecutive indices hold each class once, shuffled.

    Args:
        key_of: indices -> keys, (B,) -> (B,).
        indices: int64 (B,), not negative.
        count: number of classes.
        draws: first of `count` counters of the hash.
    """
    members = torch.arange(count, device=indices.device)
    place = indices % count
    order = bits(key_of(indices - place), draws + members)  # (B, count), the same for a whole block
    return (order < order.gather(1, place.unsqueeze(1))).sum(1)


def _pick(draw: Tensor, count: int) -> Tensor:
    return (draw * count).to(torch.int64)


def _between(draw: Tensor, low: float, high: float) -> Tensor:
    return draw * (high - low) + low


def draw_objects(
    key: Tensor, label: Tensor, objects: int, agreement: float, shape: Tensor | None = None
) -> dict[str, Tensor]:
    """The factors of K objects an image, as tensors (B, K, ...).

    Args:
        key: (B,).
        label: int64 (B,), shape of object 0; the others' shapes are drawn.
        objects: K.
        agreement: probability that a texture, and independently a palette, is the one of the shape's bundle;
            otherwise it is any, the bundle's included.
        shape: int64, broadcast to (B, K): use these shapes instead.
    """
    counters = OBJECT_DRAWS + torch.arange(objects * DRAWS_PER_OBJECT, device=key.device)
    u = uniform(key, counters).view(-1, objects, DRAWS_PER_OBJECT)
    if shape is None:
        shape = _pick(u[..., 0], len(vocabulary.SHAPES))
        shape[:, 0] = label
    shape = shape.expand(u.shape[:2])
    texture = torch.where(u[..., 1] < agreement, shape, _pick(u[..., 2], len(vocabulary.TEXTURES)))
    palette = torch.where(u[..., 3] < agreement, shape, _pick(u[..., 4], len(vocabulary.PALETTES)))
    x, y = _places(u[..., 5], u[..., 6], u[:, 0, 7])
    return {
        "shape": shape,
        "texture": texture,
        "palette": palette,
        "size": _between(u[..., 8], *size_range(objects)),
        "rotation": _between(u[..., 9], -MAX_TILT, MAX_TILT),
        "x": x,
        "y": y,
        "depth": u[..., 10],
        "tint": _between(u[..., 11:12], 0.8, 1.1) * _between(u[..., 12:15], 0.9, 1.1),
        "phase": u[..., 15:17],
    }


def _places(across: Tensor, down: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Centres of K objects: one near the middle, or several around it, close enough to overlap at times."""
    objects = across.shape[1]
    if objects == 1:
        return _between(across, *CENTRE_RANGE), _between(down, *CENTRE_RANGE)
    share = torch.arange(objects, device=across.device) / objects
    cos, sin = cos_sin((turn.unsqueeze(1) + share) * 360)
    return 0.5 + cos * 0.21 + (across - 0.5) * 0.26, 0.5 + sin * 0.21 + (down - 0.5) * 0.26


def size_range(objects: int) -> tuple[float, float]:
    """Least and largest diameter of each of K objects."""
    shrink = 1.0 if objects == 1 else 1.05 / math.sqrt(objects)
    return SIZE_RANGE[0] * shrink, SIZE_RANGE[1] * shrink


def draw_surroundings(
    key: Tensor, background: Tensor, *, noise: float, occlusion: float
) -> dict[str, Tensor]:
    """The factors of whole images, (B,) -> tensors (B, ...); `background` rules its colours."""
    u = uniform(key, torch.arange(SURROUNDINGS_DRAWS, device=key.device))  # (B, 16)
    ones = torch.ones_like(u[:, 0])
    patterns = [k for k, name in enumerate(vocabulary.TEXTURES) if name not in ("plain", "gradient")]
    busy = torch.tensor(patterns, device=key.device)
    return {
        "key": key,
        "grain": mix(key),
        "background": background.expand_as(key),
        "background_colours": _background_colours(u[:, :8], background),
        "background_angle": u[:, 8] * 360,
        "background_texture": busy[_pick(u[:, 9], len(busy))],
        "light": _between(u[:, 10], 0.75, 1.1),
        "occlusion": u[:, 11] * occlusion,
        "occlusion_angle": u[:, 12] * 360,
        "noise": ones * noise,
        "domain": torch.zeros_like(key),
    }


def _background_colours(u: Tensor, background: Tensor) -> Tensor:
    """Two colours: close and muted, or, on a loud background, any two. (B, 8) -> (B, 2, 3)."""
    first = _between(u[:, :1], 0.3, 0.8) + _between(u[:, 1:4], -0.08, 0.08)
    second = first + _between(u[:, 4:5], -0.08, 0.08) + _between(u[:, 5:8], -0.04, 0.04)
    calm = torch.stack((first, second), 1).clamp_(0, 1)
    loud = background.expand(len(u)) == vocabulary.BACKGROUNDS.index("loud")
    return torch.where(loud[:, None, None], u[:, :6].reshape(-1, 2, 3), calm)
