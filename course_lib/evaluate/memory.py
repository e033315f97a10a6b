"""What a training step must remember."""

from typing import Any

import torch
from torch import Tensor, nn


def backward_bytes(method: nn.Module, batch: Any) -> int:
    """Bytes that autograd keeps between the forward and the backward pass of one batch.

    Activations are what fills a GPU in training; weights and optimiser state come on top and do not grow with
    the batch. Storage that several operations keep is counted once, the parameters not at all. The method is
    left as it was found.

    Args:
        method: `method(batch)` is the loss.
        batch: what it takes.
    """
    weights = {p.untyped_storage().data_ptr() for p in method.parameters()}
    # Storages are kept in the dictionary, so that no address is used twice.
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    before = {name: value.clone() for name, value in method.state_dict().items()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        method(batch)
    method.load_state_dict(before)
    return sum(storage.nbytes() for storage in kept.values())
