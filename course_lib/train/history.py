"""What a run left behind."""

from dataclasses import dataclass, field


@dataclass
class History:
    """What a run left behind.

    Attributes:
        losses: one value per optimiser step, the mean over its batches and over processes.
        probe: (step, value) pairs of the probe, one after each epoch; steps count from 1.
        seconds: wall time, the probe's included; time before an interruption counts too.
        chance: the loss of a network that knows nothing, for plots.
        meters: name -> (step, value) pairs of what `meter` measured, one after each epoch.
        lrs: the learning rate of each step.
    """

    losses: list[float] = field(default_factory=list)
    probe: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    chance: float | None = None
    meters: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    lrs: list[float] = field(default_factory=list)
