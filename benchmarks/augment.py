"""The batched pipelines of `course_lib.augment.papers` against torchvision v2, one image at a time.

    OMP_NUM_THREADS=1 python benchmarks/augment.py            # writes benchmarks/results/augment.{json,md}
    OMP_NUM_THREADS=1 python benchmarks/augment.py --check    # a quick look, nothing written

Both sides run on one CPU core in one process, in turn, on the same uint8 images; the number is the median of
the repeated ratios of their CPU times. torchvision runs both ways people write it, floats from the start and
bytes to the end, and the faster one counts. Before timing, some megabytes are allocated and freed, as any
training has done: until then glibc gives memory back to the system after each operation and fetches it again,
which costs both sides time (`--cold` leaves that out).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from course_lib.augment import papers, reference
from course_lib.augment.blur import blur
from course_lib.augment.colour import adjust_hue_
from course_lib.augment.crop import random_crop_boxes
from course_lib.augment.resample import crop_and_resize

NAMES = ("simclr", "moco_v1", "moco_v2", "moco_v3", "byol", "swav", "dino", "mae", "clip", "supervised")
AT_224 = ("simclr", "moco_v2", "byol", "mae")  # one of each kind: the reference takes its time
HAS_BLUR_SWITCH = ("simclr", "moco_v2", "moco_v3", "byol", "swav", "dino")
RESULTS = Path(__file__).parent / "results" / "augment.json"


def photographs(count: int, side: int) -> Tensor:
    """Smooth random colours with grain, uint8 (count, 3, side, side)."""
    coarse = torch.rand(count, 3, 8, 8)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    return ((smooth + 0.1 * torch.rand(count, 3, side, side)).clamp(0, 1) * 255).to(torch.uint8)


def strip_blur(transform: v2.Compose) -> v2.Compose:
    def blurs(step: v2.Transform) -> bool:
        return isinstance(step, v2.RandomApply) and isinstance(step.transforms[0], v2.GaussianBlur)

    return v2.Compose([step for step in transform.transforms if not blurs(step)])


def bytes_to_the_end(transform: v2.Compose) -> v2.Compose:
    to_float, *steps = transform.transforms
    steps = [v2.RandomSolarize(128, s.p) if isinstance(s, v2.RandomSolarize) else s for s in steps]
    return v2.Compose([*steps, to_float])


def cpu_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def measure(name: str, size: int, *, with_blur: bool, batch: int, few: int, repeats: int) -> dict:
    """CPU microseconds an image (all its views) on either side, and the median of the ratios."""
    source = size if size <= 64 else size + size // 7
    images = photographs(batch, source)
    sizes = (size, 3 * size // 7) if name in ("swav", "dino") else (size,)
    switch = {} if with_blur or name not in HAS_BLUR_SWITCH else {"blur": False}
    ours = getattr(papers, name)(*sizes, **switch)
    theirs = getattr(reference, name)(*sizes)
    transforms = theirs if isinstance(theirs, list) else [theirs]
    transforms = transforms if with_blur else [strip_blur(t) for t in transforms]
    in_bytes = [bytes_to_the_end(t) for t in transforms]

    def one_by_one(which: list) -> None:
        for image in images[:few]:
            for transform in which:
                transform(image)

    runs = (
        (lambda: ours(images), batch),
        (lambda: one_by_one(transforms), few),
        (lambda: one_by_one(in_bytes), few),
    )
    for run, _ in runs:
        run()
    times = [[cpu_seconds(run) / count * 1e6 for run, count in runs] for _ in range(repeats)]
    batched, floats, eight_bit = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = [min(f, b) / o for o, f, b in times]
    return {
        "pipeline": name,
        "size": size,
        "blur": with_blur and name in HAS_BLUR_SWITCH,
        "batched_us": round(batched, 1),
        "torchvision_float_us": round(floats, 1),
        "torchvision_bytes_us": round(eight_bit, 1),
        "ratio": round(statistics.median(ratios), 1),
        "ratio_range": [round(min(ratios), 1), round(max(ratios), 1)],
    }


def differences() -> dict:
    """Largest and mean absolute differences from the reference, same parameters, values in [0, 1]."""
    images = photographs(16, 256)
    floats = images.float() / 255
    boxes = random_crop_boxes(16, 256, 256, scale=(0.08, 1.0))
    cuts = [(int(t), int(left), int(h), int(w)) for left, t, w, h in boxes.tolist()]

    def gap(ours: Tensor, theirs: list[Tensor]) -> dict[str, float]:
        off = (ours - torch.stack(theirs)).abs()
        return {"max": float(f"{off.max():.2g}"), "mean": float(f"{off.mean():.2g}")}

    small, large = (
        [F.resized_crop(x, *c, [s, s]) for x, c in zip(floats, cuts, strict=True)] for s in (32, 224)
    )
    shift, sigma = torch.linspace(-0.2, 0.2, 16), torch.linspace(0.1, 2.0, 16)
    each = list(zip(floats, shift.tolist(), sigma.tolist(), strict=True))
    pil = [
        F.pil_to_tensor(F.to_pil_image(x).filter(ImageFilter.GaussianBlur(s))).float() / 255
        for x, s in zip(images, sigma.tolist(), strict=True)
    ]
    assert isinstance(F.to_pil_image(images[0]), Image.Image)
    return {
        "crop to 32 px against torchvision's, floats": gap(crop_and_resize(images, boxes, 32), small),
        "crop of bytes to 224 px (rounded to bytes) against floats": gap(
            crop_and_resize(images, boxes, 224), large
        ),
        "hue against torchvision's": gap(
            adjust_hue_(floats.clone(), shift), [F.adjust_hue(x, s) for x, s, _ in each]
        ),
        "blur of 23 taps against torchvision's": gap(
            blur(floats, sigma, 23), [F.gaussian_blur(x, [23, 23], [s, s]) for x, _, s in each]
        ),
        "blur of 23 taps against PIL's, which the papers use": gap(blur(floats, sigma, 23), pil),
    }


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def describe(row: dict) -> str:
    return (
        f"{row['pipeline']:11} {row['size']:4} px {'blur' if row['blur'] else '    '} "
        f"{row['batched_us']:9.1f} us batched, "
        f"torchvision {row['torchvision_float_us']:9.1f} (float) {row['torchvision_bytes_us']:9.1f} (bytes), "
        f"ratio {row['ratio']} {row['ratio_range']}"
    )


def page(record: dict) -> str:
    """The record as a table, for readers."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        "# Augmentation: batched pipelines against torchvision v2, one image at a time",
        "",
        f"Processor time on one core ({record['processor']}; {versions}); {record['source']}.",
        "The ratio is the median (lowest to highest) against the faster of torchvision's two ways.",
        "",
        "| pipeline | px | blur | batched, us an image | torchvision, floats | torchvision, bytes | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in record["timings"]:
        low, high = row["ratio_range"]
        times = (row["batched_us"], row["torchvision_float_us"], row["torchvision_bytes_us"])
        cells = [
            row["pipeline"],
            row["size"],
            "yes" if row["blur"] else "",
            *(f"{each:.0f}" for each in times),
        ]
        lines.append("| " + " | ".join(map(str, [*cells, f"{row['ratio']} ({low} to {high})"])) + " |")
    lines += ["", "| difference from the reference, values in [0, 1] | largest | mean |", "|---|---|---|"]
    lines += [f"| {name} | {gap['max']} | {gap['mean']} |" for name, gap in record["differences"].items()]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="SimCLR only, few repeats, nothing written")
    parser.add_argument("--cold", action="store_true", help="do not allocate and free memory beforehand")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if not options.cold:
        torch.zeros(6 << 20)
    rows = []
    for size, batch, few in ((32, 512, 32), (224, 24, 8)):
        for name in NAMES[:1] if options.check else NAMES if size == 32 else AT_224:
            multi_crop = name in ("swav", "dino")  # eight or ten views an image
            for with_blur in (False, True) if name in HAS_BLUR_SWITCH else (False,):
                row = measure(
                    name,
                    size,
                    with_blur=with_blur,
                    batch=batch,
                    few=few // 4 if multi_crop else few,
                    repeats=3 if options.check else 5,
                )
                rows.append(row)
                print(describe(row), flush=True)
    off = differences()
    print(json.dumps(off, indent=2))
    if not options.check:
        versions = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        }
        record = {
            "processor": processor(),
            "threads": 1,
            "versions": versions,
            "memory_freed_beforehand": not options.cold,
            "source": "32 px for views of 32, 256 px for views of 224; uint8",
            "timings": rows,
            "differences": off,
        }
        RESULTS.parent.mkdir(exist_ok=True)
        target = RESULTS.with_name("augment_cold.json") if options.cold else RESULTS
        target.write_text(json.dumps(record, indent=2) + "\n")
        target.with_suffix(".md").write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
