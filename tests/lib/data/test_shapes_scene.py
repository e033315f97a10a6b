import pytest
import torch

from course_lib.data.shapes import Shapes
from course_lib.data.shapes.relations import OVERLAP
from course_lib.data.shapes.scene import boxes
from course_lib.data.shapes.vocabulary import BACKGROUNDS, DOMAINS, PALETTES, RELATIONS, SHAPES, TEXTURES

PLAIN = {"texture": "plain", "tint": 1.0, "light": 1.0, "background_colours": torch.zeros(2, 3)}


def test_shapes_of_everything() -> None:
    scene = Shapes(objects=3, size=40).scene(range(20))
    assert scene.images.shape == (20, 3, 40, 40)
    assert scene.masks.shape == (20, 3, 40, 40)
    assert scene.masks.dtype == torch.bool
    assert scene.boxes.shape == (20, 3, 4)
    assert len(scene.captions) == len(scene.relations) == 20
    assert torch.equal(scene.labels, scene.factors.shape[:, 0])
    assert torch.equal(scene.images, Shapes(objects=3, size=40).images(range(20)))


def test_masks_are_where_the_object_is_painted() -> None:
    world = Shapes(size=64, noise=0.0, fixed=PLAIN)
    scene = world.scene(range(100))
    lit = scene.images.amax(1) > 12  # on a black background only the object shines
    agree = (lit == scene.masks[:, 0]).flatten(1).float().mean(1)
    assert agree.min() > 0.95  # all but the pixels that the outline crosses
    at = (torch.arange(64) + 0.5) / 64
    weight = scene.masks[:, 0].float()
    centre = (weight.sum(1) * at).sum(1) / weight.sum((1, 2))
    uncut = (scene.boxes[:, 0, 0] > 0) & (scene.boxes[:, 0, 2] < 64)
    away = (centre - scene.factors.x[:, 0]).abs() / scene.factors.size[:, 0]
    assert away[uncut].max() < 0.25


def test_masks_do_not_overlap_and_the_nearer_object_wins() -> None:
    fixed = {"x": torch.tensor([0.45, 0.55]), "y": 0.5, "size": 0.6, "shape": "square", "rotation": 0.0}
    for depth in (torch.tensor([0.2, 0.8]), torch.tensor([0.8, 0.2])):
        scene = Shapes(size=64, objects=2, fixed={**fixed, "depth": depth}).scene(range(10))
        assert not (scene.masks[:, 0] & scene.masks[:, 1]).any()
        front, back = int(depth.argmin()), int(depth.argmax())
        assert scene.masks[:, front, 32, 32].all()
        assert (scene.masks[:, front].sum((1, 2)) > 2 * scene.masks[:, back].sum((1, 2))).all()
        for triples in scene.relations:
            assert (front, "in front of", back) in triples
            assert (back, "behind", front) in triples


def test_the_nearer_object_is_the_one_seen() -> None:
    fixed = {**PLAIN, "x": 0.5, "y": 0.5, "size": 0.5, "shape": "square", "depth": torch.tensor([0.9, 0.1])}
    palettes = torch.tensor([PALETTES.index("red"), PALETTES.index("blue")])
    image = Shapes(size=32, objects=2, noise=0.0, fixed={**fixed, "palette": palettes}).images([0])[0]
    red, _, blue = image[:, 16, 16].tolist()
    assert blue > red


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_occlusion_hides_its_share_of_a_square(share: float) -> None:
    angle = {"occlusion_angle": 90.0, "shape": "square", "rotation": 0.0, "size": 0.6, "x": 0.5, "y": 0.5}
    world = Shapes(size=128, fixed={**angle, "occlusion": share})
    visible, whole = world.scene(range(10)), Shapes(size=128, fixed=angle).scene(range(10))
    hidden = 1 - visible.masks.sum((1, 2, 3)) / whole.masks.sum((1, 2, 3))
    # The square reaches to 0.74 of the radius, so the strip's outer 0.26 misses it.
    assert hidden.tolist() == pytest.approx([(2 * share - 0.26) / 1.48] * 10, abs=0.03)
    assert (visible.boxes[:, 0, 1] > whole.boxes[:, 0, 1]).all()  # an angle of 90 degrees hides the top


def test_occlusion_is_drawn_up_to_its_largest_share() -> None:
    drawn = Shapes(occlusion=0.4).factors(range(2000)).occlusion
    assert 0 <= drawn.min() < 0.01
    assert 0.39 < drawn.max() <= 0.4


def test_boxes_are_tight() -> None:
    masks = torch.zeros(3, 8, 10, dtype=torch.bool)
    masks[0, 2:5, 3:9] = True
    masks[1, 7, 9] = True
    assert boxes(masks).tolist() == [[3, 2, 9, 5], [9, 7, 10, 8], [0, 0, 0, 0]]


def test_relations_say_what_the_factors_say() -> None:
    scene = Shapes(objects=3, size=16).scene(range(300))
    factors = scene.factors
    opposite = dict(zip(RELATIONS[::2], RELATIONS[1::2], strict=True))
    opposite |= {after: before for before, after in opposite.items()}
    said = set()
    for image, triples in enumerate(scene.relations):
        for i, relation, j in triples:
            said.add(relation)
            assert (j, opposite[relation], i) in triples
            x, y, depth = factors.x[image], factors.y[image], factors.depth[image]
            apart = ((x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2).sqrt()
            reach = (factors.size[image, i] + factors.size[image, j]) / 2
            assert {
                "left of": x[i] < x[j],
                "right of": x[i] > x[j],
                "above": y[i] < y[j],
                "below": y[i] > y[j],
                "in front of": depth[i] < depth[j] and apart < OVERLAP * reach,
                "behind": depth[i] > depth[j] and apart < OVERLAP * reach,
            }[relation]
    assert said == set(RELATIONS)


ADJECTIVES = dict(
    zip(
        TEXTURES,
        (
            "rayed",
            "plain",
            "dotted",
            "striped",
            "zigzagged",
            "checked",
            "shaded",
            "ringed",
            "patchy",
            "latticed",
        ),
        strict=True,
    )
)


@pytest.mark.parametrize("domain", DOMAINS)
def test_captions_of_one_object_are_true(domain: str) -> None:
    world = Shapes(domain=domain)
    factors, sentences = world.factors(range(500)), world.captions(range(500))
    for k, sentence in enumerate(sentences):
        assert SHAPES[factors.shape[k, 0]] in sentence
        words = sentence.replace(",", "").split()
        for shape in SHAPES:
            assert (shape in sentence) == (shape == SHAPES[factors.shape[k, 0]]) or shape == "cross"
        for colour in PALETTES:
            assert colour not in words or colour == PALETTES[factors.palette[k, 0]]
        for texture, adjective in ADJECTIVES.items():
            assert adjective not in words or texture == TEXTURES[factors.texture[k, 0]]
        assert "left" not in words or factors.x[k, 0] < 0.5 or factors.rotation[k, 0] > 0
        assert "right" not in words or factors.x[k, 0] > 0.5 or factors.rotation[k, 0] < 0
        assert "big" not in words or factors.size[k, 0] > 0.6
    if domain == "sketch":
        assert not any(colour in sentence.split() for sentence in sentences for colour in PALETTES)


def test_captions_of_several_objects_name_true_relations() -> None:
    world = Shapes(objects=2)
    scene = world.scene(range(300))
    found = 0
    for k, sentence in enumerate(scene.captions):
        for relation in RELATIONS:
            if f" {relation} " in sentence:
                found += 1
                assert (0, relation, 1) in scene.relations[k]
                assert SHAPES[scene.factors.shape[k, 1]] in sentence.split(relation)[1]
    assert found > 150


def test_captions_vary_and_do_not_change() -> None:
    world = Shapes(fixed={"shape": "star", "palette": "red"})
    sentences = world.captions(range(300))
    assert len(set(sentences)) > 100
    assert sentences == Shapes(fixed={"shape": "star", "palette": "red"}, size=64).captions(range(300))
    assert not any("an star" in sentence or " a orange" in sentence for sentence in sentences)


def test_background_words_are_true() -> None:
    loud = Shapes(loud_background=True)
    assert any("pattern" in sentence for sentence in loud.captions(range(50)))
    assert not any("pattern" in sentence for sentence in Shapes().captions(range(200)))
    assert (loud.factors(range(5)).background == BACKGROUNDS.index("loud")).all()
