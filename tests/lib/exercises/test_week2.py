"""What is special about the exercises of lab 2: their references are what the library does."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.augment.resample import crop_and_resize
from course_lib.evaluate import knn_accuracy
from course_lib.exercises import Case, Exercise, get
from course_lib.losses import info_nce_loss, nt_xent_loss
from course_lib.methods import MoCo
from course_lib.methods import ema_update as move_network


def exercise(name: str) -> Exercise:
    found = get(name)
    assert isinstance(found, Exercise)
    return found


def cases(name: str) -> list[Case]:
    return [case for case in exercise(name).cases(5, 1) if case.dtype == torch.float64]


def call(name: str, case: Case) -> Tensor:
    return exercise(name).reference(*case.tensors.values(), **case.options)


def test_crops_that_are_enlarged_are_the_librarys() -> None:
    (case,) = (case for case in cases("crop_and_flip") if "smaller" in case.about)
    boxes, flips, size = (case.options[name] for name in ("boxes", "flips", "size"))
    images = case.tensors["images"].float()
    expected = crop_and_resize(images, boxes.float(), int(size))  # type: ignore[union-attr]
    expected = torch.where(flips[:, None, None, None], expected.flip(3), expected)  # type: ignore[index]
    torch.testing.assert_close(call("crop_and_flip", case).float(), expected, rtol=1e-4, atol=1e-4)


def test_the_boxes_are_inside_and_some_are_mirrored() -> None:
    for case in cases("crop_and_flip"):
        height, width = case.tensors["images"].shape[2:]
        boxes = case.options["boxes"]
        assert isinstance(boxes, Tensor)
        assert (boxes[:, 0] + boxes[:, 2] <= width).all()
        assert (boxes[:, 1] + boxes[:, 3] <= height).all()
    assert any(case.options["flips"].any() for case in cases("crop_and_flip"))  # type: ignore[union-attr]


def test_minus_log_of_the_partners_probability_is_nt_xent() -> None:
    z1, z2 = torch.randn(2, 5, 4, dtype=torch.float64)
    order = torch.randperm(10)
    case = Case(
        {"z": torch.cat([z1, z2])[order]}, {"image": torch.arange(5).repeat(2)[order], "temperature": 0.3}
    )
    loss = -call("partner_probability", case).log().mean()
    torch.testing.assert_close(loss, nt_xent_loss(z1, z2, temperature=0.3))


def test_a_step_is_what_an_optimiser_does() -> None:
    case = cases("simclr_step")[1]
    view1, view2, encoder, projector = case.tensors.values()
    layer = nn.Linear(encoder.shape[1], encoder.shape[0], bias=False, dtype=torch.float64)
    layer.weight.data.copy_(encoder)
    z1, z2 = (layer(view).relu() @ projector.T for view in (view1, view2))
    nt_xent_loss(z1, z2, temperature=float(case.options["temperature"])).backward()
    torch.optim.SGD(layer.parameters(), lr=float(case.options["lr"])).step()
    torch.testing.assert_close(call("simclr_step", case), layer.weight.detach())


def test_the_average_is_the_librarys() -> None:
    key, query = nn.Linear(3, 4), nn.Linear(3, 4)
    case = Case({"key": key.weight.detach(), "query": query.weight.detach()}, {"momentum": 0.9})
    expected = call("ema_update", case)
    move_network(key, query, 0.9)
    torch.testing.assert_close(expected, key.weight.detach())


def test_the_queue_is_mocos_where_it_does_not_wrap_and_goes_on_where_it_does() -> None:
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 6))
    backbone.num_features = 6  # type: ignore[assignment]
    moco = MoCo(backbone, 4, queue_size=9, bn_splits=1)
    queue = moco.queue.T.clone()
    for step in range(4):
        keys = torch.randn(3, 4)
        case = Case({"queue": queue, "keys": keys}, {"start": 3 * step % 9})
        queue = call("enqueue", case)
        moco.enqueue(F.normalize(keys, dim=1))
        torch.testing.assert_close(queue, moco.queue.T)
    keys = torch.eye(4)[:3]
    wrapped = call("enqueue", Case({"queue": queue, "keys": keys}, {"start": 7}))
    assert torch.equal(wrapped[[7, 8, 0]], keys)
    assert torch.equal(wrapped[1:7], queue[1:7])


def test_cross_entropy_of_the_logits_is_info_nce() -> None:
    for case in cases("moco_logits"):
        query, keys, queue = case.tensors.values()
        temperature = float(case.options["temperature"])
        logits = call("moco_logits", case)
        expected = info_nce_loss(
            F.normalize(query, dim=1), F.normalize(keys, dim=1), queue, temperature=temperature
        )
        target = torch.zeros(len(query), dtype=torch.int64)
        torch.testing.assert_close(F.cross_entropy(logits, target), expected)


def test_the_winner_of_the_vote_is_the_probes() -> None:
    for case in cases("knn_votes"):
        bank, queries = case.tensors.values()
        labels, k, temperature = (case.options[name] for name in ("bank_labels", "k", "temperature"))
        votes = call("knn_votes", case)
        assert votes.sum(dim=1).tolist() == pytest.approx([1.0] * len(queries))
        same = knn_accuracy(
            bank, labels, queries, votes.argmax(dim=1), k=int(k), temperature=float(temperature)
        )  # type: ignore[arg-type]
        assert same == 1.0


def test_the_votes_are_tried_where_it_hurts() -> None:
    tried = cases("knn_votes")
    assert any(case.options["k"] > len(case.tensors["bank"]) for case in tried)
    assert any(case.options["temperature"] == 0.01 for case in tried)
    assert any(case.options["classes"] > case.options["bank_labels"].max() + 1 for case in tried)  # type: ignore[union-attr]


def test_the_queue_is_tried_where_it_wraps() -> None:
    wraps = [case for case in cases("enqueue") if "past the end" in case.about]
    assert wraps
    for case in wraps:
        assert int(case.options["start"]) + len(case.tensors["keys"]) > len(case.tensors["queue"])


def test_the_probe_is_softmax_regression() -> None:
    for case in cases("linear_probe"):
        train, test = case.tensors.values()
        options = case.options
        mean, std = train.mean(0), train.std(0, correction=0).clamp(min=1e-6)
        layer = nn.Linear(train.shape[1], int(options["classes"]), dtype=torch.float64)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        optimiser = torch.optim.SGD(
            [
                {"params": [layer.weight], "weight_decay": float(options["weight_decay"])},
                {"params": [layer.bias]},
            ],
            lr=float(options["lr"]),
        )
        for _ in range(int(options["steps"])):
            optimiser.zero_grad()
            F.cross_entropy(layer((train - mean) / std), options["labels"]).backward()  # type: ignore[arg-type]
            optimiser.step()
        torch.testing.assert_close(call("linear_probe", case), layer((test - mean) / std).detach())


def test_the_numbers_by_hand() -> None:
    pair = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 5.0]])
    case = Case({"z": pair}, {"image": torch.tensor([7, 4, 7, 4]), "temperature": 0.5})
    assert call("partner_probability", case).tolist() == pytest.approx([math.e**2 / (math.e**2 + 2)] * 4)
    bank = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    options = {"bank_labels": torch.tensor([0, 1, 1]), "classes": 2, "k": 2, "temperature": 0.5}
    votes = call("knn_votes", Case({"bank": bank, "queries": torch.tensor([[3.0, 0.0]])}, options))
    assert votes[0, 0].item() == pytest.approx(0.6424, abs=1e-4)
