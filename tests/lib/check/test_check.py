"""`check` climbs its ladder: each rung has its own sentence, and the first broken one is told."""

import contextlib
import re
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check import CheckFailed, check
from course_lib.check import check as check_function
from course_lib.check.examine import examine
from course_lib.check.ladder import HALF, QUARTER, Verdict
from course_lib.exercises import get
from course_lib.losses import semi_hard_triplet_loss
from course_tools.grading.samples import answers_of_a_sample

check_module = sys.modules[check_function.__module__]
SAMPLES = Path(__file__).parents[2] / "samples"


def logits_and_partners(z1: Tensor, z2: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    z = torch.cat([z1, z2])
    z = F.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    return logits, (torch.arange(len(z), device=z.device) + len(z1)) % len(z)


def right(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    return F.cross_entropy(*logits_and_partners(z1, z2, temperature))


def told(name: str, function: object) -> str:
    with pytest.raises(CheckFailed) as failure:
        check(name, function)
    return str(failure.value)


def verdict(name: str, function: Callable[..., object]) -> Verdict:
    return examine(get(name), function, seed=0)


def after(change: Callable[[Tensor], object]) -> Callable[..., object]:
    """The right NT-Xent whose result passes through `change`."""
    return lambda z1, z2, *, temperature: change(right(z1, z2, temperature=temperature))


def test_success_is_one_line() -> None:
    passed = check("nt_xent_loss", right)
    assert repr(passed) == (
        "nt_xent_loss: passed (24 inputs, float16, bfloat16, float32 and float64, values and gradients)."
    )
    assert "nt_xent_loss" in passed._repr_html_()
    assert not isinstance(passed, float)


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*/right.py")), ids=lambda path: path.parent.name)
def test_right_answers_in_other_styles_pass(sample: Path) -> None:
    namespace = {"torch": torch, "F": F, "nn": nn, "Tensor": Tensor}
    answers = answers_of_a_sample(sample)
    assert len(answers) >= 8
    for source in answers.values():
        exec(source, namespace)
    for name in answers.keys() - {"train_encoder", "train_moco"}:
        check(name, namespace[name])
        check(name, namespace[name], seed=987654321)


def test_a_blank_item_raises_not_implemented_unchanged() -> None:
    def blank(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        raise NotImplementedError("1.3")

    with pytest.raises(NotImplementedError, match=r"^1\.3$"):
        check("nt_xent_loss", blank)


def test_what_torch_has_not_implemented_is_no_blank_item() -> None:
    def broken(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        return z1.to_sparse().flip(0)

    with pytest.raises(CheckFailed, match="NotImplementedError: Could not run 'aten::flip'"):
        check("nt_xent_loss", broken)


def test_a_long_exception_is_cut_between_words() -> None:
    def broken(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        raise ValueError("some words " * 100)

    message = told("nt_xent_loss", broken)
    assert re.search(r"some words \.\.\. Your line", message)
    assert len(message) < 500


def test_something_that_is_no_function() -> None:
    assert told("nt_xent_loss", 0.3) == "nt_xent_loss: expected your function, got a float."


def test_an_exception_is_told_with_the_students_line_and_the_input() -> None:
    def broken(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        return z1 @ z2

    message = told("nt_xent_loss", broken)
    assert "RuntimeError: mat1 and mat2 shapes cannot be multiplied" in message
    assert "return z1 @ z2" in message
    assert "Your line" in message
    assert "called on z1 (2, 3) and z2 (2, 3), float32, temperature=0.5" in message


def test_exit_does_not_end_the_check() -> None:
    def leaves(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        sys.exit(3)

    assert "SystemExit: 3" in told("nt_xent_loss", leaves)


def test_an_endless_loop_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "SECONDS_A_CASE", 0.2)

    def endless(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        while True:
            with contextlib.suppress(Exception):
                time.sleep(0.01)

    assert "still running after 0.2 s: is there an endless loop?" in told("nt_xent_loss", endless)


def test_inputs_must_not_be_altered() -> None:
    def in_place(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        z2 /= z2.norm(dim=1, keepdim=True)
        return right(z1, z2, temperature=temperature)

    assert "it changes z2, its input" in told("nt_xent_naive", in_place)


class Agreeable:
    """Equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


class OtherTensor(Tensor):
    """A tensor that could redefine what comparison means."""


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda loss: None, "you return None: is a `return` missing?"),
        (lambda loss: loss.item(), "you return a Python float: gradients end there"),
        (lambda loss: loss.detach().cpu().numpy(), "you return a NumPy array"),
        (lambda loss: np.float64(loss.item()), "you return a NumPy number (float64): gradients end there"),
        (lambda loss: (loss, loss), "you return several values (a tuple)"),
        (lambda loss: [loss], "you return a list"),
        (lambda loss: Agreeable(), "you return a Agreeable: expected a torch.Tensor"),
        (lambda loss: loss.as_subclass(OtherTensor), "you return a OtherTensor: expected a torch.Tensor"),
    ],
)
def test_wrong_types(change: Callable[[Tensor], object], sentence: str) -> None:
    assert sentence in told("nt_xent_loss", after(change))


@pytest.mark.parametrize(
    "change",
    [
        lambda loss: loss.item(),
        lambda loss: loss.detach().numpy(),
        lambda loss: np.float64(loss.item()),
        lambda loss: loss[None],
    ],
)
def test_a_right_number_in_the_wrong_wrapping_earns_half(change: Callable[[Tensor], object]) -> None:
    assert verdict("nt_xent_loss", after(change)).credit == HALF
    assert verdict("nt_xent_loss", after(lambda loss: change(loss + 1))).credit == 0


def test_a_parameter_is_a_tensor() -> None:
    def step(
        view1: Tensor, view2: Tensor, encoder: Tensor, projector: Tensor, *, lr: float, temperature: float
    ) -> Tensor:
        """As with a layer and an optimiser."""
        layer = nn.Linear(encoder.shape[1], encoder.shape[0], bias=False, dtype=encoder.dtype)
        layer.weight = nn.Parameter(encoder.clone())
        z1, z2 = (F.relu(layer(view)) @ projector.T for view in (view1, view2))
        right(z1, z2, temperature=temperature).backward()
        torch.optim.SGD(layer.parameters(), lr=lr).step()
        return layer.weight

    check("simclr_step", step)


def test_items_without_gradient_get_plain_tensors() -> None:
    """A student may ask for gradients of an input, or build a graph twice over it."""

    def step(
        view1: Tensor, view2: Tensor, encoder: Tensor, projector: Tensor, *, lr: float, temperature: float
    ) -> Tensor:
        assert not any(x.requires_grad for x in (view1, view2, encoder, projector))
        encoder.requires_grad_()
        z1, z2 = (F.relu(view @ encoder.T) @ projector.T for view in (view1, view2))
        right(z1, z2, temperature=temperature).backward()
        assert encoder.grad is not None
        return encoder - lr * encoder.grad

    check("simclr_step", step)


def test_differentiable_items_get_inputs_with_a_graph() -> None:
    def seen(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        assert z1.requires_grad
        assert z2.requires_grad
        return right(z1, z2, temperature=temperature)

    check("nt_xent_loss", seen)


def test_digits_that_only_float64_shows_are_told_as_such() -> None:
    def with_eps(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        probability = (-F.cross_entropy(*logits_and_partners(z1, z2, temperature), reduction="none")).exp()
        return -(probability + 3e-7).log().mean()

    found = verdict("nt_xent_naive", with_eps)
    assert found.sentences[0] == "right to 4 digits on every input, but not to the precision of float64."
    assert "Is a small number (1e-8, eps) added" in found.sentences[1]
    assert found.credit == HALF


def test_a_crash_on_a_special_input_costs_what_a_wrong_value_there_costs() -> None:
    """And it is told with the question of that input, and what the others came to."""

    def slices(queue: Tensor, keys: Tensor, *, start: int) -> Tensor:
        queue, keys = queue.detach().clone(), F.normalize(keys.detach(), dim=1)
        queue[start : start + len(keys)] = keys
        return queue

    found = verdict("enqueue", slices)
    assert (found.rung, found.credit) == ("runs", QUARTER)
    assert "It was called on keys that reach past the end" in " ".join(found.sentences)
    assert "Ordinary inputs are right." in " ".join(found.sentences)

    def stacks(embeddings: Tensor, labels: Tensor, *, margin: float) -> Tensor:
        if not (labels[:, None] == labels).triu(1).any() or labels.unique().numel() == 1:
            return torch.stack([])
        return semi_hard_triplet_loss(embeddings, labels, margin=margin)

    found = verdict("semi_hard_triplet_loss", stacks)
    assert found.credit == QUARTER
    assert "stack expects a non-empty" in found.sentences[0]
    told = " ".join(found.sentences)
    assert "It was called on a batch in which every label is different" in told
    assert "Where no triplet exists the mean is over nothing: return a 0 instead." in told


def test_ordinary_inputs_are_reported_before_corner_cases() -> None:
    """Wrong everywhere, and infinite for a batch of one: the batch of one explains nothing."""

    def neighbours(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        logits, _ = logits_and_partners(z1, z2, temperature)
        rows = torch.arange(len(logits))
        return F.cross_entropy(logits, (rows + len(z1) - 1) % len(rows))

    found = verdict("nt_xent_naive", neighbours)
    assert found.rung == "value"
    assert "a batch of one image" not in " ".join(found.sentences)
    assert found.sentences[0] == "wrong value on 12 of 14 inputs."


def test_what_is_compiled_runs_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes longer than a case may."""
    compiled = torch.compile(right, backend=lambda module, inputs: pytest.fail("it was compiled"))
    check("nt_xent_naive", compiled)


def test_wrong_shape() -> None:
    message = told(
        "nt_xent_loss",
        lambda z1, z2, *, temperature: F.cross_entropy(
            *logits_and_partners(z1, z2, temperature), reduction="none"
        ),
    )
    assert "wrong shape: got (4,), expected (), a scalar: one number for the whole batch" in message
    assert "got (1,), expected ()" in told("nt_xent_loss", after(lambda loss: loss[None]))


def test_wrong_precision() -> None:
    assert "you return int64 for float32 inputs" in told("nt_xent_loss", after(lambda loss: loss.long()))
    assert "you return float32 for float64 inputs, expected float64" in told(
        "nt_xent_loss", after(lambda loss: loss.float())
    )

    def in_half(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        return right(z1, z2, temperature=temperature).to(z1.dtype)

    assert "you return float16 for float16 inputs, expected float32" in told("nt_xent_loss", in_half)


def test_float32_is_precise_enough_for_an_accuracy() -> None:
    check(
        "info_nce_accuracy",
        lambda query, positive, negatives: (
            ((query * positive).sum(1) > torch.einsum("nd,nkd->nk", query, negatives).amax(1)).float().mean()
        ),
    )


def test_not_finite_asks_the_question_of_that_input() -> None:
    def overflows(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        logits, partners = logits_and_partners(z1, z2, temperature)
        weights = logits.exp()
        return -(weights[range(len(weights)), partners] / weights.sum(1)).log().mean()

    message = told("nt_xent_loss", overflows)
    assert "not finite: you return nan for temperature 0.01" in message
    assert "logsumexp or cross_entropy" in message
    check("nt_xent_vectorised", overflows)


def test_an_unknown_wrong_value_shows_numbers_but_names_nothing() -> None:
    message = told("nt_xent_loss", after(lambda loss: 1.01 * loss))
    assert "wrong value on" in message
    assert "expected" in message
    assert "exactly what you get" not in message


def test_a_chance_agreement_on_one_input_is_not_named() -> None:
    """Wrong for a single input only, where many mistakes give the same infinity."""

    def shifted_too_far(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        logits, partners = logits_and_partners(z1, z2, temperature)
        weights = (logits - logits.max()).exp()
        return -(weights[range(len(weights)), partners] / weights.sum(1)).log().mean()

    message = told("nt_xent_loss", shifted_too_far)
    assert "not finite" in message
    assert "exactly what you get" not in message


def test_wrong_for_one_kind_of_input_only() -> None:
    def ignores_small(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        return right(z1, z2, temperature=max(temperature, 0.02))

    assert "for half precision" not in told("nt_xent_loss", ignores_small)

    def clamps(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
        gap = torch.einsum("nd,nkd->nk", anchor, negatives) - (anchor * positive).sum(1, keepdim=True)
        return torch.log(1 + gap.clamp(max=50).exp().sum(1)).mean()

    message = told("n_pair_loss", clamps)
    assert "wrong value for long vectors; the other inputs are right." in message
    assert "use logsumexp, softplus or cross_entropy" in message


def test_a_loop_is_no_vectorised_answer() -> None:
    def loops(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        logits, partners = logits_and_partners(z1, z2, temperature)
        return torch.stack(
            [row.logsumexp(0) - row[p] for row, p in zip(logits, partners, strict=True)]
        ).mean()

    check("nt_xent_naive", loops)
    for name in ("nt_xent_vectorised", "nt_xent_loss"):
        assert "right values, but there is still a loop over the batch" in told(name, loops)


def test_right_values_without_gradient() -> None:
    message = told("nt_xent_loss", after(lambda loss: loss.detach()))
    assert "right values, but no gradient" in message


def test_right_values_with_a_wrong_gradient() -> None:
    def half_detached(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        return right(z1, z2.detach(), temperature=temperature)

    message = told("nt_xent_loss", half_detached)
    assert "right values, but a wrong gradient" in message
    assert "Your gradient is exactly what you get when the second view is detached." in message

    unknown = told("nt_xent_loss", after(lambda loss: loss.detach() + 2 * (loss - loss.detach())))
    assert "right values, but a wrong gradient" in unknown
    assert "exactly" not in unknown


def test_right_values_with_a_gradient_that_is_not_finite() -> None:
    def square_root(embeddings: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
        logits = -(embeddings[:, None] - embeddings).square().sum(2).sqrt() / temperature
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positive = (labels[:, None] == labels) & ~itself
        kept = positive.any(1)
        if not kept.any():
            return 0 * embeddings.sum()
        below = logits.masked_fill(itself, -torch.inf)[kept].logsumexp(1)
        return (below - logits.masked_fill(~positive, -torch.inf)[kept].logsumexp(1)).mean()

    message = told("soft_nearest_neighbor_loss", square_root)
    assert "right values, but the gradient is not finite" in message
    assert "The slope of a square root is infinite at 0" in message


def test_a_backward_that_fails_is_told() -> None:
    class NoWayBack(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, loss: Tensor) -> Tensor:
            return loss.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            raise RuntimeError("no way back")

    message = told("nt_xent_loss", after(NoWayBack.apply))
    assert "right values, but there is no gradient: RuntimeError: no way back" in message


def test_stderr_and_warnings_cost_no_points(capsys: pytest.CaptureFixture[str]) -> None:
    def noisy(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        print("for debugging", file=sys.stderr)
        warnings.warn("a deprecated habit", stacklevel=1)
        return right(z1, z2, temperature=temperature)

    check("nt_xent_loss", noisy)
    out, err = capsys.readouterr()
    assert err == ""
    assert "for debugging" in out
    assert "deprecated" not in out


def test_the_notebooks_random_numbers_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check("nt_xent_loss", right)
    assert torch.equal(torch.rand(3), expected)


def test_verdicts_repeat() -> None:
    def random(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        return right(z1, z2, temperature=temperature) + torch.rand((), device=z1.device)

    assert told("nt_xent_naive", random) == told("nt_xent_naive", random)


def test_another_seed_has_other_inputs() -> None:
    seen: list[Tensor] = []

    def remembers(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        seen.append(z1.detach().clone())
        return right(z1, z2, temperature=temperature)

    check("nt_xent_naive", remembers)
    public = [z.tolist() for z in seen if len(z) > 1 and z.std() > 0]
    seen.clear()
    check("nt_xent_naive", remembers, seed=12345)
    assert not any(z.tolist() in public for z in seen)


def test_numbers_learnt_by_heart_fail_on_another_seed() -> None:
    table: dict[str, Tensor] = {}

    def learns(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        table[repr(z1)] = loss = right(z1, z2, temperature=temperature)
        return loss

    def recites(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        return table.get(repr(z1), 0 * (z1.sum() + z2.sum()))

    check("nt_xent_naive", learns)
    with pytest.raises(CheckFailed, match="wrong value"):
        check("nt_xent_naive", recites, seed=1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_used_where_there_is_one() -> None:
    assert "cpu and cuda" in repr(check("nt_xent_loss", right))
    assert "you return a tensor on cpu for inputs on cuda" in told(
        "nt_xent_loss", after(lambda loss: loss.cpu())
    )
