"""Which of a submission's cells are the release's graded ones, when labels do not tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from course_tools.grading.repair.names import defined, same


def find_unlabelled(
    released: Sequence[Any], cells: Sequence[Any], found: dict[str, Any], missing: Iterable[str]
) -> dict[str, Any]:
    """Grade id -> cell, for those missing ids that can be recognised: by contents, else by place.

    Args:
        released, cells: of the release and of the submission, in order.
        found: the cells already recognised by their grade ids.
        missing: the other grade ids.
    """
    original = {_label(cell): cell for cell in released if _label(cell)}
    taken = {id(cell) for cell in found.values()}
    free = [cell for cell in cells if id(cell) not in taken]
    result: dict[str, Any] = {}
    for name in missing:
        cell = _by_contents(original[name], free)
        if cell is not None:
            result[name] = cell
            free = [each for each in free if each is not cell]
    return result | _by_place(released, cells, found | result, free)


def _by_contents(original: Any, free: list[Any]) -> Any:
    """The cell that says the same; for an answer the last one that defines the same functions."""
    settings = original.metadata.nbgrader
    functions = (
        defined(original.source) if original.cell_type == "code" and settings.get("solution") else set()
    )
    answers = [
        cell
        for cell in free
        if functions and functions <= defined(cell.source) and not same(cell.source, original.source)
    ]
    if answers:
        return answers[-1]
    if settings.get("solution") and original.cell_type == "markdown":
        return None  # "Your answer here" stands in several cells: only the place can tell
    return next((cell for cell in free if same(cell.source, original.source)), None)


def _by_place(
    released: Sequence[Any], cells: Sequence[Any], found: dict[str, Any], free: Sequence[Any]
) -> dict[str, Any]:
    """Pair what is missing between two recognised cells with what is unknown between them, type by type."""
    result: dict[str, Any] = {}
    for names, unknown in _gaps(released, cells, found, free):
        for kind in ("markdown", "code"):
            wanted = [name for name, cell in names if cell.cell_type == kind]
            there = [cell for cell in unknown if cell.cell_type == kind]
            if wanted and len(wanted) == len(there):
                result |= dict(zip(wanted, there, strict=True))
            elif len(wanted) == 1 and there and kind == "markdown":
                result[wanted[0]] = max(there, key=lambda cell: len(cell.source))
    return result


def _gaps(
    released: Sequence[Any], cells: Sequence[Any], found: dict[str, Any], free: Sequence[Any]
) -> list[tuple[list[tuple[str, Any]], list[Any]]]:
    """(missing released cells, unknown submitted cells) between cells that stand in both, in order."""
    gaps: list[tuple[list[tuple[str, Any]], list[Any]]] = []
    names: list[tuple[str, Any]] = []
    start, unknown = 0, {id(cell) for cell in free}
    for original in released:
        place = _standing(original, cells, found, start)
        if place is None:
            # Tests are put back anyway: only cells that hold a student's words are worth a guess.
            if (
                _label(original)
                and original.metadata.nbgrader.get("solution")
                and _label(original) not in found
            ):
                names.append((_label(original), original))
            continue
        gaps.append((names, [cell for cell in cells[start:place] if id(cell) in unknown]))
        names, start = [], place + 1
    gaps.append((names, [cell for cell in cells[start:] if id(cell) in unknown]))
    return gaps


def _standing(original: Any, cells: Sequence[Any], found: dict[str, Any], start: int) -> int | None:
    """Where in `cells[start:]` a released cell stands, None if it cannot be told or is missing."""
    name = _label(original)
    for place in range(start, len(cells)):
        cell = cells[place]
        if name:
            if cell is found.get(name):
                return place
        elif cell.cell_type == original.cell_type and same(cell.source, original.source):
            return place
    return None


def _label(cell: Any) -> str:
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))
