"""The training exercise with a momentum encoder and a queue: every usual mistake seen and named."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from watched import assert_named, assert_no_symptom, in_order, message, watched, with_replacement

from course_lib.augment.views import Augment
from course_lib.check.training import judge_training, observe
from course_lib.exercises import TrainingExercise, get

QueueLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


def exercise(**changes: object) -> TrainingExercise:
    found = get("train_moco")
    assert isinstance(found, TrainingExercise)
    return replace(found, **changes)  # type: ignore[arg-type]


# Enough steps to see what a loop does, too few for it to learn.
SHORT = exercise(count=192, batch_size=32, epochs=3, margin=-1.0)


class Loop:
    """MoCo in pieces; each mistake below replaces one of them."""

    start = 0

    def __call__(
        self,
        query_encoder: nn.Sequential,
        key_encoder: nn.Sequential,
        images: Tensor,
        *,
        queue: Tensor,
        augment: Augment,
        loss: QueueLoss,
        epochs: int,
        batch_size: int,
        lr: float,
        momentum: float,
    ) -> object:
        self.query_encoder, self.key_encoder, self.momentum = query_encoder, key_encoder, momentum
        self.prepare()
        self.optimiser = torch.optim.AdamW(self.parameters(), lr=lr)
        for _ in range(epochs):
            for index in self.batches(images, batch_size):
                view1, view2 = self.views(images, index, augment)
                self.follow()
                keys = self.keys(view2)
                queue = self.step(self.queries(view1), keys, queue, loss)
            self.end_of_epoch()
        return self.result()

    def prepare(self) -> None:
        pass

    def parameters(self) -> list[nn.Parameter]:
        return list(self.query_encoder.parameters())

    def batches(self, images: Tensor, batch_size: int) -> Iterator[Tensor]:
        yield from torch.randperm(len(images), device=images.device).split(batch_size)

    def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
        return augment(images[index]), augment(images[index])

    @torch.no_grad()
    def follow(self) -> None:
        for key, query in zip(self.key_encoder.parameters(), self.query_encoder.parameters(), strict=True):
            self.move(key, query)

    def move(self, key: Tensor, query: Tensor) -> None:
        key.copy_(self.momentum * key + (1 - self.momentum) * query)

    def end_of_epoch(self) -> None:
        pass

    def queries(self, view: Tensor) -> Tensor:
        return self.query_encoder(view)

    @torch.no_grad()
    def keys(self, view: Tensor) -> Tensor:
        return self.key_encoder(view)

    def step(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> Tensor:
        self.learn(query, keys, queue, loss)
        return self.enqueue(queue, self.enqueued(query, keys))

    def learn(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> None:
        self.optimiser.zero_grad()
        loss(query, keys, queue).backward()
        self.optimiser.step()

    def enqueued(self, query: Tensor, keys: Tensor) -> Tensor:
        return F.normalize(keys, dim=1)

    def enqueue(self, queue: Tensor, keys: Tensor) -> Tensor:
        rows = (self.start + torch.arange(len(keys), device=queue.device)) % len(queue)
        self.advance(len(keys), len(queue))
        return queue.detach().index_copy(0, rows, keys.detach())

    def advance(self, count: int, size: int) -> None:
        self.start = (self.start + count) % size

    def result(self) -> object:
        return self.query_encoder[0]


class NoLoss(Loop):
    def learn(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> None:
        (query - keys).square().mean().backward()
        self.optimiser.step()


class OwnQueryEncoder(Loop):
    def prepare(self) -> None:
        self.query_encoder = copy.deepcopy(self.query_encoder)


class OwnKeyEncoder(Loop):
    def prepare(self) -> None:
        self.key_encoder = copy.deepcopy(self.query_encoder)


class QueriesDetached(Loop):
    @torch.no_grad()
    def queries(self, view: Tensor) -> Tensor:
        return self.query_encoder(view)

    def learn(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> None:
        loss(query, keys, queue).requires_grad_().backward()


class KeysWithGradient(Loop):
    def keys(self, view: Tensor) -> Tensor:
        return self.key_encoder(view)


class KeyEncoderInTheOptimiser(KeysWithGradient):
    def parameters(self) -> list[nn.Parameter]:
        return [*self.query_encoder.parameters(), *self.key_encoder.parameters()]


class Swapped(Loop):
    def queries(self, view: Tensor) -> Tensor:
        return self.key_encoder(view)

    @torch.no_grad()
    def keys(self, view: Tensor) -> Tensor:
        return self.query_encoder(view)


class NoBackward(Loop):
    def learn(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> None:
        loss(query, keys, queue)
        self.optimiser.step()


class WrongSign(Loop):
    def learn(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> None:
        self.optimiser.zero_grad()
        (-loss(query, keys, queue)).backward()
        self.optimiser.step()


class NoAugmentation(Loop):
    def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
        return images[index] / 255, images[index] / 255


class SameViewTwice(Loop):
    def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
        view = augment(images[index])
        return view, view


class OneViewAugmented(Loop):
    def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
        return augment(images[index]), images[index] / 255


class ViewsMadeOnce(Loop):
    def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
        if not hasattr(self, "made"):
            self.made = augment(images), augment(images)
        return self.made[0][index], self.made[1][index]


class ViewsOfDifferentImages(Loop):
    def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
        other = torch.randperm(len(images), device=images.device)[: len(index)]
        return augment(images[index]), augment(images[other])


class QueueGrows(Loop):
    def enqueue(self, queue: Tensor, keys: Tensor) -> Tensor:
        return torch.cat([queue, keys])


class EnqueuedBeforeTheLoss(Loop):
    def step(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> Tensor:
        queue = self.enqueue(queue, self.enqueued(query, keys))
        self.learn(query, keys, queue, loss)
        return queue


class QueueNeverChanges(Loop):
    def enqueue(self, queue: Tensor, keys: Tensor) -> Tensor:
        super().enqueue(queue, keys)
        return queue


class NotNormalised(Loop):
    def enqueued(self, query: Tensor, keys: Tensor) -> Tensor:
        return keys


class QueriesEnqueued(Loop):
    def enqueued(self, query: Tensor, keys: Tensor) -> Tensor:
        return F.normalize(query, dim=1)


class NoiseEnqueued(Loop):
    def enqueued(self, query: Tensor, keys: Tensor) -> Tensor:
        return F.normalize(keys + torch.randn_like(keys), dim=1)


class SameRows(Loop):
    def advance(self, count: int, size: int) -> None:
        pass


class ProjectorOnly(Loop):
    def parameters(self) -> list[nn.Parameter]:
        return list(self.query_encoder[1].parameters())


class NoZeroGrad(Loop):
    def learn(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> None:
        loss(query, keys, queue).backward()
        self.optimiser.step()


class NoStep(Loop):
    def learn(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> None:
        self.optimiser.zero_grad()
        loss(query, keys, queue).backward()


class BackboneOnly(Loop):
    def parameters(self) -> list[nn.Parameter]:
        return list(self.query_encoder[0].parameters())


class UpdateNotStored(Loop):
    def move(self, key: Tensor, query: Tensor) -> None:
        key = self.momentum * key + (1 - self.momentum) * query


class OnceAnEpoch(Loop):
    def follow(self) -> None:
        pass

    def end_of_epoch(self) -> None:
        super().follow()


class Copied(Loop):
    def move(self, key: Tensor, query: Tensor) -> None:
        key.copy_(query)


class WrongWayRound(Loop):
    def move(self, key: Tensor, query: Tensor) -> None:
        key.copy_((1 - self.momentum) * key + self.momentum * query)


class HalfWay(Loop):
    def move(self, key: Tensor, query: Tensor) -> None:
        key.copy_((key + query) / 2)


class OneBatchAnEpoch(Loop):
    def batches(self, images: Tensor, batch_size: int) -> Iterator[Tensor]:
        for _ in range(2):  # too few of the six, enough to see what the queue does
            yield torch.randperm(len(images), device=images.device)[:batch_size]


class InEvaluationMode(Loop):
    def prepare(self) -> None:
        self.query_encoder.eval()


class WithReplacement(Loop):
    batches = staticmethod(with_replacement)


class NotShuffled(Loop):
    batches = staticmethod(in_order)


class ReturnsNothing(Loop):
    def result(self) -> object:
        return None


class ReturnsBoth(Loop):
    def result(self) -> object:
        return self.query_encoder[0], self.key_encoder[0]


class ReturnsProjections(Loop):
    def result(self) -> object:
        return self.query_encoder


class ReturnsTheKeyEncoder(Loop):
    def result(self) -> object:
        return self.key_encoder[0]


class ReturnsTheUntrained(Loop):
    def prepare(self) -> None:
        self.untrained = copy.deepcopy(self.query_encoder[0])

    def result(self) -> object:
        return self.untrained


MISTAKES = {
    "the loss is never called": NoLoss,
    "the query is not the query encoder's": OwnQueryEncoder,
    "the key encoder is not used": OwnKeyEncoder,
    "the queries are detached": QueriesDetached,
    "the key encoder receives gradients": KeysWithGradient,
    "the encoders are swapped": Swapped,
    "backward is never called": NoBackward,
    "the sign of the loss is wrong": WrongSign,
    "the augmentation is not used": NoAugmentation,
    "both views are identical": SameViewTwice,
    "the views are made once": ViewsMadeOnce,
    "one view is not augmented": OneViewAugmented,
    "the views are of different images": ViewsOfDifferentImages,
    "the queue grows": QueueGrows,
    "the keys are enqueued before they are used": EnqueuedBeforeTheLoss,
    "the queue never changes": QueueNeverChanges,
    "the queue is not normalised": NotNormalised,
    "the queries are enqueued": QueriesEnqueued,
    "the queue holds something else": NoiseEnqueued,
    "always the same rows are overwritten": SameRows,
    "the backbone is not trained": ProjectorOnly,
    "zero_grad is missing": NoZeroGrad,
    "the parameters never change": NoStep,
    "the projector is not trained": BackboneOnly,
    "the key encoder never moves": UpdateNotStored,
    "the key encoder moves in few steps only": OnceAnEpoch,
    "the key encoder is a copy": Copied,
    "the momentum is applied the wrong way round": WrongWayRound,
    "the key encoder follows at another pace": HalfWay,
    "the training ends too early": OneBatchAnEpoch,
    "the network is in evaluation mode": InEvaluationMode,
    "the images are drawn with replacement": WithReplacement,
    "the images are not shuffled": NotShuffled,
    "nothing is returned": ReturnsNothing,
    "several things are returned": ReturnsBoth,
    "the projector is returned too": ReturnsProjections,
    "the key encoder is returned": ReturnsTheKeyEncoder,
    "the returned network is not the trained one": ReturnsTheUntrained,
}


def test_every_symptom_has_its_mistake_here() -> None:
    assert list(MISTAKES) == [symptom.name for symptom in SHORT.misconceptions]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_seen_and_named(name: str) -> None:
    assert_named(SHORT, MISTAKES[name](), name)


def test_a_key_encoder_in_the_optimiser_is_found_by_its_gradient() -> None:
    assert "the keys carry a gradient back into the key encoder" in message(SHORT, KeyEncoderInTheOptimiser())


@pytest.mark.parametrize("seed", [0, 77])
def test_a_right_loop_shows_no_symptom(seed: int) -> None:
    for train in (Loop(), SHORT.reference):
        assert_no_symptom(SHORT, train, seed)


class FollowsAfterTheStep(Loop):
    def follow(self) -> None:
        pass

    def learn(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> None:
        super().learn(query, keys, queue, loss)
        super().follow()


class FollowsBeforeTheOptimiser(Loop):
    def follow(self) -> None:
        pass

    def learn(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> None:
        self.optimiser.zero_grad()
        loss(query, keys, queue).backward()
        super().follow()
        self.optimiser.step()


class FirstInFirstOut(Loop):
    def enqueue(self, queue: Tensor, keys: Tensor) -> Tensor:
        return torch.cat([queue, keys])[len(keys) :]


class InPlace(Loop):
    def enqueue(self, queue: Tensor, keys: Tensor) -> Tensor:
        queue[self.start : self.start + len(keys)] = keys
        self.advance(len(keys), len(queue))
        return queue


class Symmetric(Loop):
    """Each view is query and key once, as in MoCo v3; the keys of view 2 are remembered."""

    def queries(self, view: Tensor) -> Tensor:
        self.view1 = view
        return super().queries(view)

    def keys(self, view: Tensor) -> Tensor:
        self.view2 = view
        return super().keys(view)

    def learn(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> None:
        self.optimiser.zero_grad()
        there = loss(query, keys, queue)
        back = loss(self.query_encoder(self.view2), super().keys(self.view1), queue)
        ((there + back) / 2).backward()
        self.optimiser.step()


STYLES = [FollowsAfterTheStep, FollowsBeforeTheOptimiser, FirstInFirstOut, InPlace, Symmetric]


@pytest.mark.parametrize("style", STYLES)
def test_other_right_loops_show_no_symptom(style: type[Loop]) -> None:
    assert "passed" in message(SHORT, style())


def test_an_exception_is_told_with_the_line() -> None:
    class Breaks(Loop):
        def learn(self, query: Tensor, keys: Tensor, queue: Tensor, loss: QueueLoss) -> None:
            loss(query, keys[1:], queue).backward()

    assert "Your line" in message(SHORT, Breaks())
    assert "loss(query, keys[1:], queue).backward()" in message(SHORT, Breaks())
    assert "got (32, 32), (31, 32) and (256, 32)" in message(SHORT, Breaks())


def test_what_is_seen_is_plain_data() -> None:
    trace, network = observe(SHORT, Loop(), seed=0)
    assert isinstance(network, nn.Module)
    assert {type(value) for value in vars(trace.notes).values()} <= {bool, int, float, str, tuple}
    assert vars(trace.notes).keys() == SHORT.watch.NOTES.keys()


def test_the_real_thing_beats_the_untrained_network_with_room_to_spare() -> None:
    full = exercise()
    trace = watched(full, full.reference)
    assert trace.score - trace.baseline > 1.5 * full.margin
    assert judge_training(full, trace).passed
