"""The Shapes world: pictures of textured shapes, of which everything is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial

import torch
from torch import Tensor

from course_lib.data.imageset import ImageSet
from course_lib.data.shapes import vocabulary
from course_lib.data.shapes.captions import captions
from course_lib.data.shapes.factors import (
    LABEL_DRAWS,
    MOST_OBJECTS,
    Factors,
    balanced,
    draw_objects,
    draw_surroundings,
)
from course_lib.data.shapes.hashing import keys
from course_lib.data.shapes.relations import relations
from course_lib.data.shapes.render import render
from course_lib.data.shapes.scene import Scene, boxes
from course_lib.data.shapes.videos import MOTION_DRAWS, Videos, animate

Indices = Tensor | Sequence[int] | range

TEST_START = 2**40  # test images are those from this index on: the same world, other pictures
PIXELS_AT_ONCE = {"cpu": 2**18, "cuda": 2**24}  # on a CPU, what its cache holds
NAMED = {
    "shape": vocabulary.SHAPES,
    "texture": vocabulary.TEXTURES,
    "palette": vocabulary.PALETTES,
    "background": vocabulary.BACKGROUNDS,
    "background_texture": vocabulary.TEXTURES,
    "domain": vocabulary.DOMAINS,
}


class Shapes:
    """Pictures of textured shapes, rendered from (seed, index) and nothing else.

    An image is a function of the world's seed and its own index: whatever the batch, the order, the device or
    the resolution, image 7 stays image 7. Its label is the shape of its main object. Texture and palette are
    the ones of the shape's bundle with probability `agreement` each, as real objects have a look of their
    own.

    Hard for raw pixels and for a random network, easy once learnt. With the default settings, 8,000 training
    and 2,000 test images of 32 px, the five-convolution `SmallConvNet` and batches of 256, accuracy on the
    test images was (chance is 0.10)

        20 nearest neighbours on raw pixels            0.30 to 0.33    linear probe 0.36 to 0.38
        20 nearest neighbours on a random network      0.38 to 0.42    linear probe 0.53 to 0.56
        SimCLR, 1 / 5 / 10 epochs, nearest neighbours  0.48 to 0.52 / 0.64 to 0.68 / 0.72 to 0.75
        supervised, 10 epochs                          0.90 to 0.94

    where an epoch of SimCLR took 18 to 20 s of processor time. What makes it learnable without labels is
    the bundle and the calm background. With `agreement=0` the shape alone tells the class, and five epochs
    of SimCLR (0.14 to 0.18) fall behind raw pixels (0.23 to 0.25). With `loud_background=True` the two
    views of an image agree on nothing as plainly as on the background, so that is what SimCLR learns (0.23
    to 0.27, raw pixels 0.17 to 0.21).

    Args:
        seed: which world; any 64-bit integer.
        size: height and width in pixels.
        agreement: probability in [0, 1] with which texture, and independently palette, follow the shape. At
            0 the shape alone tells the class.
        objects: K, objects in an image; the first is the main one.
        domain: "clean", "textured" (a patterned background), "sketch", "night" or "corrupted".
        loud_background: put a garish pattern behind every object, one for each image.
        noise: standard deviation of the grain, 1 = from black to white.
        occlusion: largest share of the main object's diameter hidden behind a strip; each image draws its
            own, uniform from 0.
        fixed: factors to hold constant, by their names in `Factors`: a number, a name such as "star" where
            the factor has names, or a tensor that fits the factor's shape.

    Raises:
        ValueError: an argument is out of range, or `fixed` names no factor.
    """

    class_names = vocabulary.SHAPES
    num_classes = len(vocabulary.SHAPES)

    def __init__(
        self,
        *,
        seed: int = 0,
        size: int = 32,
        agreement: float = 0.8,
        objects: int = 1,
        domain: str = "clean",
        loud_background: bool = False,
        noise: float = 0.02,
        occlusion: float = 0.0,
        fixed: Mapping[str, str | float | Tensor] | None = None,
    ) -> None:
        if size < 1 or not 1 <= objects <= MOST_OBJECTS:
            raise ValueError(
                f"expected size >= 1 and 1 to {MOST_OBJECTS} objects, got size={size}, objects={objects}"
            )
        if not 0 <= agreement <= 1 or not 0 <= occlusion <= 1 or noise < 0:
            raise ValueError(
                "expected agreement and occlusion in [0, 1] and noise >= 0, "
                f"got agreement={agreement}, occlusion={occlusion}, noise={noise}"
            )
        self.seed, self.size, self.agreement, self.objects = seed, size, agreement, objects
        self.noise, self.occlusion = noise, occlusion
        settings = {"domain": domain, "background": "loud" if loud_background else "calm", **(fixed or {})}
        self.fixed = {name: _value(name, value) for name, value in settings.items()}

    def factors(self, indices: Indices) -> Factors:
        """What images (B,) are made of, see `Factors`; change any by `dataclasses.replace`, then `render`."""
        index = _checked(indices)
        key = keys(self.seed, index)
        label = balanced(partial(keys, self.seed), index, self.num_classes, LABEL_DRAWS)
        drawn = Factors(
            **draw_objects(key, label, self.objects, self.agreement, self.fixed.get("shape")),
            **draw_surroundings(key, self.fixed["background"], noise=self.noise, occlusion=self.occlusion),
        )
        return replace(drawn, **{name: _fitted(drawn, name, value) for name, value in self.fixed.items()})

    def render(self, factors: Factors, *, device: torch.device | str | None = None) -> Tensor:
        """Factors of B images -> uint8 (B, 3, size, size), on `device` (the CPU unless told)."""
        return self._render(factors, device)[0]

    def images(self, indices: Indices, *, device: torch.device | str | None = None) -> Tensor:
        """Images at `indices` (B,) -> uint8 (B, 3, size, size), on `device` (the CPU unless told)."""
        return self.render(self.factors(indices), device=device)

    def labels(self, indices: Indices) -> Tensor:
        """Class of each image, int64 (B,). Every ten consecutive images hold each class once."""
        if "shape" in self.fixed:
            return self.factors(indices).shape[:, 0]
        return balanced(partial(keys, self.seed), _checked(indices), self.num_classes, LABEL_DRAWS)

    def captions(self, indices: Indices) -> tuple[str, ...]:
        """One true sentence for each image."""
        return captions(self.factors(indices))

    def scene(self, indices: Indices, *, device: torch.device | str | None = None) -> Scene:
        """Images with all that is known about them: label, factors, masks, boxes, captions, relations."""
        factors = self.factors(indices)
        images, visible = self._render(factors, device, visible=True)
        masks = visible > 0.5
        return Scene(
            images=images,
            labels=factors.shape[:, 0],
            factors=factors,
            masks=masks,
            boxes=boxes(masks),
            captions=captions(factors),
            relations=relations(factors),
        )

    def videos(
        self, indices: Indices, *, frames: int = 8, device: torch.device | str | None = None
    ) -> Videos:
        """Short videos of the main object on the move; see `Videos`."""
        if frames < 1:
            raise ValueError(f"expected at least 1 frame, got {frames}")
        index = _checked(indices)
        motion = balanced(partial(keys, self.seed), index, len(vocabulary.MOTIONS), MOTION_DRAWS)
        moving = animate(self.factors(index), motion, frames)  # B * frames images
        images = self._render(moving, device, wrap=True)[0]
        return Videos(images.view(len(index), frames, *images.shape[1:]), motion)

    def image_set(
        self, split: str = "train", count: int = 8000, *, device: torch.device | str | None = None
    ) -> ImageSet:
        """The first `count` images of a split, with labels and captions; the splits share no image."""
        if split not in ("train", "test") or count < 1:
            raise ValueError(f'expected split "train" or "test" and count >= 1, got {split!r} and {count}')
        start = 0 if split == "train" else TEST_START
        factors = self.factors(range(start, start + count))
        return ImageSet(
            self.render(factors, device=device),
            factors.shape[:, 0].clone(),
            self.class_names,
            captions(factors),
        )

    def _render(
        self,
        factors: Factors,
        device: torch.device | str | None,
        *,
        wrap: bool = False,
        visible: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Render chunk by chunk; without `visible` the second tensor is empty."""
        where = torch.device(device or "cpu")
        step = max(1, PIXELS_AT_ONCE.get(where.type, 2**20) // self.size**2)
        parts = [
            render(factors[start : start + step].to(where), self.size, wrap=wrap, visible=visible)
            for start in range(0, max(1, len(factors)), step)
        ]
        return torch.cat([image for image, _ in parts]), torch.cat([shares for _, shares in parts])


def _checked(indices: Indices) -> Tensor:
    """Indices as an int64 tensor (B,) on the CPU, where factors are drawn."""
    index = torch.as_tensor(list(indices) if isinstance(indices, range) else indices).cpu()
    if index.numel() == 0:
        index = index.to(torch.int64)
    if index.ndim != 1 or index.dtype.is_floating_point or index.dtype == torch.bool:
        raise ValueError(f"expected a list of integers as indices, got {index.dtype} {tuple(index.shape)}")
    if (index < 0).any():
        raise ValueError(f"indices count from 0, got {int(index.min())}")
    return index.to(torch.int64)


def _value(name: str, value: str | float | Tensor) -> Tensor:
    """A value for a factor as a tensor; names become numbers."""
    known = [field.name for field in fields(Factors)]
    if name not in known:
        raise ValueError(f"no factor is called {name!r}; there are {', '.join(known)}")
    if isinstance(value, str):
        choices = NAMED.get(name, ())
        if value not in choices:
            raise ValueError(
                f"expected {name} to be one of {', '.join(choices) or 'a number'}, got {value!r}"
            )
        value = choices.index(value)
    number = torch.as_tensor(value)
    if name in NAMED and not ((number >= 0) & (number < len(NAMED[name]))).all():
        raise ValueError(f"expected {name} to be a name or a number below {len(NAMED[name])}, got {value}")
    return number


def _fitted(drawn: Factors, name: str, value: Tensor) -> Tensor:
    """A fixed value in the shape and type of the factor it replaces."""
    like = getattr(drawn, name)
    try:
        return value.to(like.dtype).expand_as(like)
    except RuntimeError:
        raise ValueError(f"a fixed {name} must fit {tuple(like.shape)}, got {tuple(value.shape)}") from None
