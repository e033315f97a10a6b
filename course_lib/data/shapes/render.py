"""From factors to pixels: layer on layer from the back to the front, whole batches at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from course_lib.data.shapes import domains
from course_lib.data.shapes.factors import Factors
from course_lib.data.shapes.geometry import SIGNED_DISTANCES, cos_sin
from course_lib.data.shapes.textures import PATTERNS, blend
from course_lib.data.shapes.vocabulary import BACKGROUNDS, DOMAINS, PALETTE_COLOURS

STRIP_COLOUR = (0.42, 0.40, 0.38)  # of what stands in front when something is occluded
SHADOW, SHADOW_WIDTH = 0.3, 0.35  # darkness and reach of an object's shadow, the latter in its radii
RIM, RIM_WIDTH = 0.35, 0.22  # likewise of the shading inside its outline
STROKE, STROKE_WIDTH = 0.8, 0.13  # likewise of the outline in a sketch


def render(
    factors: Factors, size: int, *, wrap: bool = False, visible: bool = False
) -> tuple[Tensor, Tensor]:
    """Draw factors at any resolution, on the device where they are.

    Args:
        factors: B images of K objects.
        size: height and width in pixels.
        wrap: what leaves the image on one side enters on the other, as videos need it.
        visible: also return how much of each pixel each object shows.

    Returns:
        Images, uint8 (B, 3, size, size), and visible shares, float32 (B, K, size, size) in [0, 1], or an
        empty tensor.
    """
    image = paint_background(factors, size)
    covers, order = [], factors.depth.argsort(dim=1, descending=True, stable=True)  # the farthest first
    for column in order.unbind(1):
        covers.append(paint_object(image, factors, column, wrap=wrap))
    covers.append(paint_strip(image, factors))
    return finish(image, factors), visible_shares(covers, order) if visible else image.new_empty(0)


def grid(size: int, like: Tensor) -> Tensor:
    """Centres of the pixels along one side, as shares of the width."""
    return (torch.arange(size, device=like.device, dtype=torch.float32) + 0.5) / size


def planes(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1), or (B, 3) -> (B, 3, 1, 1): ready to meet pixels."""
    return values[..., None, None]


def by_kind(kinds: Tensor, draw: Sequence[Callable[..., Tensor]], *inputs: Tensor) -> Tensor:
    """Apply to each row of the inputs the function that its kind names, one call a kind."""
    result = torch.empty_like(inputs[0])
    for kind in kinds.unique().tolist():
        rows = (kinds == kind).nonzero().squeeze(1)
        result.index_copy_(0, rows, draw[kind](*(x.index_select(0, rows) for x in inputs)))
    return result


def tilted(across: Tensor, down: Tensor, degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates (u right, v up) in a frame turned counter-clockwise, (B, W) and (B, H) -> 2 x (B, H, W)."""
    cos, sin = (part.unsqueeze(1) for part in cos_sin(degrees))
    u = (across * cos).unsqueeze(1) - (down * sin).unsqueeze(2)
    v = (across * sin).neg_().unsqueeze(1) - (down * cos).unsqueeze(2)
    return u, v


def pattern(kinds: Tensor, u: Tensor, v: Tensor, sharp: Tensor, phase: Tensor) -> Tensor:
    """Share of the second colour at each pixel, (B, H, W)."""
    reach = torch.tensor([reach for _, reach in PATTERNS], device=kinds.device)[kinds]
    shift = (phase - 0.5) * reach.unsqueeze(1)  # (B, 2)
    draw = [texture for texture, _ in PATTERNS]
    return by_kind(kinds, draw, u + planes(shift[:, 0]), v + planes(shift[:, 1]), planes(sharp))


def paint_background(factors: Factors, size: int) -> Tensor:
    """A fade between two colours, or a pattern of them, (B, 3, H, W)."""
    at = (grid(size, factors.x) - 0.5).expand(len(factors), size)
    u, v = tilted(at, at, factors.background_angle)
    share = (v * 0.7).add_(0.5).clamp_(0, 1)
    kinds = torch.maximum(factors.background, (factors.domain == DOMAINS.index("textured")).long())
    rows = (kinds != BACKGROUNDS.index("calm")).nonzero().squeeze(1)
    if len(rows):
        units = 5.0  # a pattern's unit is a fifth of the width
        sharp = torch.full((len(rows),), size / units, device=rows.device)
        phase = torch.zeros(len(rows), 2, device=rows.device)
        share[rows] = pattern(
            factors.background_texture[rows], u[rows] * units, v[rows] * units, sharp, phase
        )
    paper = torch.tensor((domains.PAPER, domains.PAPER), device=rows.device)
    sketch = factors.domain == DOMAINS.index("sketch")
    return mixed(share, torch.where(planes(sketch), paper, factors.background_colours))


def mixed(share: Tensor, colours: Tensor) -> Tensor:
    """From the first colour to the second, (B, H, W) and (B, 2, 3) -> (B, 3, H, W)."""
    first, second = colours.unbind(1)
    return (share.unsqueeze(1) * planes(second - first)).add_(planes(first))


def paint_object(image: Tensor, factors: Factors, column: Tensor, *, wrap: bool) -> Tensor:
    """Paint object `column` (B,) of each image onto it, with its shadow; return its coverage (B, H, W)."""
    size = image.shape[-1]
    rows = torch.arange(len(image), device=image.device)
    radius = factors.size[rows, column] / 2
    across = grid(size, image) - factors.x[rows, column].unsqueeze(1)
    down = grid(size, image) - factors.y[rows, column].unsqueeze(1)
    if wrap:
        across, down = across - (across + 0.5).floor(), down - (down + 0.5).floor()
    scale = 1 / radius.unsqueeze(1)
    u, v = tilted(across * scale, down * scale, factors.rotation[rows, column])
    sharp = radius * size  # pixels in one unit, (B,)
    distance = by_kind(factors.shape[rows, column], SIGNED_DISTANCES, u, v)
    share = pattern(factors.texture[rows, column], u, v, sharp, factors.phase[rows, column])
    cover = blend(-distance, planes(sharp))

    sketch = factors.domain == DOMAINS.index("sketch")
    shadow = (distance * (-1 / SHADOW_WIDTH)).add_(1).clamp_(0, 1)
    image *= (shadow * shadow).mul_(planes(sketch.float() * SHADOW - SHADOW)).add_(1).unsqueeze(1)
    width = torch.where(sketch, STROKE_WIDTH, RIM_WIDTH)
    rim = (distance * planes(1 / width)).add_(1).clamp_(0, 1).mul_(planes(torch.where(sketch, -STROKE, -RIM)))
    colour = mixed(share, object_colours(factors, rows, column, sketch)).mul_(rim.add_(1).unsqueeze(1))
    image += colour.sub_(image).mul_(cover.unsqueeze(1))
    return cover


def object_colours(factors: Factors, rows: Tensor, column: Tensor, sketch: Tensor) -> Tensor:
    """Main and second colour of an object of each image, (B, 2, 3)."""
    palettes = torch.tensor(PALETTE_COLOURS, device=rows.device)  # (10, 2, 3)
    colours = palettes[factors.palette[rows, column]] * factors.tint[rows, column].unsqueeze(1)
    return torch.where(planes(sketch), torch.tensor(domains.PENCIL, device=rows.device), colours)


def paint_strip(image: Tensor, factors: Factors) -> Tensor:
    """Hide part of the main object behind a strip across the image; return the strip's coverage (B, H, W)."""
    size = image.shape[-1]
    if not (factors.occlusion > 0).any():
        return torch.zeros_like(image[:, 0])
    across, down = (grid(size, image) - centre[:, :1] for centre in (factors.x, factors.y))
    along, _ = tilted(across, down, factors.occlusion_angle)
    radius = factors.size[:, 0] / 2
    half = radius * factors.occlusion  # from the rim inwards: its width is that share of the diameter
    cover = blend(planes(half) - (along - planes(radius - half)).abs_(), torch.tensor(float(size)))
    cover *= planes((half > 0).float())
    colour = planes(image.new_tensor(STRIP_COLOUR))
    image += (colour - image).mul_(cover.unsqueeze(1))
    return cover


def finish(image: Tensor, factors: Factors) -> Tensor:
    """The domain's look, the light, the grain; then uint8."""
    for name, change in (("night", domains.night), ("corrupted", domains.corrupted)):
        rows = (factors.domain == DOMAINS.index(name)).nonzero().squeeze(1)
        if len(rows):
            image[rows] = change(image[rows], factors.key[rows])
    image *= planes(factors.light.unsqueeze(1))
    if (factors.noise > 0).any():
        image += domains.grain(factors.grain, image.shape[-1]) * planes(factors.noise.unsqueeze(1))
    return image.mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8)


def visible_shares(covers: list[Tensor], order: Tensor) -> Tensor:
    """What each object shows, all in front of it taken off, (B, K, H, W), objects in their own order."""
    *objects, strip = covers
    light_through = 1 - strip
    shares = torch.empty(len(strip), len(objects), *strip.shape[1:], device=strip.device)
    rows = torch.arange(len(strip), device=strip.device)
    for cover, column in zip(reversed(objects), reversed(order.unbind(1)), strict=True):
        shares[rows, column] = cover * light_through
        light_through = light_through * (1 - cover)
    return shares
