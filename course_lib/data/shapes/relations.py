"""Where objects stand to each other, read from the factors."""

from __future__ import annotations

from course_lib.data.shapes.factors import Factors

Relation = tuple[int, str, int]

APART = 0.12  # share of the width; closer centres are neither left nor right of each other
OVERLAP = 0.7  # centres closer than this share of the two radii: one object hides part of the other


def relations(factors: Factors) -> tuple[tuple[Relation, ...], ...]:
    """For each image all true triples (i, relation, j) of its objects, in the words of RELATIONS.

    "In front of" and "behind" are said only of objects that overlap, where one can see it.
    """
    columns = (factors.x, factors.y, factors.size, factors.depth)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return tuple(_of_image(*row) for row in rows)


def _of_image(x: list[float], y: list[float], size: list[float], depth: list[float]) -> tuple[Relation, ...]:
    found: list[Relation] = []
    for i in range(len(x)):
        for j in range(len(x)):
            if i == j:
                continue
            across, down = x[j] - x[i], y[j] - y[i]
            if abs(across) > APART:
                found.append((i, "left of" if across > 0 else "right of", j))
            if abs(down) > APART:
                found.append((i, "above" if down > 0 else "below", j))
            if across**2 + down**2 < (OVERLAP * (size[i] + size[j]) / 2) ** 2 and depth[i] != depth[j]:
                found.append((i, "in front of" if depth[i] < depth[j] else "behind", j))
    return tuple(found)
