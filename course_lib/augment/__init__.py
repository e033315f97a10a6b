"""Views: random changes that keep what an image shows; whole batches, every image with its own draw.

`papers` has one pipeline a paper, batched; `reference` the same in torchvision's words, one image at a time.
`policies` (AutoAugment, RandAugment) and `pba` work image by image. The modules that need torchvision are
imported by name: `from course_lib.augment import reference`.
"""

from course_lib.augment import papers
from course_lib.augment.mixing import cutmix, mixup
from course_lib.augment.normalise import normalise
from course_lib.augment.pipeline import Pipeline, RandomApply
from course_lib.augment.simclr import SimCLRAugment
from course_lib.augment.views import MultiView, two_views

__all__ = [
    "MultiView",
    "Pipeline",
    "RandomApply",
    "SimCLRAugment",
    "cutmix",
    "mixup",
    "normalise",
    "papers",
    "two_views",
]
