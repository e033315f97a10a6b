"""The learning rate over a run."""

import math


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Share of the peak learning rate at a step: a straight climb, then half a cosine down to zero.

    Args:
        step: counted from 0.
        steps: of the whole run.
        warmup: steps of the climb; step 0 already has 1 / warmup, so that it is not wasted.

    Returns:
        A factor in [0, 1]: 1 at the end of the warm-up, just above 0 at the last step.
    """
    if not 0 <= warmup <= steps or not 0 <= step < steps:
        raise ValueError(
            f"expected 0 <= warmup <= steps and 0 <= step < steps, "
            f"got step={step}, steps={steps}, warmup={warmup}"
        )
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
