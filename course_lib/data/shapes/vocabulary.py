"""The names of everything in the world, and what belongs together.

Entry k of SHAPES, TEXTURES and PALETTES is class k's own bundle: a star is by habit yellow with rays, as a
strawberry is by habit red with dots.
"""

from __future__ import annotations

SHAPES = (
    "star", "heart", "crescent", "cross", "triangle", "square", "arrow", "flower", "drop", "horseshoe",
)  # fmt: skip

TEXTURES = (
    "rays", "plain", "dots", "stripes", "zigzag", "checks", "gradient", "rings", "patches", "grid",
)  # fmt: skip

# Name, main colour, second colour; sRGB, as on the web.
_PALETTES = (
    ("yellow", "#f2c230", "#27407a"),
    ("red", "#d63a3a", "#fbe9cf"),
    ("blue", "#2f66c9", "#f6c27a"),
    ("white", "#f3efe6", "#33343c"),
    ("green", "#3f9b52", "#f3c9d4"),
    ("brown", "#7d5233", "#a9dccb"),
    ("purple", "#7b4bb3", "#f0e08a"),
    ("pink", "#ee86a8", "#1d4e57"),
    ("turquoise", "#2fb3ac", "#7a2741"),
    ("orange", "#f08a2c", "#2c3485"),
)
PALETTES = tuple(name for name, _, _ in _PALETTES)


def _rgb(web: str) -> tuple[float, float, float]:
    red, green, blue = bytes.fromhex(web[1:])
    return red / 255, green / 255, blue / 255


# (10, 2, 3): main and second colour of every palette, RGB in [0, 1].
PALETTE_COLOURS = tuple((_rgb(main), _rgb(second)) for _, main, second in _PALETTES)

DOMAINS = ("clean", "textured", "sketch", "night", "corrupted")
BACKGROUNDS = ("calm", "textured", "loud")
CORRUPTIONS = ("grain", "fog", "mosaic", "blur", "posterised")
MOTIONS = (
    "left", "right", "up", "down", "clockwise", "counter-clockwise", "growing", "shrinking",
)  # fmt: skip
RELATIONS = ("left of", "right of", "above", "below", "in front of", "behind")
