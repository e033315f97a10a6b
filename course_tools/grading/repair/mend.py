"""Put a submission's cells back into the shape of the release, keeping everything the student wrote."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from course_tools.grading.repair.match import find_unlabelled
from course_tools.grading.repair.names import bound, same
from course_tools.grading.repair.reading import read_notebook


@dataclass(frozen=True)
class Mended:
    """A valid notebook with the release's graded cells, and what the student should know about it."""

    notebook: Any
    remarks: list[str]


def mend(raw: bytes, release: Any) -> Mended:
    """The notebook to grade, made from the bytes of a submitted file and the release it answers.

    - A graded cell is recognised by its grade id, else by its contents, else by its place.
    - A copied one counts once: the last copy that holds an answer; copies of a written answer are joined.
    - A missing test is put back, and so is a cell that defines what nobody else defines (an import, say).
    - A test that stands before an answer it needs is moved behind it.
    - The settings of graded cells, and the kernel, are the release's.

    Raises:
        Unreadable: the file holds no notebook.
    """
    submitted = read_notebook(raw)
    work = _Working(release.cells, submitted.cells)
    work.take_by_label()
    work.take_unlabelled()
    work.put_back()
    work.order_tests()
    work.restore_settings()
    remarks = submitted.remarks + work.remarks
    kernel = release.metadata.get("kernelspec", {}).get("name", "python3")
    if submitted.kernel not in ("", kernel):
        remarks.append(f"Your notebook asks for the kernel `{submitted.kernel}`: it was run with `{kernel}`.")
    metadata = copy.deepcopy(release.metadata)
    notebook = {"cells": work.cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return Mended(_valid(notebook), remarks)


def label(cell: Any) -> str:
    """The grade id of a cell, "" if it has none."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def is_test(cell: Any) -> bool:
    own = cell.metadata.get("nbgrader", {})
    return bool(own.get("grade")) and not own.get("solution")


def is_written(cell: Any) -> bool:
    own = cell.metadata.get("nbgrader", {})
    return bool(own.get("grade")) and bool(own.get("solution"))


def is_answer(cell: Any) -> bool:
    own = cell.metadata.get("nbgrader", {})
    return bool(own.get("solution")) and not own.get("grade")


class _Working:
    """The student's cells while they are put in order; `found` maps a grade id to the cell that counts."""

    def __init__(self, released: list[Any], cells: list[Any]) -> None:
        self.released, self.cells = released, cells
        self.marked = {label(cell): cell for cell in released if label(cell)}
        self.found: dict[str, Any] = {}
        self.remarks: list[str] = []

    def take_by_label(self) -> None:
        copies: dict[str, list[Any]] = {name: [] for name in self.marked}
        for cell in self.cells:
            if label(cell) in copies:
                copies[label(cell)].append(cell)
        for name, several in copies.items():
            if several:
                self.found[name] = several[0] if len(several) == 1 else self._choose(name, several)

    def _choose(self, name: str, copies: list[Any]) -> Any:
        """One of several cells with the same grade id; the others stay as cells without marks, or go."""
        original = self.marked[name]
        own = [cell for cell in copies if not same(cell.source, original.source)]
        chosen = (own or copies)[-1]
        if is_written(original):
            chosen.source = "\n\n".join(dict.fromkeys(cell.source for cell in own)) or chosen.source
            how = "what they say was joined"
        else:
            how = (
                "the original test was run once"
                if is_test(original)
                else "the last one with an answer counts"
            )
        for cell in copies:
            if cell is not chosen:
                cell.metadata.pop("nbgrader", None)
        # A copy of the cell as it was handed out, run below the answer, would undo it.
        idle = [cell for cell in copies if cell is not chosen and (cell not in own or is_written(original))]
        self.cells = [cell for cell in self.cells if not any(cell is each for each in idle)]
        self.remarks.append(f"The cell `{name}` was there {len(copies)} times: {how}.")
        return chosen

    def take_unlabelled(self) -> None:
        missing = [name for name in self.marked if name not in self.found]
        recognised = find_unlabelled(self.released, self.cells, self.found, missing)
        self.found |= recognised
        if recognised:
            names = ", ".join(f"`{name}`" for name in recognised)
            self.remarks.append(
                f"These cells had lost their labels and were recognised by their contents or place: {names}."
            )

    def put_back(self) -> None:
        """Insert what the release has and the submission lacks, each behind what it follows there."""
        defined = bound(cell.source for cell in self.cells if cell.cell_type == "code")
        before = None
        for original in self.released:
            here = self.found.get(label(original)) or self._twin(original)
            if here is None and self._needed(original, defined):
                here = copy.deepcopy(original)
                here["id"] = f"restored-{original.get('id') or label(original)}"[:64]
                self.cells.insert(0 if before is None else self._place(before) + 1, here)
                if label(original):
                    self.found[label(original)] = here
                self.remarks.append(_put_back(original))
            before = before if here is None else here

    def _needed(self, original: Any, defined: set[str]) -> bool:
        if is_test(original) or is_written(original):
            return True
        return original.cell_type == "code" and bool(bound([original.source]) - defined)

    def _twin(self, original: Any) -> Any:
        """The student's cell that is an unmarked cell of the release, unchanged."""
        taken = {id(cell) for cell in self.found.values()}
        alike = (
            cell
            for cell in self.cells
            if id(cell) not in taken
            and cell.cell_type == original.cell_type
            and same(cell.source, original.source)
        )
        return None if label(original) else next(alike, None)

    def _place(self, cell: Any) -> int:
        return next(index for index, each in enumerate(self.cells) if each is cell)

    def order_tests(self) -> None:
        """Move a test behind the answers that the release puts before it."""
        answers: list[Any] = []
        moved: list[str] = []
        for name in self.marked:
            cell = self.found.get(name)
            if cell is None:
                continue
            if is_answer(self.marked[name]):
                answers.append(cell)
            elif is_test(self.marked[name]) and answers:
                last = max(map(self._place, answers))
                if self._place(cell) < last:
                    self.cells = [each for each in self.cells if each is not cell]
                    self.cells.insert(last, cell)  # `last` is one less now
                    answers.append(cell)  # the next one that has to move goes behind this one
                    moved.append(f"`{name}`")
        if moved:
            self.remarks.append(
                f"Cells stood in another order: these tests were run after the answers: {', '.join(moved)}."
            )

    def restore_settings(self) -> None:
        changed = []
        for name, cell in self.found.items():
            original = self.marked[name]
            if _settings(cell) != _settings(original) and len(cell.metadata.get("nbgrader", {})) > 1:
                changed.append(f"`{name}`")
            if cell.cell_type != original.cell_type:
                self._retype(cell, original, name)
            if is_test(original) and not same(cell.source, original.source):
                self.remarks.append(f"The test `{name}` had been changed: the original was run.")
            if not original.metadata.nbgrader.get("solution"):
                cell.source = original.source
            cell.metadata["nbgrader"] = copy.deepcopy(original.metadata["nbgrader"])
        marked = {id(cell) for cell in self.found.values()}
        for cell in self.cells:
            if id(cell) not in marked:
                cell.metadata.pop("nbgrader", None)
        if changed:
            self.remarks.append(
                f"Settings of graded cells had been edited: the originals were used for {', '.join(changed)}."
            )

    def _retype(self, cell: Any, original: Any, name: str) -> None:
        from nbformat import v4

        new = v4.new_code_cell if original.cell_type == "code" else v4.new_markdown_cell
        place = self._place(cell)
        self.cells[place] = self.found[name] = new(cell.source, id=cell["id"], metadata=cell.metadata)
        self.remarks.append(
            f"The cell `{name}` had become {cell.cell_type}: it was made {original.cell_type} again."
        )


def _settings(cell: Any) -> tuple[object, ...]:
    own = cell.metadata.get("nbgrader", {})
    flags = (bool(own.get(key)) for key in ("grade", "solution", "task"))
    return (*flags, own.get("points") if own.get("grade") else None)


def _put_back(original: Any) -> str:
    name = label(original)
    if is_test(original):
        return f"The test `{name}` was missing: it was put back and run."
    if name:
        return f"Your answer `{name}` was missing: there was nothing to grade."
    first = next((line for line in original.source.splitlines() if line.strip()), "")
    return f"A cell that the lab needs was missing and was put back: `{first.strip()[:60]}`."


def _valid(notebook: dict[str, Any]) -> Any:
    import nbformat

    seen: set[str] = set()
    for number, cell in enumerate(notebook["cells"]):
        if cell["id"] in seen:
            cell["id"] = f"{cell['id'][:50]}-{number}"
        seen.add(cell["id"])
    node = nbformat.from_dict(notebook)
    nbformat.validate(node)
    return node
