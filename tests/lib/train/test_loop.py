"""What the loop does beside lowering the loss."""

import csv
import math
import random
import sys
import types
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import Linear, QueueMethod, image_set, noisy, plain
from torch import nn

from course_lib.train import History, Views, fit, warmup_cosine
from course_lib.train.record import Record


def labelled(batch_size: int = 16, **kwargs) -> Views:
    return Views(image_set(), plain, batch_size=batch_size, labels=True, **kwargs)


def test_schedule_climbs_and_falls() -> None:
    factors = [warmup_cosine(step, 20, 4) for step in range(20)]
    assert factors[:5] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert factors[12] == pytest.approx(0.5)
    assert all(a > b for a, b in pairwise(factors[4:]))
    assert 0 < factors[-1] < 0.02
    assert warmup_cosine(0, 5, 0) == 1
    assert warmup_cosine(4, 5, 5) == 1
    with pytest.raises(ValueError, match="0 <= step < steps"):
        warmup_cosine(5, 5, 1)


def test_records_the_rate_of_every_step() -> None:
    history = fit(Linear(), labelled(), epochs=5, lr=0.1, progress=False)
    assert history.lrs == pytest.approx([0.1 * warmup_cosine(i, 20, 2) for i in range(20)])


@pytest.mark.parametrize(("optimiser", "lr"), [("adamw", 0.02), ("sgd", 0.1), ("lars", 3.0)])
def test_every_optimiser_lowers_the_loss(optimiser: str, lr: float) -> None:
    torch.manual_seed(0)
    history = fit(Linear(), labelled(64), epochs=150, lr=lr, optimiser=optimiser, progress=False)
    assert history.losses[-1] < 0.5 * history.losses[0]


def test_accumulated_gradients_equal_those_of_the_joined_batch() -> None:
    torch.manual_seed(0)
    whole, parts = Linear(), Linear()
    parts.load_state_dict(whole.state_dict())
    big = [next(iter(labelled(32)))]
    small = [tuple(tensor[i : i + 8] for tensor in big[0]) for i in range(0, 32, 8)]
    options = {"epochs": 3, "lr": 0.1, "optimiser": "sgd", "progress": False}
    one = fit(whole, big, **options)
    four = fit(parts, small, accumulate=4, **options)
    assert four.losses == pytest.approx(one.losses, rel=1e-5)
    torch.testing.assert_close(whole.state_dict(), parts.state_dict())


def test_after_step_follows_every_optimiser_step_and_no_other_batch() -> None:
    method = QueueMethod()
    fit(method, Views(image_set(), noisy, batch_size=16), epochs=3, accumulate=2, progress=False)
    assert int(method.steps) == 6


def test_clipping_bounds_the_step() -> None:
    torch.manual_seed(0)
    method = Linear()
    before = method.layer.weight.detach().clone(), method.layer.bias.detach().clone()
    fit(
        method,
        labelled(64),
        epochs=1,
        lr=1.0,
        optimiser="sgd",
        weight_decay=0,
        clip=1e-3,
        warmup=0,
        progress=False,
    )
    moved = math.hypot(
        (method.layer.weight - before[0]).norm().item(), (method.layer.bias - before[1]).norm().item()
    )
    assert moved == pytest.approx(1e-3, rel=1e-3)


def test_probe_and_meter_are_recorded_and_change_nothing() -> None:
    """They may draw random numbers and switch modes; the run must not notice."""

    def nosy(method: nn.Module) -> float:
        method.eval()
        return torch.rand(()).item() + random.random() + np.random.rand()  # noqa: NPY002

    runs = []
    for options in ({}, {"probe": nosy, "meter": lambda m: {"a": nosy(m), "b": 2}}):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        views = Views(image_set(), noisy, batch_size=16)
        runs.append(fit(QueueMethod(), views, epochs=2, progress=False, **options))
    assert runs[0].losses == runs[1].losses
    assert [step for step, _ in runs[1].probe] == [4, 8]
    assert runs[1].meters["b"] == [(4, 2.0), (8, 2.0)]
    assert list(runs[1].meters) == ["a", "b"]


def test_frozen_parameters_stay() -> None:
    method = QueueMethod()
    method.backbone.layers[1].requires_grad_(False)
    before = method.backbone.layers[1].weight.clone()
    fit(method, Views(image_set(), noisy, batch_size=16), epochs=1, progress=False)
    assert torch.equal(method.backbone.layers[1].weight, before)
    with pytest.raises(ValueError, match="no parameter that wants a gradient"):
        fit(Linear().requires_grad_(False), labelled(), epochs=1, progress=False)


def test_bf16_trains_in_mixed_precision_and_gives_the_method_back_unchanged() -> None:
    seen = []

    class Spy(Linear):
        def forward(self, batch):
            logits = self.layer(self.backbone(batch[0]))
            seen.append(logits.dtype)
            return nn.functional.cross_entropy(logits.float(), batch[1])

    torch.manual_seed(0)
    method = Spy()
    history = fit(method, labelled(), epochs=30, lr=0.02, precision="bf16", progress=False)
    assert set(seen) == {torch.bfloat16}
    assert method.layer.weight.dtype == torch.float32
    assert history.losses[-1] < 0.5 * history.losses[0]
    seen.clear()
    method(next(iter(labelled())))
    assert seen == [torch.float32]  # the loop's autocast does not linger
    fit(method, labelled(), epochs=1, progress=False)  # nor does its setting
    assert set(seen) == {torch.float32}


def test_logs(tmp_path: Path, monkeypatch) -> None:
    drawn = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            assert folder == str(tmp_path)
            assert purge_step == 1

        def add_scalar(self, name, value, step):
            drawn.append((name, value, step))

        def close(self):
            drawn.append("closed")

    stub = types.ModuleType("torch.utils.tensorboard")
    stub.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stub)
    history = fit(Linear(), labelled(), epochs=2, probe=lambda _: 0.5, log=tmp_path, progress=False)
    with (tmp_path / "steps.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == history.losses
    assert [int(row["step"]) for row in rows] == list(range(1, 9))
    assert (tmp_path / "measures.csv").read_text().split() == [
        "step,name,value",
        "4,probe,0.5",
        "8,probe,0.5",
    ]
    assert ("probe", 0.5, 4) in drawn
    assert ("loss", history.losses[7], 8) in drawn
    assert drawn[-1] == "closed"


def test_logs_without_tensorboard(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    fit(Linear(), labelled(), epochs=1, log=tmp_path, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["measures.csv", "steps.csv"]


def test_progress_shows_loss_chance_rate_and_probe(capsys, monkeypatch) -> None:
    monkeypatch.delenv("COURSE_STATIC", raising=False)
    history = History(chance=1.386)
    with Record(history, steps=4, name="Linear", log=None, shown=True) as record:
        record.loss(2.5, 0.1)
        record.step(0.1)
        record.measure(Linear(), lambda _: 0.25, None)
        record.loss(1.5, 0.05)
        record.step(0.05)
        shown = str(record.bar)
    for part in ("Linear", "2/4", "loss=1.500 (chance 1.386)", "lr=0.05", "probe=0.250"):
        assert part in shown
    assert "Linear" in capsys.readouterr().err
    fit(Linear(), labelled(), epochs=1, progress=False)
    monkeypatch.setenv("COURSE_STATIC", "1")  # nobody watches an executed notebook's bar
    fit(Linear(), labelled(), epochs=1)
    assert not capsys.readouterr().err


def test_the_loss_that_is_not_a_number_names_step_and_rate() -> None:
    class Broken(Linear):
        def forward(self, batch):
            self.calls = getattr(self, "calls", 0) + 1
            return super().forward(batch) * (torch.inf if self.calls == 3 else 1)

    with pytest.raises(FloatingPointError, match=r"inf at step 2, with learning rate 0\.5"):
        fit(Broken(), labelled(), epochs=1, lr=0.5, warmup=0.5, optimiser="sgd", progress=False)


class Vit(nn.Module):
    """What timm's vision transformers tell about themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Flatten()
        self.backbone.patch_embed = types.SimpleNamespace(img_size=(16, 16), strict_img_size=True)
        self.layer = nn.Linear(1, 1)


def test_wrong_image_size_is_told_before_the_first_step() -> None:
    with pytest.raises(ValueError, match="takes images of 16 x 16 pixels, but a view has 8 x 8"):
        fit(Vit(), Views(image_set(), plain, batch_size=16), epochs=1, progress=False)


def test_wrong_image_size_with_a_real_vit() -> None:
    timm = pytest.importorskip("timm")
    method = Linear()
    method.backbone = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=1)
    with pytest.raises(ValueError, match="takes images of 224 x 224 pixels, but a view has 8 x 8"):
        fit(method, labelled(), epochs=1, progress=False)


def test_batch_larger_than_the_queue() -> None:
    with pytest.raises(ValueError, match="batch of 64 images is larger than the queue of 48 keys"):
        fit(QueueMethod(), Views(image_set(), noisy, batch_size=64), epochs=1, progress=False)


def test_views_that_are_no_images() -> None:
    with pytest.raises(TypeError, match="got uint8"):
        fit(Linear(), Views(image_set(), lambda x: x, labels=True, batch_size=16), epochs=1, progress=False)
    with pytest.raises(ValueError, match=r"must have shape \(B, 3, H, W\)"):
        fit(Linear(), Views(image_set(), lambda x: plain(x)[:, :1], 16, True), epochs=1, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs >= 1"),
        ({"accumulate": 0}, "accumulate >= 1"),
        ({"accumulate": 99}, "not enough for one step"),
        ({"warmup": 1.0}, "warmup < 1"),
        ({"optimiser": "adam"}, '"adamw", "sgd" or "lars"'),
        ({"precision": "fp8"}, "precision must be one of fp32, bf16, fp16"),
        ({"precision": "fp16", "device": "cpu"}, "needs a GPU"),
    ],
)
def test_settings_that_cannot_work(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(Linear(), labelled(), **{"epochs": 1, "progress": False, **options})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(ValueError, match="torch sees no GPU"):
        fit(Linear(), labelled(), epochs=1, device="cuda", progress=False)


def test_a_generator_is_refused_with_a_reason() -> None:
    class Once:
        def __init__(self):
            self.batches = iter(labelled())

        def __len__(self):
            return 8

        def __iter__(self):
            return self.batches

    with pytest.raises(ValueError, match="ended after 4 of 8"):
        fit(Linear(), Once(), epochs=2, progress=False)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_on_a_gpu(precision: str) -> None:
    torch.manual_seed(0)
    history = fit(
        Linear(), labelled(), epochs=30, lr=0.02, device="cuda", precision=precision, progress=False
    )
    assert history.losses[-1] < 0.5 * history.losses[0]


def test_views_of_many_crops_and_of_asymmetric_pairs() -> None:
    crops = Views(image_set(), lambda x: [plain(x), plain(x)[..., :4, :4], plain(x)], batch_size=16)
    assert [tuple(view.shape) for view in next(iter(crops))] == [(16, 3, 8, 8), (16, 3, 4, 4), (16, 3, 8, 8)]


def test_views_give_indices_for_a_memory_bank() -> None:
    images = image_set()
    view, index = next(iter(Views(images, plain, batch_size=16, indices=True)))
    assert torch.equal(view, plain(images.images[index]))
    with pytest.raises(ValueError, match="not both"):
        Views(images, plain, batch_size=16, labels=True, indices=True)


def test_looking_at_a_batch_does_not_shorten_the_next_epoch() -> None:
    views = labelled()
    next(iter(views))
    assert len(list(views)) == 4


def test_views_go_on_in_the_middle_of_an_epoch() -> None:
    images = image_set()
    torch.manual_seed(0)
    views = Views(images, plain, batch_size=16, indices=True)
    seen = [index for _, index in views]
    torch.manual_seed(0)
    iterator = iter(views)
    for _ in range(3):
        next(iterator)
    again = Views(images, plain, batch_size=16, indices=True)
    again.load_state_dict(views.state_dict())
    (rest,) = [index for _, index in again]
    assert torch.equal(rest, seen[3])
    assert len(list(again)) == 4


def test_the_same_seed_gives_the_same_order() -> None:
    def order(seed: int) -> list[int]:
        torch.manual_seed(seed)
        return torch.cat([i for _, i in Views(image_set(), plain, batch_size=16, indices=True)]).tolist()

    assert order(0) == order(0) != order(1)
