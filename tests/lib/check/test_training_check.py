"""The training exercise: judged by what happens, every usual mistake seen and named."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from watched import assert_named, assert_no_symptom, in_order, message, watched, with_replacement

from course_lib.augment.views import Augment
from course_lib.check import CheckFailed, check
from course_lib.check.training import judge_training
from course_lib.exercises import TrainingExercise, get

Loss = Callable[[Tensor, Tensor], Tensor]


def exercise(**changes: object) -> TrainingExercise:
    found = get("train_encoder")
    assert isinstance(found, TrainingExercise)
    return replace(found, **changes)  # type: ignore[arg-type]


# Enough steps to see what a loop does, too few for it to learn.
SHORT = exercise(count=192, batch_size=32, epochs=2, margin=-1.0)


class Loop:
    """A training loop in pieces; each mistake below replaces one of them."""

    def __call__(
        self,
        backbone: nn.Module,
        projector: nn.Module,
        images: Tensor,
        *,
        augment: Augment,
        loss: Loss,
        epochs: int,
        batch_size: int,
        lr: float,
    ) -> object:
        backbone = self.prepared(backbone)
        optimiser = torch.optim.AdamW(self.parameters(backbone, projector), lr=lr)
        for _ in range(epochs):
            for index in self.batches(images, batch_size):
                view1, view2 = self.views(images, index, augment)
                z1, z2 = self.projections(backbone, projector, view1, view2)
                self.step(optimiser, loss, z1, z2)
        return self.result(backbone, projector)

    def prepared(self, backbone: nn.Module) -> nn.Module:
        return backbone

    def parameters(self, backbone: nn.Module, projector: nn.Module) -> list[nn.Parameter]:
        return [*backbone.parameters(), *projector.parameters()]

    def batches(self, images: Tensor, batch_size: int) -> Iterator[Tensor]:
        yield from torch.randperm(len(images), device=images.device).split(batch_size)

    def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
        return augment(images[index]), augment(images[index])

    def projections(
        self, backbone: nn.Module, projector: nn.Module, view1: Tensor, view2: Tensor
    ) -> tuple[Tensor, Tensor]:
        return projector(backbone(view1)), projector(backbone(view2))

    def step(self, optimiser: torch.optim.Optimizer, loss: Loss, z1: Tensor, z2: Tensor) -> None:
        optimiser.zero_grad()
        loss(z1, z2).backward()
        optimiser.step()

    def result(self, backbone: nn.Module, projector: nn.Module) -> object:
        return backbone


class NoLoss(Loop):
    def step(self, optimiser: torch.optim.Optimizer, loss: Loss, z1: Tensor, z2: Tensor) -> None:
        (z1 - z2).square().mean().backward()
        optimiser.step()


class Detached(Loop):
    def projections(
        self, backbone: nn.Module, projector: nn.Module, view1: Tensor, view2: Tensor
    ) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return projector(backbone(view1)), projector(backbone(view2))

    def step(self, optimiser: torch.optim.Optimizer, loss: Loss, z1: Tensor, z2: Tensor) -> None:
        loss(z1, z2).requires_grad_().backward()


class FeaturesOnly(Loop):
    def projections(
        self, backbone: nn.Module, projector: nn.Module, view1: Tensor, view2: Tensor
    ) -> tuple[Tensor, Tensor]:
        return backbone(view1), backbone(view2)


class NoBackward(Loop):
    def step(self, optimiser: torch.optim.Optimizer, loss: Loss, z1: Tensor, z2: Tensor) -> None:
        optimiser.zero_grad()
        loss(z1, z2)
        optimiser.step()


class WrongSign(Loop):
    def step(self, optimiser: torch.optim.Optimizer, loss: Loss, z1: Tensor, z2: Tensor) -> None:
        optimiser.zero_grad()
        (-loss(z1, z2)).backward()
        optimiser.step()


class NoAugmentation(Loop):
    def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
        return images[index] / 255, images[index] / 255


class SameViewTwice(Loop):
    def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
        view = augment(images[index])
        return view, view


class ViewsMadeOnce(Loop):
    def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
        if not hasattr(self, "made"):
            self.made = augment(images), augment(images)
        return self.made[0][index], self.made[1][index]


class OneViewAugmented(Loop):
    def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
        return augment(images[index]), images[index] / 255


class OneViewDetached(Loop):
    def projections(
        self, backbone: nn.Module, projector: nn.Module, view1: Tensor, view2: Tensor
    ) -> tuple[Tensor, Tensor]:
        return projector(backbone(view1)), projector(backbone(view2)).detach()


class ViewsOfDifferentImages(Loop):
    def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
        other = torch.randperm(len(images), device=images.device)[: len(index)]
        return augment(images[index]), augment(images[other])


class NoZeroGrad(Loop):
    def step(self, optimiser: torch.optim.Optimizer, loss: Loss, z1: Tensor, z2: Tensor) -> None:
        loss(z1, z2).backward()
        optimiser.step()


class NoStep(Loop):
    def step(self, optimiser: torch.optim.Optimizer, loss: Loss, z1: Tensor, z2: Tensor) -> None:
        optimiser.zero_grad()
        loss(z1, z2).backward()


class ProjectorOnly(Loop):
    def parameters(self, backbone: nn.Module, projector: nn.Module) -> list[nn.Parameter]:
        return list(projector.parameters())


class BackboneOnly(Loop):
    def parameters(self, backbone: nn.Module, projector: nn.Module) -> list[nn.Parameter]:
        return list(backbone.parameters())


class OneBatchAnEpoch(Loop):
    def batches(self, images: Tensor, batch_size: int) -> Iterator[Tensor]:
        yield torch.randperm(len(images), device=images.device)[:batch_size]


class InEvaluationMode(Loop):
    def prepared(self, backbone: nn.Module) -> nn.Module:
        return backbone.eval()


class WithReplacement(Loop):
    batches = staticmethod(with_replacement)


class NotShuffled(Loop):
    batches = staticmethod(in_order)


class ReturnsNothing(Loop):
    def result(self, backbone: nn.Module, projector: nn.Module) -> object:
        return None


class ReturnsBoth(Loop):
    def result(self, backbone: nn.Module, projector: nn.Module) -> object:
        return backbone, projector


class ReturnsProjections(Loop):
    def result(self, backbone: nn.Module, projector: nn.Module) -> object:
        return nn.Sequential(backbone, projector)


class ReturnsTheUntrained(Loop):
    def prepared(self, backbone: nn.Module) -> nn.Module:
        self.untrained = copy.deepcopy(backbone)
        return backbone

    def result(self, backbone: nn.Module, projector: nn.Module) -> object:
        return self.untrained


MISTAKES = {
    "the loss is never called": NoLoss,
    "the projections are detached": Detached,
    "only the backbone is applied": FeaturesOnly,
    "backward is never called": NoBackward,
    "the sign of the loss is wrong": WrongSign,
    "the augmentation is not used": NoAugmentation,
    "both views are identical": SameViewTwice,
    "the views are made once": ViewsMadeOnce,
    "one view is not augmented": OneViewAugmented,
    "the views are of different images": ViewsOfDifferentImages,
    "one view is detached": OneViewDetached,
    "the backbone is not trained": ProjectorOnly,
    "zero_grad is missing": NoZeroGrad,
    "the parameters never change": NoStep,
    "the projector is not trained": BackboneOnly,
    "the training ends too early": OneBatchAnEpoch,
    "the network is in evaluation mode": InEvaluationMode,
    "the images are drawn with replacement": WithReplacement,
    "the images are not shuffled": NotShuffled,
    "nothing is returned": ReturnsNothing,
    "several things are returned": ReturnsBoth,
    "the projector is returned too": ReturnsProjections,
    "the returned network is not the trained one": ReturnsTheUntrained,
}


def test_every_symptom_has_its_mistake_here() -> None:
    assert list(MISTAKES) == [symptom.name for symptom in SHORT.misconceptions]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_seen_and_named(name: str) -> None:
    assert_named(SHORT, MISTAKES[name](), name)


@pytest.mark.parametrize("seed", [0, 77])
def test_a_right_loop_shows_no_symptom(seed: int) -> None:
    for train in (Loop(), SHORT.reference):
        assert_no_symptom(SHORT, train, seed)


def test_views_made_in_one_call_are_fine() -> None:
    class BothAtOnce(Loop):
        def views(self, images: Tensor, index: Tensor, augment: Augment) -> tuple[Tensor, Tensor]:
            view1, view2 = augment(torch.cat([images[index]] * 2)).chunk(2)
            return view1, view2

    assert "passed" in message(SHORT, BothAtOnce())


def test_a_trained_copy_may_be_returned() -> None:
    class TrainsACopy(Loop):
        def prepared(self, backbone: nn.Module) -> nn.Module:
            return copy.deepcopy(backbone)

    assert "passed" in message(SHORT, TrainsACopy())


def test_a_symmetric_loss_is_fine() -> None:
    class Symmetric(Loop):
        def step(self, optimiser: torch.optim.Optimizer, loss: Loss, z1: Tensor, z2: Tensor) -> None:
            optimiser.zero_grad()
            ((loss(z1, z2) + loss(z2, z1)) / 2).backward()
            optimiser.step()

    class OneAfterTheOther(Symmetric):
        def step(self, optimiser: torch.optim.Optimizer, loss: Loss, z1: Tensor, z2: Tensor) -> None:
            optimiser.zero_grad()
            (loss(z1, z2) / 2).backward(retain_graph=True)
            (loss(z2, z1) / 2).backward()
            optimiser.step()

    for train in (Symmetric(), OneAfterTheOther()):
        assert "passed" in message(SHORT, train)


def test_a_data_loader_is_fine() -> None:
    class Loads(Loop):
        def batches(self, images: Tensor, batch_size: int) -> Iterator[Tensor]:
            yield from DataLoader(range(len(images)), batch_size, shuffle=True)  # type: ignore[arg-type]

    assert "passed" in message(SHORT, Loads())


def test_a_compiled_network_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is behind torch.compile runs as it is written: there is no time to compile."""

    class Compiles(Loop):
        def prepared(self, backbone: nn.Module) -> nn.Module:
            def compiles(*_: object) -> None:
                pytest.fail("it was compiled")

            return torch.compile(backbone, backend=compiles)  # type: ignore[return-value, call-overload]

    assert "passed" in message(SHORT, Compiles())


def test_a_step_an_epoch_is_told_as_such() -> None:
    class WholeWorldAtOnce(Loop):
        def batches(self, images: Tensor, batch_size: int) -> Iterator[Tensor]:
            yield torch.randperm(len(images), device=images.device)

    assert "you make 2 steps where epochs times batches are 12" in message(SHORT, WholeWorldAtOnce())


def test_a_loop_that_goes_on_is_stopped() -> None:
    class ManyEpochs(Loop):
        def batches(self, images: Tensor, batch_size: int) -> Iterator[Tensor]:
            while True:
                yield torch.arange(batch_size, device=images.device)

    told = message(SHORT, ManyEpochs())
    assert "the loss was called more than 48 times; epochs times batches are 12." in told
    assert "TooManyCalls" not in told


def test_an_exception_is_told_with_the_line() -> None:
    class Breaks(Loop):
        def step(self, optimiser: torch.optim.Optimizer, loss: Loss, z1: Tensor, z2: Tensor) -> None:
            loss(z1[1:], z2).backward()

    assert "Your line" in message(SHORT, Breaks())
    assert "loss(z1[1:], z2).backward()" in message(SHORT, Breaks())


def test_what_is_returned_must_take_images() -> None:
    class ReturnsTheHead(Loop):
        def result(self, backbone: nn.Module, projector: nn.Module) -> object:
            return projector

    assert "what you return cannot be applied to images" in message(SHORT, ReturnsTheHead())


def test_a_blank_loop_raises_not_implemented() -> None:
    def blank(*_: object, **__: object) -> nn.Module:
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        check("train_encoder", blank)


def test_features_that_hardly_improve_are_told() -> None:
    class ALearningRateOfNothing(Loop):
        def step(self, optimiser: torch.optim.Optimizer, loss: Loss, z1: Tensor, z2: Tensor) -> None:
            optimiser.param_groups[0]["lr"] = 1e-7
            super().step(optimiser, loss, z1, z2)

    told = message(replace(SHORT, margin=0.1), ALearningRateOfNothing())
    assert "it runs, but hardly learns: kNN accuracy" in told
    assert "expected at least 0.10 more" in told


def test_the_real_thing_beats_the_untrained_network_with_room_to_spare() -> None:
    full = exercise()
    trace = watched(full, full.reference)
    assert trace.score - trace.baseline > 1.5 * full.margin
    assert judge_training(full, trace).passed


def test_the_number_of_threads_changes_nothing() -> None:
    before = torch.get_num_threads()
    try:
        seen = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            seen.append(watched(SHORT, SHORT.reference))
            assert torch.get_num_threads() == threads
        assert seen[0] == seen[1]
    finally:
        torch.set_num_threads(before)


def test_check_wants_a_function() -> None:
    with pytest.raises(CheckFailed, match="expected your function, got a NoneType"):
        check("train_encoder", None)
