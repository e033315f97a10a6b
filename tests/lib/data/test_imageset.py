"""ImageSet and the entry of Shapes through `load`."""

import subprocess
import sys

import pytest
import torch

from course_lib.data import ImageSet, Shapes, load


def an_image_set(n=4, **changes):
    fields = {
        "images": torch.arange(n * 12, dtype=torch.uint8).view(n, 3, 2, 2),
        "labels": torch.arange(n) % 2,
        "class_names": ("circle", "square"),
    }
    return ImageSet(**(fields | changes))


def test_length_classes_and_subsets():
    images = an_image_set(captions=("a", "b", "c", "d"))
    assert (len(images), images.num_classes) == (4, 2)
    for indices in ([2, 0], torch.tensor([2, 0])):
        some = images.subset(indices)
        assert torch.equal(some.images, images.images[[2, 0]])
        assert some.captions == ("c", "a")
        assert some.class_names == images.class_names
    masked = images.subset(images.labels == 1)
    assert masked.labels.tolist() == [1, 1]
    assert masked.captions == ("b", "d")
    assert len(images.subset([])) == 0
    assert an_image_set().subset([1]).captions is None


@pytest.mark.parametrize(
    ("changes", "error", "word"),
    [
        ({"images": torch.zeros(4, 3, 2, 2)}, TypeError, "uint8"),
        ({"labels": torch.zeros(4)}, TypeError, "int64"),
        ({"images": torch.zeros(4, 2, 2, 3, dtype=torch.uint8)}, ValueError, "3, H, W"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, ValueError, "one label"),
        ({"labels": torch.full((4,), 2)}, ValueError, "2 class names"),
        ({"labels": torch.full((4,), -1)}, ValueError, "-1"),
        ({"captions": ("a",)}, ValueError, "1 captions for 4 images"),
    ],
)
def test_what_does_not_belong_together_is_refused(changes, error, word):
    with pytest.raises(error, match=word):
        an_image_set(**changes)


def test_shapes_by_name():
    train = load("shapes", count=20, size=16, seed=5)
    expected = Shapes(seed=5, size=16).image_set("train", 20)
    assert train.images.shape == (20, 3, 16, 16)
    assert torch.equal(train.images, expected.images)
    assert torch.equal(train.labels, expected.labels)
    assert not torch.equal(train.images, load("shapes", "test", count=20, size=16, seed=5).images)


def test_data_does_not_import_torchvision():
    heavy = ("torchvision", "PIL", "sklearn", "matplotlib")
    code = f"import sys, course_lib.data; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
