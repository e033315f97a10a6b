"""Short videos: one object moves, turns, grows or shrinks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from course_lib.data.shapes.factors import Factors
from course_lib.data.shapes.hashing import GOLDEN, mix, signed, uniform
from course_lib.data.shapes.vocabulary import MOTIONS

MOTION_DRAWS = 2**20 + 16
START_DRAWS = 2**20 + 32

# What changes in each motion, which way, and by how much a frame (least and most), as shares of the full
# cycle.
CHANGES = {
    "left": ("x", -1, 0.05, 0.10),
    "right": ("x", 1, 0.05, 0.10),
    "up": ("y", -1, 0.05, 0.10),
    "down": ("y", 1, 0.05, 0.10),
    "clockwise": ("rotation", -1, 0.04, 0.07),
    "counter-clockwise": ("rotation", 1, 0.04, 0.07),
    "growing": ("size", 1, 0.05, 0.09),
    "shrinking": ("size", -1, 0.05, 0.09),
}
CYCLES = {"x": (0.0, 1.0), "y": (0.0, 1.0), "rotation": (0.0, 360.0), "size": (0.35, 0.75)}


@dataclass(frozen=True, eq=False)
class Videos:
    """B videos of T frames.

    One frame says nothing about the motion. Every quantity that can move runs in a circle (an object that
    leaves on the left enters on the right; one that has grown full size starts anew) from a uniform start,
    so in each frame it is uniform whatever the motion. Chance is 1/8.

    Attributes:
        frames: uint8 (B, T, 3, H, W).
        labels: int64 (B,), index into `names`; every eight consecutive videos hold each motion once.
        names: the motions, as the viewer sees them.
    """

    frames: Tensor
    labels: Tensor
    names: tuple[str, ...] = MOTIONS


def animate(factors: Factors, motion: Tensor, frames: int) -> Factors:
    """The factors of each frame, video by video: B images and motions (B,) -> B * frames images.

    The main object moves at a steady speed; all else stands still but for the grain, which is new in every
    frame.
    """
    device = factors.key.device
    u = uniform(factors.key, START_DRAWS + torch.arange(5, device=device))  # (B, 5)
    time = torch.arange(frames, device=device)  # (T,)
    moved = {}
    for position, (name, (low, high)) in enumerate(CYCLES.items()):
        speed = torch.zeros_like(u[:, 4])
        for label, (what, sign, least, most) in enumerate(CHANGES.values()):
            if what == name:
                speed = torch.where(motion == label, sign * (u[:, 4] * (most - least) + least), speed)
        turn = u[:, position : position + 1] + speed.unsqueeze(1) * time  # (B, T)
        value = getattr(factors, name).unsqueeze(1).repeat(1, frames, 1)  # (B, T, K)
        value[:, :, 0] = (turn - turn.floor()) * (high - low) + low
        moved[name] = value.flatten(0, 1)
    still = factors[torch.arange(len(factors), device=device).repeat_interleave(frames)]
    ticks = time.repeat(len(factors)) * signed(GOLDEN)
    return replace(still, **moved, grain=mix(still.grain + ticks))
