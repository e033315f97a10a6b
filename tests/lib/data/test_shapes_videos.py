import pytest
import torch

from course_lib.data.shapes import Shapes
from course_lib.data.shapes.videos import CYCLES, animate
from course_lib.data.shapes.vocabulary import MOTIONS

FRAMES = 8


def unwrapped(values: torch.Tensor, cycle: float) -> torch.Tensor:
    """Steps from frame to frame of something that runs in a circle, in (-cycle / 2, cycle / 2]."""
    steps = values.diff(dim=1)
    return steps - cycle * (steps / cycle).round()


def test_shapes_and_labels() -> None:
    videos = Shapes(size=24).videos(range(40), frames=5)
    assert videos.frames.shape == (40, 5, 3, 24, 24)
    assert videos.frames.dtype == torch.uint8
    assert videos.names == MOTIONS
    assert (videos.labels.view(-1, 8).sort(1).values == torch.arange(8)).all()
    again = Shapes(size=24).videos([7, 3], frames=5)
    assert torch.equal(again.frames, videos.frames[[7, 3]])
    with pytest.raises(ValueError, match="frame"):
        Shapes().videos([0], frames=0)


@pytest.mark.parametrize("label", range(len(MOTIONS)), ids=MOTIONS)
def test_only_the_named_quantity_moves_and_the_named_way(label: int) -> None:
    factors = animate(Shapes().factors(range(50)), torch.full((50,), label), FRAMES)
    values = {name: getattr(factors, name).view(50, FRAMES) for name in CYCLES}
    steps = {name: unwrapped(values[name], high - low) for name, (low, high) in CYCLES.items()}
    what, sign = {
        "left": ("x", -1),
        "right": ("x", 1),
        "up": ("y", -1),
        "down": ("y", 1),
        "clockwise": ("rotation", -1),
        "counter-clockwise": ("rotation", 1),
        "growing": ("size", 1),
        "shrinking": ("size", -1),
    }[MOTIONS[label]]
    for name, step in steps.items():
        if name == what:
            assert (sign * step > 0).all()
            assert step.std(1).max() < 1e-3  # a steady speed
        else:
            assert (step == 0).all()


def test_pixels_move_the_named_way() -> None:
    fixed = {"shape": "heart", "texture": "plain"}
    world = Shapes(size=64, noise=0.0, fixed=fixed)
    right = world.videos(range(64)).labels == MOTIONS.index("right")
    frames = world.videos(range(64)).frames[right].float()
    for video in frames:
        shifts = [
            int((video[1] - video[0].roll(k, -1)).abs().mean((0, 1, 2)).mul(100)) for k in range(-12, 13)
        ]
        assert 2 <= min(range(25), key=lambda k: shifts[k]) - 12 <= 8


def test_one_frame_says_nothing_and_two_do() -> None:
    world, count = Shapes(), 8000
    factors, labels = world.factors(range(count)), world.videos(range(count), frames=1).labels
    moving = animate(factors, labels, FRAMES)
    for name, (low, high) in CYCLES.items():
        values = (getattr(moving, name).view(count, FRAMES) - low) / (high - low)
        for frame in (0, FRAMES - 1):
            for label in range(len(MOTIONS)):
                sample = values[labels == label, frame].sort().values  # 1000 of them
                gap = (sample - torch.linspace(0, 1, len(sample))).abs().max()
                assert gap < 0.065, (name, frame, label)  # Kolmogorov-Smirnov at about 0.1 %


def test_a_linear_classifier_reads_motion_from_differences_only() -> None:
    videos = Shapes(size=12, noise=0.0, fixed={"background_colours": torch.zeros(2, 3)}).videos(range(3000))
    pixels = videos.frames.float().flatten(2) / 255  # (B, T, 432)
    target = torch.nn.functional.one_hot(videos.labels).float()

    def accuracy(features: torch.Tensor) -> float:
        features = torch.cat([features, torch.ones(len(features), 1)], dim=1)
        gram = features[:2000].T @ features[:2000] + 3 * torch.eye(features.shape[1])
        weights = torch.linalg.solve(gram, features[:2000].T @ target[:2000])
        return ((features[2000:] @ weights).argmax(1) == videos.labels[2000:]).float().mean().item()

    assert accuracy(pixels[:, 0]) < 0.18
    assert accuracy(pixels[:, -1]) < 0.18
    step = pixels[:, 1] - pixels[:, 0]
    texture = pixels[:, :2].mean(1).view(-1, 3, 12, 12)
    slope_x = torch.nn.functional.pad(texture[..., 2:] - texture[..., :-2], (1, 1)).flatten(1)
    slope_y = torch.nn.functional.pad(texture[..., 2:, :] - texture[..., :-2, :], (0, 0, 1, 1)).flatten(1)
    flow = torch.stack([(step * slope_x).sum(1), (step * slope_y).sum(1), step.sum(1), step.abs().sum(1)], 1)
    assert accuracy(flow) > 0.3


def test_each_frame_has_its_own_grain() -> None:
    videos = Shapes(size=32, noise=0.1, fixed={"size": 1e-3}).videos(range(8), frames=3).frames.float()
    still = videos.flatten(2) - videos.mean((2, 3, 4)).unsqueeze(2)
    assert (still[:, 0] != still[:, 1]).float().mean() > 0.8
