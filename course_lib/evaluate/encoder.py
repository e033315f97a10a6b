"""Which network is it that we evaluate?"""

from torch import nn

# Parts of a whole method: a module that has one of them as a child is not the backbone itself.
PARTS_OF_A_METHOD = (
    *("encoder_q", "encoder_k", "base_encoder", "momentum_encoder", "online_encoder", "target_encoder"),
    *(
        "student",
        "teacher",
        "online",
        "target",
        "projector",
        "predictor",
        "projection_head",
        "prediction_head",
    ),
)


def encoder_of(model: nn.Module) -> nn.Module:
    """The backbone: a method's `.backbone`, or the model itself if it is a bare network.

    Raises:
        TypeError: not a module.
        ValueError: a method that does not say which of its networks is the backbone. Guessing could take the
            momentum network, or the projector's output, and the numbers would look plausible.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected a network or a method (nn.Module), got {type(model).__name__}")
    if isinstance(model, nn.parallel.DistributedDataParallel):
        model = model.module
    backbone = getattr(model, "backbone", None)
    if isinstance(backbone, nn.Module):
        return backbone
    parts = [name for name, _ in model.named_children() if name in PARTS_OF_A_METHOD]
    if parts:
        raise ValueError(
            f"{type(model).__name__} has {', '.join(parts)} but no `.backbone`: pass the network to evaluate"
        )
    return model
