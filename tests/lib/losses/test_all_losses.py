"""What every loss must do: precision, gradients, invariances, hard inputs, clear words."""

import inspect

import pytest
import torch

import course_lib.losses as L

LABELS = torch.tensor([0, 1, 0, 1, 2, 0])
SAME = torch.tensor([True, False, True, True, False, False])

# name -> (the loss as a function of embeddings (6, D) each, how many of them)
LOSSES = {
    "contrastive": (lambda a, b: L.contrastive_loss(a, b, SAME[: len(a)], margin=1.5), 2),
    "triplet": (lambda a, b, c: L.triplet_loss(a, b, c, margin=0.7), 3),
    "semi-hard triplet": (lambda a: L.semi_hard_triplet_loss(a, LABELS[: len(a)], margin=7.0), 1),
    "lifted": (lambda a: L.lifted_structured_loss(a, LABELS[: len(a)], margin=1.0), 1),
    "n-pair": (lambda a, b, c: L.n_pair_loss(a, b, c), 3),
    "nce": (lambda a, b: L.nce_loss(a[:, 0], b[:, 0]), 2),
    "info-nce": (lambda a, b, c: L.info_nce_loss(a, b, c, temperature=0.2), 3),
    "soft-nn": (lambda a: L.soft_nearest_neighbor_loss(a, LABELS[: len(a)], temperature=0.5), 1),
    "soft-nn squared": (
        lambda a: L.soft_nearest_neighbor_loss(a, LABELS[: len(a)], temperature=0.5, squared=True),
        1,
    ),
    "nt-xent": (lambda a, b: L.nt_xent_loss(a, b, temperature=0.2), 2),
    "nt-xent tiled": (lambda a, b: L.nt_xent_loss(a, b, temperature=0.2, tile=4), 2),
    "debiased": (lambda a, b: L.debiased_nt_xent_loss(a, b, temperature=0.2, tau_plus=0.1), 2),
    "hard": (lambda a, b: L.hard_negative_nt_xent_loss(a, b, temperature=0.2, tau_plus=0.1, beta=1.0), 2),
    "alignment": (L.alignment, 2),
    "uniformity": (L.uniformity, 1),
}
DIFFERENCES = ["contrastive", "triplet", "semi-hard triplet", "lifted", "soft-nn", "soft-nn squared"]
NORMALISED = ["nt-xent", "nt-xent tiled", "debiased", "hard", "alignment", "uniformity"]

every_loss = pytest.mark.parametrize("name", LOSSES)


def embeddings(name, n=6, d=4, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(n, d, generator=generator, dtype=torch.float64).to(dtype) for _ in range(LOSSES[name][1])
    ]


@every_loss
def test_gradcheck(name):
    inputs = [x.requires_grad_() for x in embeddings(name)]
    assert torch.autograd.gradcheck(LOSSES[name][0], inputs)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_float32_inside_and_out(name, dtype):
    loss = LOSSES[name][0]
    inputs = [(10 * x).requires_grad_() for x in embeddings(name, dtype=dtype)]
    value = loss(*inputs)
    value.backward()
    assert value.dtype == torch.float32
    assert value.shape == ()
    torch.testing.assert_close(
        value.double(), loss(*(x.detach().double() for x in inputs)), rtol=1e-5, atol=1e-5
    )
    assert all(x.grad.dtype == dtype and x.grad.isfinite().all() for x in inputs)


@every_loss
def test_float64_stays(name):
    assert LOSSES[name][0](*embeddings(name)).dtype == torch.float64


@every_loss
def test_autocast_changes_nothing(name):
    inputs = embeddings(name, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = LOSSES[name][0](*inputs)
    assert torch.equal(inside, LOSSES[name][0](*inputs))


@every_loss
def test_duplicates_have_a_finite_value_and_gradient(name):
    inputs = [torch.ones(6, 4, requires_grad=True) for _ in range(LOSSES[name][1])]
    value = LOSSES[name][0](*inputs)
    value.backward()
    assert value.isfinite()
    assert all(x.grad.isfinite().all() for x in inputs)


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "uniformity"])
def test_batch_of_one(name):
    inputs = [x.requires_grad_() for x in embeddings(name, n=1)]
    value = LOSSES[name][0](*inputs)
    value.backward()
    assert value.isfinite()
    assert all(x.grad.isfinite().all() for x in inputs)


@pytest.mark.parametrize("loss", [L.nt_xent_loss, L.debiased_nt_xent_loss, L.hard_negative_nt_xent_loss])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_temperature_of_a_hundredth(loss, dtype):
    generator = torch.Generator().manual_seed(0)
    z1 = torch.randn(16, 8, generator=generator).to(dtype)
    for z2 in (z1, -z1, z1.roll(1, 0), torch.randn(16, 8, generator=generator).to(dtype)):
        a, b = z1.clone().requires_grad_(), z2.clone().requires_grad_()
        value = loss(a, b, temperature=0.01)
        value.backward()
        expected = loss(z1.double(), z2.double(), temperature=0.01)
        torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-4)
        assert a.grad.isfinite().all()
        assert b.grad.isfinite().all()


@pytest.mark.parametrize("scale", [1e-3, 1e3])
@pytest.mark.parametrize("name", LOSSES)
def test_huge_and_tiny_embeddings(name, scale):
    inputs = [(scale * x).requires_grad_() for x in embeddings(name, dtype=torch.float32)]
    value = LOSSES[name][0](*inputs)
    value.backward()
    assert value.isfinite()
    assert all(x.grad.isfinite().all() for x in inputs)


@pytest.mark.parametrize("name", [n for n in LOSSES if n not in ("nce", "contrastive")])
def test_a_rotation_of_the_embedding_changes_nothing(name):
    inputs = embeddings(name)
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    torch.testing.assert_close(LOSSES[name][0](*(x @ rotation for x in inputs)), LOSSES[name][0](*inputs))


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_shift_of_the_embedding_changes_nothing(name):
    inputs = embeddings(name)
    torch.testing.assert_close(LOSSES[name][0](*(x + 3.0 for x in inputs)), LOSSES[name][0](*inputs))


@pytest.mark.parametrize("name", NORMALISED)
def test_the_length_of_normalised_embeddings_does_not_matter(name):
    inputs = embeddings(name)
    lengths = torch.rand(6, 1, dtype=torch.float64) + 0.1
    torch.testing.assert_close(LOSSES[name][0](*(lengths * x for x in inputs)), LOSSES[name][0](*inputs))


@pytest.mark.parametrize("name", [n for n in LOSSES if n not in NORMALISED])
def test_nothing_else_is_normalised(name):
    inputs = embeddings(name)
    assert not torch.allclose(LOSSES[name][0](*(3 * x for x in inputs)), LOSSES[name][0](*inputs))


@pytest.mark.parametrize("name", ["nt-xent", "nt-xent tiled", "debiased", "hard", "alignment", "contrastive"])
def test_symmetric_in_the_views(name):
    a, b = embeddings(name)
    torch.testing.assert_close(LOSSES[name][0](a, b), LOSSES[name][0](b, a))


@pytest.mark.parametrize(
    "loss", [L.semi_hard_triplet_loss, L.lifted_structured_loss, L.soft_nearest_neighbor_loss]
)
def test_the_order_of_the_batch_and_the_names_of_the_classes_do_not_matter(loss):
    (x,), order = embeddings("lifted"), torch.tensor([3, 1, 5, 0, 4, 2])
    torch.testing.assert_close(loss(x[order], LABELS[order]), loss(x, LABELS))
    torch.testing.assert_close(loss(x, 7 - 2 * LABELS), loss(x, LABELS))


# --- clear words ---------------------------------------------------------------------------------------

TWO_VIEWS = [L.nt_xent_loss, L.debiased_nt_xent_loss, L.hard_negative_nt_xent_loss, L.alignment]


@pytest.mark.parametrize("loss", TWO_VIEWS)
@pytest.mark.parametrize(
    ("shape1", "shape2"),
    [((4, 3), (1, 3)), ((4, 3), (4, 2)), ((0, 3), (0, 3)), ((4,), (4,)), ((2, 4, 3), (2, 4, 3))],
)
def test_bad_shapes_of_two_views(loss, shape1, shape2):
    with pytest.raises(ValueError, match="shape"):
        loss(torch.zeros(shape1), torch.zeros(shape2))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: L.contrastive_loss(x, x, SAME[:2]),
        lambda x: L.contrastive_loss(x, x[:1], SAME),
        lambda x: L.triplet_loss(x, x, x[:1]),
        lambda x: L.semi_hard_negatives(x, LABELS[:2]),
        lambda x: L.semi_hard_triplet_loss(x, LABELS[:2]),
        lambda x: L.lifted_structured_loss(x, LABELS[:, None]),
        lambda x: L.soft_nearest_neighbor_loss(x, [0, 1, 0, 1, 2, 0]),
        lambda x: L.n_pair_loss(x, x, x[:, :2]),
        lambda x: L.n_pair_loss(x, x, torch.ones(5, 2, 4)),
        lambda x: L.info_nce_loss(x, x[:1], x),
        lambda x: L.info_nce_accuracy(x, x, x[:0]),
        lambda x: L.nce_loss(x, x[:, 0]),
        lambda x: L.nce_loss(x[:0, 0], x[:, 0]),
        lambda x: L.uniformity(x[0]),
    ],
)
def test_bad_shapes(call):
    with pytest.raises(ValueError, match=r"shape|at least one"):
        call(torch.ones(6, 4))


@pytest.mark.parametrize("call", [*TWO_VIEWS, L.nce_loss, lambda a, b: L.contrastive_loss(a, b, SAME)])
def test_integers_are_refused(call):
    with pytest.raises(TypeError, match="floating-point"):
        call(torch.ones(6, 4, dtype=torch.int64), torch.ones(6, 4, dtype=torch.int64))


@pytest.mark.parametrize("name", sorted(L.__all__))
def test_hyper_parameters_are_keyword_only_and_must_be_positive(name):
    function = getattr(L, name)
    x = torch.ones(6, 4)
    tensors = {
        "labels": LABELS, "same": SAME, "loss": torch.tensor(1.0), "num_candidates": 4,
        "data_logits": x[:, 0], "noise_logits": x[:, 0],
    }  # fmt: skip
    parameters = inspect.signature(function).parameters.values()
    positional = [tensors.get(p.name, x) for p in parameters if p.kind is not p.KEYWORD_ONLY]
    for p in parameters:
        if p.name in ("temperature", "margin", "alpha", "t") and isinstance(p.default, float):
            assert p.kind is p.KEYWORD_ONLY
            for bad in (0.0, -1.0, float("nan")):
                with pytest.raises(ValueError, match=p.name):
                    function(*positional, **{p.name: bad})
