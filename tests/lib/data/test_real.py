"""Real photographs: the four named sets from tiny archives of their layout, folders, and the cache."""

import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets
from torchvision.datasets import ImageFolder

from course_lib.data import load, real
from course_lib.data.download import Archive, DownloadError
from course_lib.data.real import Source, to_square


def jpeg(colour, size=(20, 30)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def md5(content):
    return hashlib.md5(content).hexdigest()


def offer(web, monkeypatch, name, archives, folder=""):
    """Put archives on the test's web server in the place of a named set's own."""
    listed = []
    for filename, unpacks_to, files in archives:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as out:
            for path, content in files.items():
                info = tarfile.TarInfo(f"{unpacks_to}/{path}")
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
        web.files[f"/{filename}"] = buffer.getvalue()
        listed.append(Archive(f"{web.url}/{filename}", md5(buffer.getvalue()), unpacks_to))
    monkeypatch.setitem(real.SOURCES, name, Source(tuple(listed), folder))


# --- the named sets ------------------------------------------------------------------------------------


@pytest.fixture
def cifar10(web, monkeypatch, rng):
    """Two images a file; returns what is in the files."""
    pixels, labels, files = {}, {}, {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        pixels[name] = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
        labels[name] = rng.integers(0, 10, 2).tolist()
        files[name] = pickle.dumps({"data": pixels[name], "labels": labels[name]})
    files["batches.meta"] = pickle.dumps({"label_names": [f"class {i}" for i in range(10)]})
    sums = [[name, md5(content)] for name, content in files.items()]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", sums[5:6])
    monkeypatch.setattr(
        datasets.CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": sums[6][1]}
    )
    offer(web, monkeypatch, "cifar10", [("cifar-10-python.tar.gz", "cifar-10-batches-py", files)])
    return pixels, labels


def test_cifar10(cifar10, web, tmp_path):
    pixels, labels = cifar10
    train, test = (load("cifar10", split, root=tmp_path) for split in ("train", "test"))
    assert (len(train), len(test)) == (10, 2)
    assert train.class_names[3] == "class 3"
    expected = np.concatenate([pixels[f"data_batch_{i}"] for i in range(1, 6)]).reshape(10, 3, 32, 32)
    assert torch.equal(train.images, torch.tensor(expected))  # at 32 px the pixels are the originals
    assert test.labels.tolist() == labels["test_batch"]
    assert len(web.asked) == 1
    assert load("cifar10", size=16, root=tmp_path).images.shape == (10, 3, 16, 16)


def test_a_cached_set_needs_neither_network_nor_archive(cifar10, web, tmp_path, monkeypatch):
    first = load("cifar10", root=tmp_path)
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        if "cache" not in path.parts:
            path.rmdir() if path.is_dir() and not any(path.iterdir()) else path.is_file() and path.unlink()
    web.files.clear()
    assert torch.equal(load("cifar10", root=tmp_path).images, first.images)


def test_a_damaged_set_is_named(cifar10, tmp_path):
    load("cifar10", "test", root=tmp_path)
    (tmp_path / "cifar-10-batches-py/data_batch_2").write_bytes(b"?")
    with pytest.raises(DownloadError, match=r"Delete .*cifar-10-batches-py"):
        load("cifar10", "train", root=tmp_path)


def test_stl10(web, monkeypatch, tmp_path, rng):
    pixels = rng.integers(0, 256, (3, 3, 96, 96), dtype=np.uint8)
    stored = pixels.transpose(0, 1, 3, 2).tobytes()  # STL-10 stores columns
    files = {
        "train_X.bin": stored,
        "train_y.bin": bytes([1, 10, 4]),
        "test_X.bin": stored,
        "test_y.bin": bytes([2, 2, 2]),
        "unlabeled_X.bin": b"",
        "class_names.txt": b"\n".join(f"class {i}".encode() for i in range(10)),
    }
    monkeypatch.setattr(
        datasets.STL10,
        "train_list",
        [[n, md5(files[n])] for n in ("train_X.bin", "train_y.bin", "unlabeled_X.bin")],
    )
    monkeypatch.setattr(
        datasets.STL10, "test_list", [[n, md5(files[n])] for n in ("test_X.bin", "test_y.bin")]
    )
    offer(web, monkeypatch, "stl10", [("stl10_binary.tar.gz", "stl10_binary", files)])
    train = load("stl10", size=96, root=tmp_path)
    assert torch.equal(train.images, torch.tensor(pixels))
    assert train.labels.tolist() == [0, 9, 3]
    assert train.num_classes == 10
    assert load("stl10", "test", size=32, root=tmp_path).images.shape == (3, 3, 32, 32)


def test_pets(web, monkeypatch, tmp_path):
    breeds = ["Abyssinian", "beagle"]
    images = {f"{breed}_{i}.jpg": jpeg((200 * b, 50, 50)) for b, breed in enumerate(breeds) for i in range(3)}
    lines = {
        i: "".join(f"{breed}_{i} {b + 1} {b + 1} 1\n" for b, breed in enumerate(breeds)) for i in range(3)
    }
    lists = {"trainval.txt": (lines[0] + lines[1]).encode(), "test.txt": lines[2].encode()}
    archives = [("images.tar.gz", "images", images), ("annotations.tar.gz", "annotations", lists)]
    offer(web, monkeypatch, "pets", archives, folder="oxford-iiit-pet")
    train, test = (load("pets", split, size=24, root=tmp_path) for split in ("train", "test"))
    assert (len(train), len(test)) == (4, 2)
    assert train.class_names == ("Abyssinian", "Beagle")
    red = train.images[:, 0].float().mean(dim=(1, 2))
    assert torch.equal(red > 100, train.labels == 1)


def test_imagenette(web, monkeypatch, tmp_path):
    files = {
        f"{split}/{wnid}/{i}.JPEG": jpeg((0, 0, 0))
        for split in ("train", "val")
        for wnid in ("n01440764", "n02102040")
        for i in range(3 if split == "train" else 1)
    }
    offer(web, monkeypatch, "imagenette", [("imagenette2-160.tgz", "imagenette2-160", files)])
    train, test = (load("imagenette", split, root=tmp_path) for split in ("train", "test"))
    assert (len(train), len(test)) == (6, 2)
    assert train.class_names == ("tench", "English springer")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_addresses_and_sums_are_torchvisions():
    sources = {name: [(a.url, a.md5) for a in source.archives] for name, source in real.SOURCES.items()}
    assert sources == {
        "cifar10": [(datasets.CIFAR10.url, datasets.CIFAR10.tgz_md5)],
        "stl10": [(datasets.STL10.url, datasets.STL10.tgz_md5)],
        "pets": list(datasets.OxfordIIITPet._RESOURCES),
        "imagenette": [datasets.Imagenette._ARCHIVES["160px"]],
    }


def test_offline_message(monkeypatch, tmp_path):
    nowhere = Archive("http://127.0.0.1:9/cifar-10-python.tar.gz", "f" * 32, "cifar-10-batches-py")
    monkeypatch.setitem(real.SOURCES, "cifar10", Source((nowhere,)))
    monkeypatch.setattr("course_lib.data.download.PAUSE", 0.0)
    with pytest.raises(
        DownloadError, match=r'put cifar-10-python.tar.gz .* into .*, or use DATASET = "shapes"'
    ):
        load("cifar10", root=tmp_path)


# --- folders -------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Two classes; the red channel tells which image it is."""
    for split, count in (("train", 6), ("test", 2)):
        for c, name in enumerate(("cat", "dog")):
            for i in range(count):
                path = tmp_path / "photos" / split / name / f"{i}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(jpeg((20 * (i + 1), 100 * c, 0)))
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch):
    """Paths of the images decoded so far."""
    paths = []
    plain = ImageFolder.__getitem__

    def counting(self, index):
        paths.append(self.samples[index][0])
        return plain(self, index)

    monkeypatch.setattr(ImageFolder, "__getitem__", counting)
    return paths


def test_folder(folder, tmp_path):
    train, test = (load(str(folder), split, size=16, root=tmp_path) for split in ("train", "test"))
    assert train.images.shape == (12, 3, 16, 16)
    assert train.images.dtype == torch.uint8
    assert train.class_names == test.class_names == ("cat", "dog")
    assert train.labels.tolist() == [0] * 6 + [1] * 6
    assert train.captions is None
    red = train.images[:6, 0].float().mean(dim=(1, 2))
    torch.testing.assert_close(red, torch.arange(20.0, 121, 20), atol=2, rtol=0)
    assert len(test) == 4


def test_second_load_decodes_nothing(folder, decoded, tmp_path):
    first = load(str(folder), root=tmp_path)
    assert len(decoded) == 12
    second = load(str(folder), root=tmp_path)
    assert len(decoded) == 12
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    assert first.class_names == second.class_names


def test_count_decodes_only_what_it_needs(folder, decoded, tmp_path):
    few = load(str(folder), count=5, seed=3, root=tmp_path)
    assert (len(few), len(decoded)) == (5, 5)
    load(str(folder), count=5, seed=3, root=tmp_path)
    assert len(decoded) == 5
    everything = load(str(folder), root=tmp_path)
    decoded.clear()
    again = load(str(folder), count=5, seed=3, root=tmp_path)  # taken from the whole set's cache
    assert decoded == []
    assert torch.equal(few.images, again.images)
    assert torch.equal(few.labels, again.labels)
    assert len(load(str(folder), count=12, root=tmp_path)) == len(everything) == 12


def test_subsets_depend_on_the_seed_and_grow_from_each_other(folder, tmp_path):
    small, large, other = (
        load(str(folder), count=count, seed=seed, root=tmp_path) for count, seed in ((3, 0), (8, 0), (8, 1))
    )
    assert torch.equal(large.images[:3], small.images)
    assert not torch.equal(large.images, other.images)
    assert len(large.images.unique(dim=0)) == 8  # no image twice


@pytest.mark.parametrize("change", ["new", "gone", "edited"])
def test_a_change_of_the_folder_is_noticed(change, folder, decoded, tmp_path):
    load(str(folder), root=tmp_path)
    decoded.clear()
    path = folder / "train/cat/0.jpg"
    if change == "new":
        (folder / "train/cat/new.jpg").write_bytes(jpeg((9, 9, 9)))
    elif change == "gone":
        path.unlink()
    else:
        path.write_bytes(jpeg((255, 0, 0)))
        os.utime(path, ns=(1, 1))
    changed = load(str(folder), root=tmp_path)
    assert len(decoded) == len(changed) == {"new": 13, "gone": 11, "edited": 12}[change]


def test_a_damaged_cache_is_made_anew(folder, decoded, tmp_path):
    first = load(str(folder), root=tmp_path)
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_bytes(entry.read_bytes()[:1000])
    assert torch.equal(load(str(folder), root=tmp_path).images, first.images)
    assert len(decoded) == 24
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".pt"]


def test_sizes_splits_and_folders_of_one_name_have_caches_of_their_own(folder, tmp_path):
    load(str(folder), size=8, root=tmp_path)
    assert load(str(folder), size=12, root=tmp_path).images.shape[-1] == 12
    assert len(load(str(folder), "test", size=8, root=tmp_path)) == 4
    twin = tmp_path / "elsewhere" / "photos"
    twin.parent.mkdir()
    (folder / "train/dog/0.jpg").unlink()
    folder.rename(twin)
    assert len(load(str(twin), size=8, root=tmp_path)) == 11


def test_val_stands_in_for_test(folder, tmp_path):
    (folder / "test").rename(folder / "val")
    assert len(load(str(folder), "test", root=tmp_path)) == 4


def test_relative_paths_and_a_home_folder(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(load("photos", root=tmp_path)) == len(load("~/photos", root=tmp_path)) == 12


# --- what is refused -----------------------------------------------------------------------------------


def test_unknown_sets_and_folders_of_another_layout(folder, tmp_path):
    with pytest.raises(ValueError, match=r"unknown data set 'cifar11'.*'cifar10'.*train/<class>"):
        load("cifar11", root=tmp_path)
    (folder / "train").rename(folder / "training")
    with pytest.raises(ValueError, match="train/<class>/"):
        load(str(folder), root=tmp_path)


def test_classes_that_differ_between_the_splits(folder, tmp_path):
    (folder / "test/dog").rename(folder / "test/wolf")
    with pytest.raises(ValueError, match=r"\['dog', 'wolf'\]"):
        load(str(folder), root=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"split": "val"}, "split"),
        ({"size": 0}, "size"),
        ({"count": 0}, "count"),
        ({"count": 13}, "12 images"),
    ],
)
def test_bad_arguments(arguments, word, folder, tmp_path):
    with pytest.raises(ValueError, match=word):
        load(str(folder), **arguments, root=tmp_path)


# --- the picture itself --------------------------------------------------------------------------------


def test_to_square_keeps_the_middle_and_the_proportions():
    wide = Image.new("RGB", (90, 30), (255, 0, 0))
    wide.paste((0, 255, 0), (30, 0, 60, 30))  # the middle third
    square = to_square(wide, 10)
    assert square.shape == (3, 10, 10)
    assert (square[1, :, 1:-1] == 255).all()  # at the two edges the resizing blends in a little of the red
    assert (square[0] < 60).all()


def test_to_square_leaves_a_picture_of_the_right_size_alone(rng):
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert torch.equal(to_square(Image.fromarray(pixels), 8), torch.tensor(pixels).permute(2, 0, 1))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_to_square_makes_three_channels_of_any_picture(mode):
    assert to_square(Image.new("RGB", (30, 20), (10, 200, 30)).convert(mode), 16).shape == (3, 16, 16)


# --- real photographs ----------------------------------------------------------------------------------

CIFAR10 = os.environ.get("COURSE_CIFAR10")


@pytest.mark.skipif(not CIFAR10, reason="COURSE_CIFAR10 does not name a folder of CIFAR-10 images")
def test_real_photographs(tmp_path):
    train = load(str(CIFAR10), count=1000, root=tmp_path)
    assert train.images.shape == (1000, 3, 32, 32)
    assert train.num_classes == len(list((Path(str(CIFAR10)) / "train").iterdir()))
    assert (train.labels.bincount(minlength=10) > 60).all()
    assert 90 < train.images.float().mean() < 150
