"""Optimisers by name."""

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from course_lib.train.lars import LARS


def make_optimiser(
    name: str, method: nn.Module, *, lr: float, momentum: float, weight_decay: float
) -> Optimizer:
    """An optimiser over the parameters of a method that want a gradient.

    AdamW decays weights apart from the gradient, SGD and LARS inside it. `momentum` is SGD's and LARS's.

    Raises:
        ValueError: an unknown name, or a method in which every parameter is frozen.
    """
    parameters = [parameter for parameter in method.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError(f"{type(method).__name__} has no parameter that wants a gradient")
    if name == "adamw":
        return AdamW(parameters, lr=lr, weight_decay=weight_decay)
    if name == "sgd":
        return SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    if name == "lars":
        return LARS(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    raise ValueError(f'optimiser must be "adamw", "sgd" or "lars", got {name!r}')
