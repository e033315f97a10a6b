"""Real photographs behind the interface of `ImageSet`: four well-known sets, and any folder of images.

torchvision reads them; each image is resized and cut to a square once, and kept as a tensor in a cache, so
that loading takes minutes the first time and a moment from then on.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm.auto import tqdm

from course_lib.data.download import Archive, DownloadError, fetch_and_unpack
from course_lib.data.imageset import ImageSet


@dataclass(frozen=True)
class Source:
    """Where a set comes from, and the folder below `root` in which torchvision looks for it."""

    archives: tuple[Archive, ...]
    folder: str = ""


SOURCES = {
    "cifar10": Source(
        (
            Archive(
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                "c58f30108f718f92721af3b95e74349a",
                unpacks_to="cifar-10-batches-py",
            ),
        )
    ),
    "stl10": Source(
        (
            Archive(
                "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                "91f7769df0f17e558f3565bffb0c7dfb",
                unpacks_to="stl10_binary",
            ),
        )
    ),
    "pets": Source(
        (
            Archive(
                "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
                "5c4f3ee8e5d25df40f4fd59a7f44e54c",
                unpacks_to="images",
            ),
            Archive(
                "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
                "95a8c909bbe2e81eed6a22bccdf3f68f",
                unpacks_to="annotations",
            ),
        ),
        folder="oxford-iiit-pet",
    ),
    # the version whose shorter side is 160 pixels
    "imagenette": Source(
        (
            Archive(
                "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz",
                "e793b78cc4c9e9a4ccc0c1155377a412",
                unpacks_to="imagenette2-160",
            ),
        )
    ),
}

CACHE_DAMAGED = (RuntimeError, EOFError, KeyError, pickle.UnpicklingError)


class Pictures(Protocol):
    """What torchvision's data sets have in common: item i is (PIL image, label)."""

    classes: Any

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[Any, int]: ...


def load_real(dataset: str, split: str, *, size: int, count: int | None, seed: int, root: Path) -> ImageSet:
    """See `course_lib.data.load`. `root` has torchvision's own layout, plus `cache`.

    With `count`, only that many images are decoded, unless the cache holds the whole set already. A cache
    entry of a folder is dropped when a file has come, gone or changed; one of a named set needs no archive.
    """
    if dataset in SOURCES:
        name, fingerprint = dataset, "-".join(archive.md5 for archive in SOURCES[dataset].archives)
    else:
        folder = split_folder(dataset, split)
        fingerprint = file_list_fingerprint(folder)
        name = f"{Path(dataset).resolve().name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
    stem = f"{name}-{split}-{size}px"
    whole = root / "cache" / f"{stem}.pt"
    if (images := read_cache(whole, fingerprint)) is not None:
        return images if count is None else images.subset(draw(len(images), count, seed, dataset))
    part = whole if count is None else root / "cache" / f"{stem}-{count}-seed{seed}.pt"
    if (images := read_cache(part, fingerprint)) is not None:
        return images
    pictures = open_named(dataset, split, root) if dataset in SOURCES else open_folder(folder)
    chosen = torch.arange(len(pictures)) if count is None else draw(len(pictures), count, seed, dataset)
    images = decode(pictures, chosen, size, description=f"{name}, {split}")
    write_cache(part, fingerprint, images)
    return images


def draw(total: int, count: int, seed: int, dataset: str) -> Tensor:
    """Indices of a random subset; of two subsets with one seed, the smaller begins the larger."""
    if count > total:
        raise ValueError(f"{dataset} has {total} images in this split, {count} were asked for")
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]


# --- opening -------------------------------------------------------------------------------------------


def open_named(dataset: str, split: str, root: Path) -> Pictures:
    from torchvision import datasets

    source = SOURCES[dataset]
    for archive in source.archives:
        fetch_and_unpack(archive, root / source.folder)
    train = split == "train"
    try:
        if dataset == "cifar10":
            return datasets.CIFAR10(root, train=train)
        if dataset == "stl10":
            return datasets.STL10(root, split=split)
        if dataset == "pets":
            return datasets.OxfordIIITPet(root, split="trainval" if train else "test")
        return datasets.Imagenette(root, split="train" if train else "val", size="160px")
    except (RuntimeError, FileNotFoundError) as error:
        unpacked = [str(root / source.folder / archive.unpacks_to) for archive in source.archives]
        raise DownloadError(
            f"{dataset} is damaged on disk ({error}). Delete {' and '.join(unpacked)} and load it again."
        ) from error


def open_folder(folder: Path) -> Pictures:
    from torchvision.datasets import ImageFolder

    return ImageFolder(folder)


def split_folder(dataset: str, split: str) -> Path:
    """The folder of a split below `dataset`; "val" stands in for a missing "test"."""
    parent = Path(dataset).expanduser().resolve()
    if not parent.is_dir():
        raise ValueError(
            f'unknown data set {dataset!r}: expected "shapes", {", ".join(map(repr, SOURCES))}, '
            "or a folder with train/<class>/ and test/<class>/"
        )
    train, test = (find_split(parent, names) for names in (("train",), ("test", "val")))
    if class_folders(train) != class_folders(test):
        differing = sorted(class_folders(train) ^ class_folders(test))
        raise ValueError(f"{train} and {test} must hold the same classes, but {differing} is in one only")
    return train if split == "train" else test


def find_split(parent: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (parent / name).is_dir() and class_folders(parent / name):
            return parent / name
    raise ValueError(f"{parent} must hold {names[0]}/<class>/ with images; found no such folders")


def class_folders(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir() if entry.is_dir()}


def file_list_fingerprint(folder: Path) -> str:
    """Changes with the name, size or date of any file in the class folders."""
    digest = hashlib.sha256()
    for path, stat in sorted((entry.path, entry.stat()) for entry in walk(folder)):
        digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def walk(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from walk(entry.path)
            else:
                yield entry


# --- decoding ------------------------------------------------------------------------------------------


def decode(pictures: Pictures, chosen: Tensor, size: int, *, description: str) -> ImageSet:
    """Images and labels of the chosen ones, resized and cut to `size`."""
    images = torch.empty(len(chosen), 3, size, size, dtype=torch.uint8)
    labels = torch.empty(len(chosen), dtype=torch.int64)

    def read(index: int) -> tuple[Tensor, int]:
        picture, label = pictures[index]
        return to_square(picture, size), label

    # threads, because the decoders let go of Python's lock
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        arriving = tqdm(
            pool.map(read, chosen.tolist()), total=len(chosen), desc=description, unit="image", leave=False
        )
        for i, (image, label) in enumerate(arriving):
            images[i], labels[i] = image, label
    names = tuple(name if isinstance(name, str) else name[0] for name in pictures.classes)
    return ImageSet(images, labels, names)


def to_square(picture: Any, size: int) -> Tensor:
    """A PIL image -> uint8 (3, size, size): the shorter side resized to `size`, the middle cut out."""
    from torchvision.transforms import functional as vision

    picture = picture.convert("RGB")
    if picture.size != (size, size):
        picture = vision.center_crop(vision.resize(picture, size), size)
    return vision.pil_to_tensor(picture)


# --- cache ---------------------------------------------------------------------------------------------


def read_cache(path: Path, fingerprint: str) -> ImageSet | None:
    if not path.exists():
        return None
    try:
        entry = torch.load(path, weights_only=True)
        if entry["fingerprint"] != fingerprint:
            return None
        return ImageSet(entry["images"], entry["labels"], tuple(entry["class_names"]))
    except CACHE_DAMAGED:
        return None  # it is made anew and written over


def write_cache(path: Path, fingerprint: str, images: ImageSet) -> None:
    """Written beside and then renamed, so that an interruption leaves no half entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    entry = {
        "images": images.images,
        "labels": images.labels,
        "class_names": list(images.class_names),
        "fingerprint": fingerprint,
    }
    torch.save(entry, beside)
    beside.replace(path)
