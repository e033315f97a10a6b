"""Sentences about an image, true by construction and worded differently from image to image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch

from course_lib.data.shapes.factors import Factors, size_range
from course_lib.data.shapes.hashing import uniform
from course_lib.data.shapes.relations import Relation, relations
from course_lib.data.shapes.vocabulary import DOMAINS, PALETTES, SHAPES, TEXTURES

T = TypeVar("T")

CAPTION_DRAWS = 2**20 + 64
DRAWS_PER_PHRASE = 4

# Every word for a shape contains the class's name.
NOUNS = {
    "star": ("star", "five-pointed star"),
    "crescent": ("crescent", "crescent moon"),
    "drop": ("drop", "droplet"),
}
# Before the noun, and after it.
TEXTURE_WORDS = {
    "rays": ("rayed", "with rays"),
    "plain": ("plain", "in one colour"),
    "dots": ("dotted", "with dots"),
    "stripes": ("striped", "with stripes"),
    "zigzag": ("zigzagged", "with zigzags"),
    "checks": ("checked", "with checks"),
    "gradient": ("shaded", "with shading"),
    "rings": ("ringed", "with rings"),
    "patches": ("patchy", "with patches"),
    "grid": ("latticed", "with a grid"),
}
SAID = {
    "left of": "to the left of",
    "right of": "to the right of",
    "above": "above",
    "below": "below",
    "in front of": "in front of",
    "behind": "behind",
}
OPENINGS = {
    "clean": ("", "a picture of ", "a photo of ", "this is ", "one can see "),
    "textured": ("", "a picture of ", "a photo of ", "this is ", "one can see "),
    "sketch": ("a sketch of ", "a pencil drawing of ", "a drawing of ", "a line drawing of "),
    "night": ("at night: ", "a night picture of ", "a dark photo of ", "by lamplight, "),
    "corrupted": ("a damaged picture of ", "a bad photo of ", "hard to see: ", "a poor picture of "),
}
SMALL, LARGE = 0.3, 0.7  # where a size stands in the range it is drawn from; between them no word is used
TILT = 10.0  # degrees; below it a thing counts as upright
ASIDE = 0.09  # share of the width; nearer the middle than this counts as the middle


def captions(factors: Factors) -> tuple[str, ...]:
    """One sentence for each image: the main object's class, often its look, its place or a neighbour."""
    objects = factors.shape.shape[1]
    counters = torch.arange(8 + DRAWS_PER_PHRASE * objects, device=factors.key.device)
    draws = uniform(factors.key, CAPTION_DRAWS + counters).tolist()
    words = [
        _Words(*row) for row in zip(*(getattr(factors, name).tolist() for name in _COLUMNS), strict=True)
    ]
    brightness = (factors.background_colours.mean((1, 2)) * factors.light).tolist()
    return tuple(
        _sentence(image, shade, triples, draw)
        for image, shade, triples, draw in zip(words, brightness, relations(factors), draws, strict=True)
    )


class _Words(NamedTuple):
    """The factors of one image that a caption speaks of."""

    shape: list[int]
    texture: list[int]
    palette: list[int]
    size: list[float]
    rotation: list[float]
    x: list[float]
    y: list[float]
    domain: int
    background: int


_COLUMNS = _Words._fields


def _sentence(image: _Words, brightness: float, triples: tuple[Relation, ...], draw: list[float]) -> str:
    domain = DOMAINS[image.domain]
    first = _phrase(image, 0, draw[8:])
    if triples and draw[1] < 0.8:
        _, relation, other = _choose([triple for triple in triples if triple[0] == 0] or triples[:1], draw[2])
        ending = f" {SAID[relation]} {_phrase(image, other, draw[8 + DRAWS_PER_PHRASE * other :])}"
    else:
        ending = _choose(_endings(image, domain, brightness), draw[2])
    return _choose(OPENINGS[domain], draw[0]) + first + ending


def _phrase(image: _Words, k: int, draw: list[float]) -> str:
    """Object k with its article: "a striped red star", "one large heart with dots"."""
    shape, texture = SHAPES[image.shape[k]], TEXTURES[image.texture[k]]
    adjective, complement = TEXTURE_WORDS[texture]
    words = [_choose(NOUNS.get(shape, (shape,)), draw[0])]
    if DOMAINS[image.domain] != "sketch" and draw[1] < 0.75:  # a pencil has no colours
        words.insert(0, PALETTES[image.palette[k]])
    if draw[2] < 0.35:
        words.insert(0, adjective)
    elif draw[2] < 0.6:
        words.append(complement)
    least, most = size_range(len(image.size))
    size = (image.size[k] - least) / (most - least)
    if draw[3] < 0.5 and not SMALL <= size <= LARGE:
        words.insert(0, _choose(("small", "little") if size < SMALL else ("large", "big"), draw[3] * 2))
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words])


def _endings(image: _Words, domain: str, brightness: float) -> list[str]:
    """True things to add about an image of one object; adding nothing is among them."""
    endings = [""]
    across, down = image.x[0] - 0.5, image.y[0] - 0.5
    sideways = "" if abs(across) < ASIDE else "left" if across < 0 else "right"
    upright = "" if abs(down) < ASIDE else "top" if down < 0 else "bottom"
    if sideways and upright:
        endings.append(f" at the {upright} {sideways}")
    elif sideways or upright:
        endings.append(f" on the {sideways}" if sideways else f" at the {upright}")
    else:
        endings.append(" in the middle")
    if abs(image.rotation[0]) > TILT:
        endings.append(f", tilted to the {'left' if image.rotation[0] > 0 else 'right'}")
    if domain == "textured" or image.background != 0:
        endings += [" on a patterned background", " before a pattern"]
    elif domain == "clean" and not 0.4 < brightness < 0.6:
        shade = "dark" if brightness < 0.5 else "pale"
        endings += [f" on a {shade} background", f" before a {shade} wall"]
    return endings


def _choose(options: Sequence[T], draw: float) -> T:
    return options[int(draw * len(options))]
