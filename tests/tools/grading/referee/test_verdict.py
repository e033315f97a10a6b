"""The referee's verdict on hand-ins, honest and made up, without a kernel."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check.client import _answers, _header
from course_lib.check.examine import PUBLIC_SEED, run
from course_lib.check.ladder import HALF, QUARTER, Verdict, judge
from course_lib.check.training import networks, observe
from course_lib.check.trial import same, same_gradient
from course_lib.exercises import Answer, Case, Exercise, TrainingExercise, get
from course_lib.exercises.week1 import EXERCISES
from course_tools.grading.referee.questions import as_number, on_devices, question
from course_tools.grading.referee.verdict import HandIn, verdict_on

SECRET = "20260"
FUNCTIONS = [exercise for exercise in EXERCISES if isinstance(exercise, Exercise)]
LOSS = get("n_pair_loss")


def honest(name: str, function: Callable[..., object]) -> HandIn:
    """What the client would hand in, through JSON as on its way."""
    asked = question(name, SECRET, "cpu")
    header, tensors = _answers(asked.header, asked.tensors, function)
    return HandIn(json.loads(json.dumps(header)), tensors)


def verdict(name: str, given: HandIn) -> Verdict:
    return verdict_on(get(name), question(name, SECRET, "cpu"), given, SECRET)


def test_the_question_has_the_public_inputs_and_more_that_are_secret() -> None:
    exercise = get("n_pair_loss")
    assert isinstance(exercise, Exercise)
    asked = question("n_pair_loss", SECRET, "cpu")
    public, secret = exercise.cases(PUBLIC_SEED, 1), exercise.cases(as_number(SECRET), 3)
    assert asked.public == len(public)
    for case, expected in zip(asked.cases, public + secret, strict=True):
        for name, tensor in expected.tensors.items():
            assert torch.equal(case.tensors[name], tensor)
    other = question("n_pair_loss", "any words", "cpu")
    assert as_number("any words") != as_number("other words")
    assert not torch.equal(asked.tensors[f"{asked.public}.anchor"], other.tensors[f"{asked.public}.anchor"])


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda exercise: exercise.name)
def test_the_reference_handed_in_earns_everything(exercise: Exercise) -> None:
    found = verdict(exercise.name, honest(exercise.name, exercise.reference))
    assert found.passed, found.sentences
    assert found.credit == 1


def changed(given: HandIn, change: Callable[[dict[str, Tensor]], Mapping[str, Tensor]]) -> HandIn:
    return replace(given, tensors=change(dict(given.tensors)))


def reference(*tensors: Tensor) -> Tensor:
    assert isinstance(LOSS, Exercise)
    return LOSS.reference(*tensors)


RIGHT = honest("n_pair_loss", reference)
COUNT = len(RIGHT.header["answers"])
BROKEN = {
    "nothing": HandIn({}, {}),
    "a score": HandIn({"score": 8, "verdict": "passed", "credit": 1.0, "rung": ""}, {}),
    "no list": HandIn({"answers": {"0": 1}}, {}),
    "an empty list": HandIn({"answers": []}, {}),
    "too few": HandIn({"answers": RIGHT.header["answers"][:-1]}, RIGHT.tensors),
    "too many": HandIn({"answers": RIGHT.header["answers"] * 2}, RIGHT.tensors),
    "no tensors": HandIn(RIGHT.header, {}),
    "answers that are none": HandIn({"answers": [None] * COUNT}, RIGHT.tensors),
    "fields of all wrong types": HandIn(
        {"answers": [{key: [[]] for key in Answer.__dataclass_fields__}] * COUNT}, RIGHT.tensors
    ),
    "right, and then an error for all that would be wrong": HandIn(
        {"answers": [*RIGHT.header["answers"][:1], {"error": "x"}]}, {"0": RIGHT.tensors["0"]}
    ),
    "an error beside a right value": HandIn(
        {"answers": [{**RIGHT.header["answers"][0], "error": "x"}]}, RIGHT.tensors
    ),
    "a function that is a list": HandIn({"no_function": ["n_pair_loss"]}, {}),
    "no gradients": changed(RIGHT, lambda t: {k: v for k, v in t.items() if "." not in k}),
    "gradients of a wrong shape": changed(RIGHT, lambda t: {k: v.reshape(-1) for k, v in t.items()}),
    "gradients of all zeros": changed(RIGHT, lambda t: {k: v * ("." not in k) for k, v in t.items()}),
    "NaN": changed(RIGHT, lambda t: {k: v * torch.nan for k, v in t.items()}),
    "infinity": changed(RIGHT, lambda t: {k: v / 0 for k, v in t.items()}),
    "float8": changed(RIGHT, lambda t: {k: v.to(torch.float8_e5m2) for k, v in t.items()}),
    "complex numbers": changed(RIGHT, lambda t: {k: v.to(torch.complex64) for k, v in t.items()}),
    "integers": changed(RIGHT, lambda t: {k: v.long() for k, v in t.items()}),
    "truth": changed(RIGHT, lambda t: {k: v.bool() for k, v in t.items()}),
    "a shape that broadcasts": changed(RIGHT, lambda t: {k: v[None] for k, v in t.items()}),
    "a huge shape of nothing": changed(RIGHT, lambda t: {k: torch.zeros(0, 2**40) for k in t}),
    "all zero": changed(RIGHT, lambda t: {k: torch.zeros_like(v) for k, v in t.items()}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_right_answer_earns_nothing_and_gets_a_sentence(name: str) -> None:
    found = verdict("n_pair_loss", BROKEN[name])
    assert not found.passed
    assert found.credit == (HALF if name == "gradients of all zeros" else 0)
    assert all(len(sentence) < 700 and sentence.isprintable() for sentence in found.sentences)
    assert found.sentences[0][-1] in ".?:"


def test_an_error_that_stands_for_an_answer_is_no_way_round_items_without_gradients() -> None:
    given = honest("info_nce_accuracy", get("info_nce_accuracy").reference)
    for kept in (0, 1, 3):
        listed = [*given.header["answers"][:kept], {"error": "no more"}]
        assert verdict("info_nce_accuracy", HandIn({"answers": listed}, given.tensors)).credit == 0


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda exercise: exercise.name)
def test_mistakes_earn_at_most_half_and_nothing_when_ordinary_inputs_go_wrong(exercise: Exercise) -> None:
    cases = exercise.cases(PUBLIC_SEED, 1)
    for misconception in exercise.misconceptions:
        answers = run(misconception.function, cases)
        found = judge(exercise, cases, answers)
        assert found.misconception == misconception.when
        targets = run(exercise.reference, cases)
        right = [
            got.value is not None
            and got.value.shape == expected.value.shape
            and same(got.value, expected.value, torch.float32 if case.dtype == torch.float64 else case.dtype)
            for case, got, expected in zip(cases, answers, targets, strict=True)
            if expected.value is not None
        ]
        ordinary = [
            ok
            for ok, case in zip(right, cases, strict=True)
            if not case.about and case.dtype in (torch.float32, torch.float64)
        ]
        expected = HALF if all(right) else QUARTER if all(ordinary) else 0
        assert found.credit == expected, misconception.when


TRIVIAL = {
    "zero": lambda first, *rest, **options: 0 * first.double().sum(),
    "a constant": lambda first, *rest, **options: 0 * first.double().sum() + 1,
    "the mean of the input": lambda first, *rest, **options: first.double().mean(),
}


@pytest.mark.parametrize("kind", TRIVIAL)
@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda exercise: exercise.name)
def test_trivial_functions_earn_nothing(exercise: Exercise, kind: str) -> None:
    assert verdict(exercise.name, honest(exercise.name, TRIVIAL[kind])).credit == 0


def test_expected_values_are_told_of_public_inputs_only() -> None:
    asked = question("n_pair_loss", SECRET, "cpu")
    public = [case.tensors["anchor"] for case in asked.cases[: asked.public]]

    def wrong_in_secret(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
        known = any(torch.equal(anchor, each) for each in public if each.dtype == anchor.dtype)
        value = reference(anchor, positive, negatives)
        return value if known else value * anchor.detach().abs().mean() + 3

    def wrong_everywhere(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
        return reference(anchor, positive, negatives) + 3

    told = " ".join(verdict("n_pair_loss", honest("n_pair_loss", wrong_in_secret)).sentences)
    assert "which is too large" in told
    assert "expected" not in told
    told = " ".join(verdict("n_pair_loss", honest("n_pair_loss", wrong_everywhere)).sentences)
    assert "expected" in told


def test_expected_gradients_are_told_of_public_inputs_only() -> None:
    asked = question("n_pair_loss", SECRET, "cpu")
    public = [case.tensors["anchor"] for case in asked.cases[: asked.public]]

    def wrong_in_secret(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
        known = any(torch.equal(anchor, each) for each in public if each.dtype == anchor.dtype)
        value = reference(anchor, positive, negatives)
        return value if known else value.detach() + 2 * (value - value.detach())

    found = verdict("n_pair_loss", honest("n_pair_loss", wrong_in_secret))
    assert found.credit == HALF
    assert "expected" not in " ".join(found.sentences)
    assert "which is too" in " ".join(found.sentences)


# Tolerances on a GPU, tried on the CPU: what TF32 and bfloat16 do to the factors of a matrix product.


def rounded(x: Tensor, bits: int) -> Tensor:
    """x in float32 with so many bits of mantissa left; the gradient passes."""
    step = 2.0 ** (torch.floor(torch.log2(x.detach().abs().clamp_min(1e-30))) - bits)
    return x + ((x.detach() / step).round() * step - x.detach())


def nt_xent_in(bits: int) -> Callable[..., Tensor]:
    def loss(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
        z = F.normalize(torch.cat([z1, z2]).to(torch.promote_types(z1.dtype, torch.float32)), dim=1)
        factor = rounded(z, bits) if z.dtype == torch.float32 else z
        logits = (factor @ factor.T / temperature).fill_diagonal_(-torch.inf)
        return F.cross_entropy(logits, (torch.arange(len(z)) + len(z1)) % len(z))

    return loss


def on_a_gpu(exercise: Exercise, function: Callable[..., object]) -> Verdict:
    """The verdict on answers as if they had come from a GPU."""
    cases = [replace(case, given_on="cuda") for case in exercise.cases(20260, 1)]
    return judge(exercise, cases, [replace(each, device="cuda") for each in run(function, cases)])


def test_tf32_is_right_on_a_gpu() -> None:
    exercise = get("nt_xent_loss")
    assert isinstance(exercise, Exercise)
    assert on_a_gpu(exercise, nt_xent_in(10)).passed
    assert not on_a_gpu(exercise, nt_xent_in(5)).passed


def test_bfloat16_factors_are_right_for_bfloat16_inputs_on_a_gpu() -> None:
    exercise = get("nt_xent_loss")
    assert isinstance(exercise, Exercise)
    cases = [replace(c, given_on="cuda") for c in exercise.cases(20260, 1) if c.dtype == torch.bfloat16]
    answers = [replace(each, device="cuda") for each in run(nt_xent_in(7), cases)]
    assert cases
    assert judge(exercise, cases, answers).passed


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda exercise: exercise.name)
def test_mistakes_are_still_named_where_a_gpu_is_asked_too(exercise: Exercise) -> None:
    cases = on_devices(exercise, 20260, 1, "cuda")
    for misconception in exercise.misconceptions:
        answers = [
            replace(each, device=case.device.type)
            for case, each in zip(cases, run(misconception.function, cases), strict=True)
        ]
        assert judge(exercise, cases, answers).misconception == misconception.when


def test_a_result_that_left_the_gpu_is_told() -> None:
    assert isinstance(LOSS, Exercise)
    cases = [replace(case, given_on="cuda") for case in LOSS.cases(0, 1)]
    found = judge(LOSS, cases, run(LOSS.reference, cases))
    assert found.sentences[0] == "you return a tensor on cpu for inputs on cuda."


def test_with_a_gpu_every_input_is_asked_there_too() -> None:
    assert isinstance(LOSS, Exercise)
    cases = on_devices(LOSS, 0, 1, "cuda")
    assert [case.device.type for case in cases] == ["cpu"] * (len(cases) // 2) + ["cuda"] * (len(cases) // 2)
    assert "cuda" in cases[-1].describe()


def test_tolerances_are_wider_on_a_gpu_for_float32_alone_of_the_full_precisions() -> None:
    one = torch.ones(())
    assert same(one + 1e-3, one, torch.float32, "cuda")
    assert not same(one + 1e-3, one, torch.float32, "cpu")
    assert not same(one + 1e-3, one, torch.float64, "cuda")
    assert same_gradient(one + 1e-2, one, torch.float32, "cuda")
    assert not same_gradient(one + 1e-2, one, torch.float32, "cpu")


@pytest.mark.gpu
def test_a_function_answers_on_the_gpu() -> None:
    asked = question("nt_xent_loss", SECRET, "cuda")
    header, tensors = _answers(asked.header, asked.tensors, get("nt_xent_loss").reference)
    found = verdict_on(get("nt_xent_loss"), asked, HandIn(header, tensors), SECRET)
    assert found.passed, found.sentences
    assert "cpu and cuda" in found.sentences[0]


# Training: the referee measures the network, whatever is said about it.


@pytest.fixture(scope="module")
def short() -> TrainingExercise:
    found = get("train_encoder")
    assert isinstance(found, TrainingExercise)
    return replace(found, count=256, batch_size=64, epochs=2, margin=0.05)


@pytest.fixture(scope="module")
def trained(short: TrainingExercise) -> HandIn:
    trace, network = observe(short, short.reference, PUBLIC_SEED)
    assert network is not None
    return HandIn({"notes": vars(trace.notes), "error": trace.error}, network.state_dict())


def of_training(short: TrainingExercise, given: HandIn) -> Verdict:
    return verdict_on(short, question("train_encoder", SECRET, "cpu"), given, SECRET)


def test_accuracy_is_measured_by_the_referee(short: TrainingExercise, trained: HandIn) -> None:
    lies = {**trained.header["notes"], "score": 0.99, "accuracy": 0.99, "baseline": 0.0}
    weights = {key: torch.randn_like(t) if t.is_floating_point() else t for key, t in trained.tensors.items()}
    found = of_training(replace(short, margin=0.3), HandIn({"notes": lies, "score": 0.99}, weights))
    assert found.rung == "score"
    assert "0.99" not in " ".join(found.sentences)
    assert found.credit == 0


def test_a_trained_network_passes_and_may_be_wrapped(short: TrainingExercise, trained: HandIn) -> None:
    easy = replace(short, margin=-1.0)
    assert of_training(easy, trained).passed
    wrapped = {f"0.{key}": tensor for key, tensor in trained.tensors.items()}
    assert of_training(easy, HandIn(trained.header, wrapped)).passed


@pytest.mark.parametrize("margin", [-1.0, 0.9])
def test_a_mistake_costs_its_share_whatever_the_features_came_to(
    margin: float, short: TrainingExercise, trained: HandIn
) -> None:
    for notes, name, credit in (
        ({"accumulated": 1.0}, "zero_grad is missing", HALF),
        ({"climbing": 1.0}, "the sign of the loss is wrong", 0),
    ):
        given = HandIn({"notes": {**trained.header["notes"], **notes}}, trained.tensors)
        found = of_training(replace(short, margin=margin), given)
        assert (found.misconception, found.credit) == (name, credit)


def forged(trained: HandIn, **tensors: Tensor) -> HandIn:
    return HandIn(trained.header, {**trained.tensors, **tensors})


def test_made_up_networks_and_notes_earn_nothing(short: TrainingExercise, trained: HandIn) -> None:
    start = networks(short, PUBLIC_SEED)[0]
    first = next(iter(trained.tensors))
    notes: dict[str, Any] = trained.header["notes"]
    made_up = {
        "no notes": HandIn({}, trained.tensors),
        "notes that are a list": HandIn({"notes": list(notes)}, trained.tensors),
        "nonsense in all notes": HandIn({"notes": {key: {"a": 1} for key in notes}}, {}),
        "notes alone": HandIn(trained.header, {}),
        "the untrained network": HandIn(trained.header, start.state_dict()),
        "another network": HandIn(trained.header, nn.Linear(3, 3).state_dict()),
        "weights that are not finite": forged(trained, **{first: torch.full((8, 3, 3, 3), torch.nan)}),
        "weights of another shape": forged(trained, **{first: torch.zeros(8, 3, 5, 5)}),
        "weights in float8": forged(trained, **{first: trained.tensors[first].to(torch.float8_e5m2)}),
        "weights missing": HandIn(trained.header, {first: trained.tensors[first]}),
        "enormous weights": forged(trained, **{first: torch.full((8, 3, 3, 3), 3e38)}),
    }
    for name, given in made_up.items():
        found = of_training(short, given)
        assert found.credit == 0, (name, found)
        assert found.sentences[0], name


def test_the_world_that_measures_is_not_the_one_that_trains() -> None:
    header = question("train_encoder", SECRET, "cpu").header
    assert header["seed"] == PUBLIC_SEED
    assert SECRET not in json.dumps(header)
    assert question("train_encoder", "1", "cpu").header == header


def test_a_case_says_where_it_is_given() -> None:
    case = Case({"z": torch.zeros(2, 3)}, given_on="cuda")
    assert case.describe() == "z (2, 3), float32, cuda"
    assert _header(Answer(calls=3))["calls"] == 3
