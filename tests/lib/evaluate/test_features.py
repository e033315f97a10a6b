"""The right network, in evaluation mode, once."""

import gc

import pytest
import torch
from torch import Tensor, nn

from course_lib.evaluate import encoder_of, features, raw_pixels
from course_lib.evaluate.features import _cache, fingerprint
from course_lib.methods import SimCLR
from course_lib.models import SmallConvNet


class Counter(nn.Module):
    """Counts the images that pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 3)
        self.seen = 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return self.layer(images.flatten(1))


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (10, 3, 2, 2), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_computed_once_and_again_after_any_change(images: Tensor) -> None:
    net = Counter()
    first = features(net, images, batch_size=4)
    assert torch.equal(features(net, images), first)
    assert net.seen == 10
    other = images.clone()
    other[3, 0, 0, 0] += 1
    features(net, other)
    assert net.seen == 20  # one pixel
    features(net, images)
    assert net.seen == 20  # both sets are remembered
    with torch.no_grad():
        net.layer.weight[0, 0] += 1e-6
    changed = features(net, images)
    assert net.seen == 30  # one weight
    assert not torch.equal(changed, first)
    features(net, images, cache=False)
    assert net.seen == 40


def test_a_change_in_what_is_returned_does_not_reach_the_cache(images: Tensor) -> None:
    net = Counter()
    first = features(net, images)
    features(net, images).zero_()
    assert torch.equal(features(net, images), first)


def test_networks_with_equal_weights_are_not_confused(images: Tensor) -> None:
    class Doubled(Counter):
        def forward(self, images: Tensor) -> Tensor:
            return 2 * super().forward(images)

    net, twin = Counter(), Doubled()
    twin.load_state_dict(net.state_dict())
    torch.testing.assert_close(features(twin, images), 2 * features(net, images))


def test_the_cache_lets_networks_go(images: Tensor) -> None:
    net = Counter()
    features(net, images)
    assert net in _cache
    before = len(_cache)
    del net
    gc.collect()
    assert len(_cache) < before


def test_batch_norm_statistics_belong_to_the_weights(images: Tensor) -> None:
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12))
    first = features(net, images)
    net(torch.randn(20, 12))  # training mode: moves the running statistics only
    assert not torch.equal(features(net, images), first)


def test_frozen_batch_norm_stays_frozen(images: Tensor) -> None:
    """A backbone in training mode with one layer set to evaluation mode keeps exactly that."""
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Dropout())
    net.train()
    net[1].eval()
    features(net, images)
    assert [module.training for module in net] == [True, False, True]


def test_a_method_is_evaluated_by_its_backbone(images: Tensor) -> None:
    method = SimCLR(SmallConvNet(4))
    assert encoder_of(method) is method.backbone
    assert torch.equal(
        features(method, images.repeat(1, 1, 4, 4)), features(method.backbone, images.repeat(1, 1, 4, 4))
    )


class Pair(nn.Module):
    """A momentum method that does not say which network to evaluate."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder_q, self.encoder_k = Counter(), Counter()

    def forward(self, images: Tensor) -> Tensor:
        return self.encoder_k(images)


class Named(Pair):
    @property
    def backbone(self) -> nn.Module:
        return self.encoder_q


def test_never_the_momentum_network_by_accident(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"Pair has encoder_q, encoder_k but no `\.backbone`"):
        features(Pair(), images)
    method = Named()
    assert torch.equal(features(method, images), features(method.encoder_q, images))
    assert method.encoder_k.seen == 0


def test_moco_is_evaluated_by_its_query_encoder() -> None:
    methods = pytest.importorskip("course_lib.methods")
    if not hasattr(methods, "MoCo"):
        pytest.skip("MoCo is not exported here")
    method = methods.MoCo(SmallConvNet(4), 8, queue_size=16, bn_splits=1)
    learning = set(map(id, method.backbone.parameters()))
    assert learning <= {id(p) for p in method.parameters() if p.requires_grad}
    assert encoder_of(method) is method.backbone


def test_bad_input(images: Tensor) -> None:
    with pytest.raises(TypeError, match="expected a network"):
        features(lambda x: x, images)
    with pytest.raises(ValueError, match=r"must give one vector an image"):
        features(nn.Conv2d(3, 2, 1), images)
    with pytest.raises(ValueError, match=r"expected images \(N, 3, H, W\)"):
        features(Counter(), images[:0])


def test_fingerprint_sees_shape_and_type() -> None:
    zeros = torch.zeros(6)
    prints = {
        fingerprint([x])
        for x in (zeros, zeros.view(2, 3), zeros.int(), zeros + 1e-9, torch.tensor(0.0), torch.zeros(0))
    }
    assert len(prints) == 6
    assert fingerprint([zeros]) == fingerprint([torch.zeros(12)[::2]])
    assert fingerprint([torch.zeros(2, dtype=torch.bfloat16)])


@pytest.mark.gpu
def test_on_a_gpu(images: Tensor) -> None:
    net = Counter()
    torch.testing.assert_close(
        features(net, images, device="cuda", cache=False), features(net, images), rtol=1e-3, atol=1e-3
    )
    assert net.layer.weight.device.type == "cpu"


def test_pixels_are_averaged_over_squares() -> None:
    image = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    assert torch.equal(raw_pixels(image), torch.arange(16).repeat(3)[None] / 255)
    corners = torch.tensor([2.5, 4.5, 10.5, 12.5])  # the means of the four squares
    torch.testing.assert_close(raw_pixels(image, size=2), corners.repeat(3)[None] / 255)


@pytest.mark.parametrize("size", [0, 5])
def test_pixels_cannot_be_averaged_to_more_than_there_are(size: int) -> None:
    with pytest.raises(ValueError, match="size must be between 1 and the images' 4 px"):
        raw_pixels(torch.zeros(1, 3, 4, 4), size=size)
