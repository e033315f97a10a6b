"""The course's methods as schematics, in the order of the lectures."""

from __future__ import annotations

from course_lib.show.schematic import Arrow, Box, Schematic

SIMCLR = Schematic(
    "SimCLR: both views through one network",
    {
        "image": Box("image", 0, 0.5),
        "view 1": Box("view 1", 1, 0),
        "view 2": Box("view 2", 1, 1),
        "backbone 1": Box("backbone\n$h = f(x)$", 2, 0, "network"),
        "backbone 2": Box("backbone\n$h = f(x)$", 2, 1, "network"),
        "projector 1": Box("projector\n$z = g(h)$", 3, 0, "network"),
        "projector 2": Box("projector\n$z = g(h)$", 3, 1, "network"),
        "loss": Box("NT-Xent\nover 2N views", 4, 0.5, "loss"),
    },
    (
        Arrow("image", "view 1", "stop"),
        Arrow("image", "view 2", "stop"),
        Arrow("view 1", "backbone 1", "stop"),
        Arrow("view 2", "backbone 2", "stop"),
        Arrow("backbone 1", "projector 1"),
        Arrow("backbone 2", "projector 2"),
        Arrow("projector 1", "loss"),
        Arrow("projector 2", "loss"),
        Arrow("backbone 1", "backbone 2", "same"),
        Arrow("projector 1", "projector 2", "same"),
    ),
)

MOCO = Schematic(
    "MoCo: a slow network makes the keys, a queue keeps them",
    {
        "image": Box("image", 0, 0.5),
        "view 1": Box("view 1", 1, 0),
        "view 2": Box("view 2", 1, 1),
        "query encoder": Box("query encoder\n$q = f_q(x)$", 2, 0, "network"),
        "key encoder": Box("key encoder\n$k = f_k(x)$", 2, 1, "follower"),
        "queue": Box("queue\nof old keys", 4, 1, "memory"),
        "loss": Box("InfoNCE\namong $K + 1$", 4, 0, "loss"),
    },
    (
        Arrow("image", "view 1", "stop"),
        Arrow("image", "view 2", "stop"),
        Arrow("view 1", "query encoder", "stop"),
        Arrow("view 2", "key encoder", "stop"),
        Arrow("query encoder", "loss"),
        Arrow("key encoder", "loss", "stop", "own key"),
        Arrow("key encoder", "queue", "stop", "after the step: enqueued"),
        Arrow("queue", "loss", "stop", "negatives"),
        Arrow("query encoder", "key encoder", "average"),
    ),
)
