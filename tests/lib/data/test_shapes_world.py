from dataclasses import fields, replace

import pytest
import torch
import torch.nn.functional as F

from course_lib.data.shapes import Factors, Shapes
from course_lib.data.shapes.vocabulary import DOMAINS, SHAPES
from course_lib.data.shapes.world import TEST_START

WORLDS = [
    {},
    {"objects": 3},
    {"domain": "night"},
    {"domain": "corrupted", "noise": 0.0},
    {"domain": "sketch", "occlusion": 0.4},
    {"loud_background": True, "size": 48},
]


@pytest.mark.parametrize("settings", WORLDS, ids=str)
def test_an_image_depends_on_seed_and_index_alone(settings) -> None:
    world = Shapes(**settings)
    together = world.images(range(300))
    assert together.dtype == torch.uint8
    assert together.shape == (300, 3, world.size, world.size)
    shuffled = torch.randperm(300)
    assert torch.equal(world.images(shuffled), together[shuffled])
    for index in (0, 7, 299):
        assert torch.equal(Shapes(**settings).images([index])[0], together[index])
    assert not torch.equal(Shapes(**settings, seed=1).images(range(8)), together[:8])


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    Shapes(objects=2, occlusion=0.3).scene(range(8))
    Shapes().videos(range(4))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("settings", [{}, {"objects": 3, "occlusion": 0.4}, {"domain": "sketch"}], ids=str)
def test_every_resolution_shows_the_same_picture(settings) -> None:
    def render(size: int) -> torch.Tensor:
        return Shapes(size=size, noise=0.0, **settings).images(range(32)).float()

    reference = render(32)
    for size in (64, 224):
        error = (F.adaptive_avg_pool2d(render(size), 32) - reference).abs()
        assert error.mean() < 2.5, f"{size} px differs by {error.mean():.1f} of 255 on average"


def test_grain_has_its_strength_at_every_resolution() -> None:
    for size, low in ((32, 0.045), (64, 0.025), (20, 0.025)):
        flat = {"size": 1e-3, "background_colours": torch.full((2, 3), 0.5), "light": 1.0}
        images = Shapes(size=size, noise=0.05, fixed=flat).images(range(200)).float() / 255
        assert low < images.std() < 0.055


def test_train_and_test_share_no_image() -> None:
    world = Shapes(size=8)
    train, test = world.image_set("train", 300), world.image_set("test", 300)
    assert train.num_classes == 10
    assert len(train.captions) == len(train) == 300
    both = torch.cat([train.images, test.images]).flatten(1)
    assert len(both.unique(dim=0)) == 600
    assert torch.equal(test.images, world.images(range(TEST_START, TEST_START + 300)))
    assert torch.equal(test.labels, world.labels(range(TEST_START, TEST_START + 300)))
    assert torch.equal(train.subset(range(50)).images, world.image_set("train", 50).images)


def test_classes_are_balanced_and_shuffled() -> None:
    labels = Shapes().labels(range(5000)).view(-1, 10)
    assert (labels.sort(1).values == torch.arange(10)).all()
    assert len(labels.unique(dim=0)) > 490
    assert torch.equal(labels.flatten(), Shapes(objects=4).factors(range(5000)).shape[:, 0])


@pytest.mark.parametrize("agreement", [0.0, 0.5, 1.0])
def test_texture_and_palette_agree_with_the_stated_probability(agreement: float) -> None:
    factors = Shapes(agreement=agreement, objects=2).factors(range(10_000))
    expected = agreement + (1 - agreement) / 10
    texture, palette = factors.texture == factors.shape, factors.palette == factors.shape
    assert texture.float().mean().item() == pytest.approx(expected, abs=0.01)
    assert palette.float().mean().item() == pytest.approx(expected, abs=0.01)
    assert (texture & palette).float().mean().item() == pytest.approx(expected**2, abs=0.01)


def test_an_object_is_the_same_whatever_the_number_of_others() -> None:
    one, three = Shapes().factors(range(100)), Shapes(objects=3).factors(range(100))
    for name in ("shape", "texture", "palette", "rotation", "tint", "phase"):
        assert torch.equal(getattr(one, name)[:, 0], getattr(three, name)[:, 0]), name


def test_fixed_factors() -> None:
    world = Shapes(objects=2, fixed={"shape": "heart", "rotation": 0.0, "x": torch.tensor([0.25, 0.75])})
    factors = world.factors(range(20))
    assert (factors.shape == SHAPES.index("heart")).all()
    assert (world.labels(range(20)) == SHAPES.index("heart")).all()
    assert (factors.rotation == 0).all()
    assert torch.equal(factors.x, torch.tensor([0.25, 0.75]).expand(20, 2))
    assert torch.equal(factors.y, Shapes(objects=2).factors(range(20)).y)
    agreeing = Shapes(agreement=1.0, fixed={"shape": "heart"}).factors(range(20))
    assert (agreeing.texture == SHAPES.index("heart")).all()


def inside_and_outside(size: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels well inside the object, and pixels well outside it, its shadow included."""
    masks = Shapes(size=size).scene(range(count)).masks.float()
    outside = F.max_pool2d(masks, 25, 1, 12) == 0
    inside = F.max_pool2d(1 - masks, 5, 1, 2) == 0
    return inside.expand(-1, 3, -1, -1), outside.expand(-1, 3, -1, -1)


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("texture", "inside"),
        ("palette", "inside"),
        ("tint", "inside"),
        ("phase", "inside"),
        ("background_colours", "outside"),
        ("background_angle", "outside"),
        ("background", "outside"),
        ("depth", "nowhere"),
    ],
)
def test_a_factor_changes_only_what_it_should(name: str, where: str) -> None:
    world = Shapes(size=64)
    factors = world.factors(range(60))
    other = world.factors(range(1000, 1060))
    new = torch.full_like(factors.background, 2) if name == "background" else getattr(other, name)
    before, after = world.render(factors), world.render(replace(factors, **{name: new}))
    inside, outside = inside_and_outside(64, 60)
    changed = (before.int() - after.int()).abs() > 1
    # Not exactly none: a thousandth leaves room for pixels at seams and at the image's border.
    assert (changed[inside].float().mean() > 0.001) == (where == "inside")
    assert (changed[outside].float().mean() > 0.001) == (where == "outside")


def test_position_size_and_rotation_move_the_pixels() -> None:
    world = Shapes(
        size=64, noise=0.0, fixed={"background_colours": torch.full((2, 3), 0.5), "size": 0.4, "y": 0.5}
    )
    left = world.factors(range(20))
    left = replace(left, x=torch.full_like(left.x, 0.25))
    right = replace(left, x=torch.full_like(left.x, 0.5))  # exactly 16 pixels further
    difference = world.render(left)[..., 16:32].int() - world.render(right)[..., 32:48].int()
    assert difference.abs().max() <= 2
    turned = replace(left, rotation=left.rotation + 360)
    assert (world.render(turned).int() - world.render(left).int()).abs().float().mean() < 0.1
    bigger = replace(right, size=right.size * 1.5)
    assert (world.render(bigger) != world.render(right)).any()


def test_light_and_noise() -> None:
    world = Shapes(noise=0.0)
    factors = world.factors(range(50))
    dim = world.render(replace(factors, light=factors.light / 2)).float()
    bright = world.render(factors).float()
    unclipped = bright < 255
    assert (dim * 2 - bright)[unclipped].abs().max() <= 1.5
    noisy = world.render(replace(factors, noise=torch.full_like(factors.noise, 0.1))).float()
    assert 15 < (noisy - bright).std() < 27


def test_domains_show_the_same_objects_in_another_way() -> None:
    images = {domain: Shapes(domain=domain).images(range(100)).float() / 255 for domain in DOMAINS}
    factors = [Shapes(domain=domain).factors(range(100)) for domain in DOMAINS]
    for field in fields(Factors):
        if field.name != "domain":
            assert all(torch.equal(getattr(f, field.name), getattr(factors[0], field.name)) for f in factors)
    for domain in DOMAINS[1:]:
        assert (images[domain] - images["clean"]).abs().mean() > 0.01, domain
    colourfulness = {domain: image.std(1).mean() for domain, image in images.items()}
    assert colourfulness["sketch"] < 0.5 * colourfulness["clean"]
    assert images["night"].mean() < 0.6 * images["clean"].mean()
    assert images["sketch"].mean() > images["clean"].mean()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size"),
        ({"objects": 0}, "objects"),
        ({"agreement": 1.5}, "agreement"),
        ({"noise": -0.1}, "noise"),
        ({"occlusion": 2.0}, "occlusion"),
        ({"domain": "moon"}, "moon"),
        ({"fixed": {"colour": 1}}, "colour"),
        ({"fixed": {"shape": "potato"}}, "potato"),
        ({"fixed": {"size": "big"}}, "number"),
        ({"fixed": {"texture": 10}}, "below 10"),
    ],
)
def test_bad_settings_are_named(settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Shapes(**settings)


def test_bad_indices_are_named() -> None:
    for indices in ([-1], [0.5], torch.zeros(2, 2, dtype=torch.int64), torch.tensor([True])):
        with pytest.raises(ValueError, match="indices"):
            Shapes().images(indices)
    with pytest.raises(ValueError, match="rotation"):
        Shapes(fixed={"rotation": torch.zeros(3)}).factors(range(2))
    with pytest.raises(ValueError, match="split"):
        Shapes().image_set("validation", 5)
    assert Shapes().images([]).shape == (0, 3, 32, 32)


@pytest.mark.gpu
@pytest.mark.parametrize("settings", WORLDS, ids=str)
def test_cpu_and_gpu_agree(settings) -> None:
    world = Shapes(**settings)
    here, there = world.images(range(300)), world.images(range(300), device="cuda")
    assert there.is_cuda
    difference = (here.int() - there.cpu().int()).abs()
    assert (difference > 1).float().mean() < 1e-5
    assert torch.equal(world.scene(range(50)).boxes, world.scene(range(50), device="cuda").boxes.cpu())
