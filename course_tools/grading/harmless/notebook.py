"""A notebook of which only what is known to be harmless is kept, cell by cell and output by output.

A student's kernel writes more of a notebook than its outputs: the numbers in the prompts, the language's
name, the sizes of pictures. Templates put each of them into a page, so each is kept only in a known form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nbformat import from_dict
from nbformat.v4 import new_output
from nbgrader.preprocessors import NbGraderPreprocessor

from course_tools.grading.harmless.page import harmless_html
from course_tools.grading.harmless.text import as_it_stands, harmless_text

_PICTURES = ("image/png", "image/jpeg")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_LABEL = re.compile(r"[\w .+()/-]*")
_GRADE_ID = re.compile(r"[^\s<>\"'&]+")


class Harmless(NbGraderPreprocessor):
    """Makes notebooks safe to look at before they are executed (named in nbgrader_config.py).

    What the first of Autograde's two lists makes lies in autograded/, in formgrader's reach, while the
    notebook is executed, and after a grader that was killed meanwhile. ExecuteLab does the same at its end.
    """

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        return make_harmless(nb), resources


def make_harmless(notebook: Any) -> Any:
    """Change a notebook so that no page made of it runs anything; twice is the same as once.

    Code stays, Markdown stays where its page is harmless (see `text`). Of outputs stay text, errors, PNG and
    JPEG, and HTML if it is harmless (see `page`); of metadata what grading needs.
    """
    notebook.metadata = from_dict(_labels(notebook.metadata))
    taken = frozenset(_ids_of_fields(notebook.cells))
    for cell in notebook.cells:
        cell.metadata = from_dict(_cell_metadata(cell.metadata))
        if cell.cell_type == "code":
            cell.execution_count = _whole(cell.get("execution_count"))
            cell.outputs = known_outputs(cell.get("outputs", []), taken)
        else:
            _write(cell, taken)
    return notebook


def known_outputs(outputs: list[Any], taken: frozenset[str] = frozenset()) -> list[Any]:
    """What is of a known form in the outputs of a code cell, and is harmless."""
    return [kept for output in outputs if (kept := _output(output, taken))]


def _write(cell: Any, taken: frozenset[str]) -> None:
    """Of a cell that is no code: its text. A raw cell would go into the page as it is."""
    source, attachments = _text(cell.source), _attachments(_mapping(cell.pop("attachments", None)))
    if cell.cell_type == "markdown":
        cell.source = harmless_text(source, attachments, taken)
    else:
        cell.cell_type, cell.source = "markdown", as_it_stands(source)
    if attachments:
        cell.attachments = attachments


def _attachments(attachments: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    pictures = {name: _pictures(_mapping(bundle)) for name, bundle in attachments.items()}
    return {name: bundle for name, bundle in pictures.items() if bundle}


def _pictures(bundle: Mapping[str, Any]) -> dict[str, str]:
    return {kind: bundle[kind] for kind in _PICTURES if kind in bundle and _matches(_BASE64, bundle[kind])}


def _output(output: Any, taken: frozenset[str]) -> Any:
    """An output of which only known parts are kept, or None for one of an unknown kind."""
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return new_output("stream", name=name, text=_text(output.get("text")))
    if kind == "error":
        lines = [_text(line) for line in _list(output.get("traceback"))]
        said = {"ename": _text(output.get("ename")), "evalue": _text(output.get("evalue"))}
        return new_output("error", **said, traceback=lines)
    if kind not in ("display_data", "execute_result"):
        return None
    count = {"execution_count": _whole(output.get("execution_count"))} if kind == "execute_result" else {}
    data, metadata = _mapping(output.get("data")), _mapping(output.get("metadata"))
    return new_output(kind, _data(data, taken), metadata=_sizes(metadata), **count)


def _data(data: Mapping[str, Any], taken: frozenset[str]) -> dict[str, str]:
    kept = _pictures(data)
    if "text/plain" in data:
        kept["text/plain"] = _text(data["text/plain"])
    if html := harmless_html(_text(data.get("text/html")), taken):
        kept["text/html"] = html
    if not kept:
        kept["text/plain"] = f"[an output that is not kept: {', '.join(sorted(data))}]"
    return kept


def _sizes(metadata: Mapping[str, Any]) -> dict[str, dict[str, int | float]]:
    """Width and height of pictures; the template writes them unquoted."""
    sizes = {}
    for kind in _PICTURES:
        own = _mapping(metadata.get(kind))
        sizes[kind] = {key: own[key] for key in ("width", "height") if type(own.get(key)) in (int, float)}
    return {kind: size for kind, size in sizes.items() if size}


def _cell_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: metadata[key] for key in ("deletable", "editable") if isinstance(metadata.get(key), bool)}
    if _matches(_GRADE_ID, _mapping(metadata.get("nbgrader")).get("grade_id")):
        kept["nbgrader"] = metadata["nbgrader"]
    if tags := [tag for tag in _list(metadata.get("tags")) if _matches(_LABEL, tag)]:
        kept["tags"] = tags
    return kept


def _labels(metadata: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The kernel and the language; not the state of widgets, which is a page of its own."""
    needed = {"kernelspec": {"name", "display_name"}, "language_info": {"name"}}
    kept = {}
    for part, names in needed.items():
        own = _mapping(metadata.get(part))
        labels = {key: value for key, value in own.items() if _matches(_LABEL, value)}
        if names <= labels.keys():
            kept[part] = labels
    return kept


def _ids_of_fields(cells: list[Any]) -> list[str]:
    """The ids that formgrader gives to its fields for marks and comments."""
    names = [_mapping(cell.metadata.get("nbgrader")).get("grade_id") for cell in cells]
    return [f"{name}{suffix}" for name in names if name for suffix in ("", "_extra_credit", "-comment")]


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _whole(value: object) -> int | None:
    return value if type(value) is int else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: object) -> str:
    return "".join(part for part in _list(value) if isinstance(part, str))
