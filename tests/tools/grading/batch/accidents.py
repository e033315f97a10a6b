"""What happens to notebooks on their way: each function damages a right submission of the tiny lab."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

LAB = "lab1_tiny"
NAME = f"{LAB}.ipynb"
OWN_WORDS = "Weil das Halbe vom Doppelten das Ganze ist: à voir."


@dataclass(frozen=True)
class Accident:
    """How a submission is damaged, and what must come of it."""

    damage: Callable[[Path, Any], None]  # writes into the folder of the submission
    score: float
    says: str
    waiting: int = 1


def right(notebook: Any) -> Any:
    """The solution with a written answer in own words: 8 of 10 points, one answer waits for a reader."""
    notebook = copy.deepcopy(notebook)
    cell(notebook, "q1").source = OWN_WORDS
    return notebook


def cell(notebook: Any, name: str) -> Any:
    return next(each for each in notebook.cells if each.metadata.get("nbgrader", {}).get("grade_id") == name)


def write(folder: Path, notebook: Any, name: str = NAME) -> None:
    (folder / name).write_text(json.dumps(notebook), encoding="utf-8")


def broken_json(folder: Path, notebook: Any) -> None:
    text = nbformat.writes(notebook)
    (folder / NAME).write_text(text[: len(text) // 2])


def empty_file(folder: Path, notebook: Any) -> None:
    (folder / NAME).write_text("")


def deep_json(folder: Path, notebook: Any) -> None:
    (folder / NAME).write_text('{"cells": ' + "[" * 200_000)


def a_zip_archive(folder: Path, notebook: Any) -> None:
    (folder / NAME).write_bytes(b"PK\x03\x04" + bytes(100))


def json_of_something_else(folder: Path, notebook: Any) -> None:
    (folder / NAME).write_text('{"name": "settings", "cells": 3}')


def not_utf8(folder: Path, notebook: Any) -> None:
    (folder / NAME).write_bytes(json.dumps(notebook, ensure_ascii=False).encode("cp1252"))


def two_hundred_megabytes(folder: Path, notebook: Any) -> None:
    with (folder / NAME).open("wb") as file:
        file.truncate(200 * 2**20)  # sparse: no disk is filled


def huge_outputs(folder: Path, notebook: Any) -> None:
    text = nbformat.v4.new_output("stream", name="stdout", text="x" * 20 * 2**20)
    cell(notebook, "double").outputs = [text]
    write(folder, notebook)


def nbformat_3(folder: Path, notebook: Any) -> None:
    write(folder, nbformat.convert(notebook, 3))


def deleted_tests(folder: Path, notebook: Any) -> None:
    notebook.cells = [
        each for each in notebook.cells if each not in (cell(notebook, "double"), cell(notebook, "halve"))
    ]
    write(folder, notebook)


def deleted_answer(folder: Path, notebook: Any) -> None:
    notebook.cells.remove(cell(notebook, "double-answer"))
    write(folder, notebook)


def deleted_written_answer(folder: Path, notebook: Any) -> None:
    notebook.cells.remove(cell(notebook, "q1"))
    write(folder, notebook)


def copied_cells(folder: Path, notebook: Any) -> None:
    for name in ("double-answer", "double", "q1"):
        place = notebook.cells.index(cell(notebook, name))
        notebook.cells.insert(place, copy.deepcopy(notebook.cells[place]))
    write(folder, notebook)


def copied_empty_answer(folder: Path, notebook: Any) -> None:
    """The empty cell once more below the answer: left alone, it would undo it."""
    place = notebook.cells.index(cell(notebook, "double-answer"))
    empty = copy.deepcopy(notebook.cells[place])
    empty.source = 'def double(x):\n    """Twice x."""\n    raise NotImplementedError'
    notebook.cells.insert(place + 1, empty)
    write(folder, notebook)


def reordered(folder: Path, notebook: Any) -> None:
    notebook.cells.reverse()
    write(folder, notebook)


def changed_ids(folder: Path, notebook: Any) -> None:
    for name in ("double-answer", "double", "q1"):
        cell(notebook, name).metadata.nbgrader["grade_id"] = f"my-{name}"
    write(folder, notebook)


def emptied_metadata(folder: Path, notebook: Any) -> None:
    for each in notebook.cells:
        each["metadata"] = {}
    notebook["metadata"] = {}
    write(folder, notebook)


def grade_false(folder: Path, notebook: Any) -> None:
    cell(notebook, "double").metadata.nbgrader["grade"] = False
    write(folder, notebook)


def more_points(folder: Path, notebook: Any) -> None:
    cell(notebook, "halve").metadata.nbgrader["points"] = 300
    cell(notebook, "halve-answer").source = "def halve(x): return 0"
    write(folder, notebook)


def nonsense_in_metadata(folder: Path, notebook: Any) -> None:
    cell(notebook, "double").metadata.nbgrader = {"grade_id": 7}
    cell(notebook, "halve").metadata["nbgrader"]["points"] = "all"
    notebook.cells[1] = {"cell_type": "banana"}
    notebook.cells.append("no cell")
    write(folder, notebook)


def code_as_text(folder: Path, notebook: Any) -> None:
    place = notebook.cells.index(cell(notebook, "double-answer"))
    was = notebook.cells[place]
    notebook.cells[place] = nbformat.v4.new_markdown_cell(was.source, metadata=was.metadata)
    write(folder, notebook)


def wrong_kernel(folder: Path, notebook: Any) -> None:
    notebook.metadata["kernelspec"] = {"name": "julia-1.9", "display_name": "Julia", "language": "julia"}
    write(folder, notebook)


def renamed_file(folder: Path, notebook: Any) -> None:
    write(folder, notebook, "Copy of lab1 (final).ipynb")


def two_notebooks(folder: Path, notebook: Any) -> None:
    write(folder, notebook)
    cell(notebook, "double-answer").source = "def double(x): return 0"
    write(folder, notebook, "old.ipynb")


def no_notebook(folder: Path, notebook: Any) -> None:
    (folder / "answers.txt").write_text("def double(x): return 2 * x")


def link_to_another_submission(folder: Path, notebook: Any) -> None:
    (folder / NAME).symlink_to(folder.parents[1] / "alice" / LAB / NAME)


def data_through_a_link(folder: Path, notebook: Any) -> None:
    write(folder, notebook)
    (folder / "gradebook.db").symlink_to("../../../gradebook.db")


def one_long_line(folder: Path, notebook: Any) -> None:
    cell(notebook, "double-answer").source += "\nprint('y' * 3_000_000)"
    write(folder, notebook)


ACCIDENTS = {
    "broken_json": Accident(broken_json, 0, "not valid JSON", 0),
    "empty_file": Accident(empty_file, 0, "is empty", 0),
    "deep_json": Accident(deep_json, 0, "not valid JSON", 0),
    "a_zip_archive": Accident(a_zip_archive, 0, "zip archive, not a notebook", 0),
    "json_of_something_else": Accident(json_of_something_else, 0, "has no cells", 0),
    "two_hundred_megabytes": Accident(two_hundred_megabytes, 0, "has 200 MB, more than 64", 0),
    "no_notebook": Accident(no_notebook, 0, "no .ipynb file", 0),
    "link_to_another_submission": Accident(link_to_another_submission, 0, "links are not followed", 0),
    "not_utf8": Accident(not_utf8, 8, "not saved as UTF-8"),
    "huge_outputs": Accident(huge_outputs, 8, ""),
    "nbformat_3": Accident(nbformat_3, 8, "old format"),
    "deleted_tests": Accident(deleted_tests, 8, "test `double` was missing: it was put back"),
    "deleted_answer": Accident(deleted_answer, 3, "answer `double-answer` was missing"),
    "deleted_written_answer": Accident(deleted_written_answer, 8, "answer `q1` was missing", 0),
    "copied_cells": Accident(copied_cells, 8, "`double-answer` was there 2 times"),
    "copied_empty_answer": Accident(copied_empty_answer, 8, "the last one with an answer counts"),
    "reordered": Accident(reordered, 8, "run after the answers: `double`, `halve`"),
    "changed_ids": Accident(changed_ids, 8, "lost their labels"),
    "emptied_metadata": Accident(emptied_metadata, 8, "lost their labels"),
    "grade_false": Accident(grade_false, 8, "had been edited: the originals were used for `double`"),
    "more_points": Accident(more_points, 5, "had been edited: the originals were used for `halve`"),
    "nonsense_in_metadata": Accident(nonsense_in_metadata, 8, "lost their labels"),
    "code_as_text": Accident(code_as_text, 8, "it was made code again"),
    "wrong_kernel": Accident(wrong_kernel, 8, "asks for the kernel `julia-1.9`"),
    "renamed_file": Accident(renamed_file, 8, "graded all the same"),
    "two_notebooks": Accident(two_notebooks, 8, "2 notebooks"),
    "data_through_a_link": Accident(data_through_a_link, 8, "`gradebook.db` is a link"),
    "one_long_line": Accident(one_long_line, 8, ""),
}
