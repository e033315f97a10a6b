"""Papers: how data, networks and a loss become one training step. One file per paper.

A method is an `nn.Module`: `forward(batch)` returns the loss, `.backbone` is what gets evaluated.
"""

from course_lib.methods.gather import gather
from course_lib.methods.instance_discrimination import InstanceDiscrimination
from course_lib.methods.moco import MoCo
from course_lib.methods.moco_v2 import MoCoV2
from course_lib.methods.moco_v3 import MoCoV3
from course_lib.methods.momentum import cosine_momentum, ema_update, momentum_copy
from course_lib.methods.official import load_official, load_official_backbone
from course_lib.methods.simclr import SimCLR
from course_lib.methods.supervised import Supervised

__all__ = [
    "InstanceDiscrimination",
    "MoCo",
    "MoCoV2",
    "MoCoV3",
    "SimCLR",
    "Supervised",
    "cosine_momentum",
    "ema_update",
    "gather",
    "load_official",
    "load_official_backbone",
    "momentum_copy",
]
