"""From the bytes of a file to the cells of a notebook, whatever its format, encoding and schema errors."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 64 * 2**20  # a notebook with its outputs is some MB; parsing takes about five times its size
MAX_CELLS = 2000

_NOT_NOTEBOOKS = {
    b"PK\x03\x04": "a zip archive",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"<": "a web page",
}
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Unreadable(ValueError):
    """The file holds no notebook; the message is a sentence for the student."""


@dataclass(frozen=True)
class Read:
    """What is kept of a notebook file: cells without outputs, the kernel it names, remarks for the student.

    Of a cell its type, source, attachments and nbgrader metadata are kept: nothing else of a submission is
    looked at when it is graded, so nothing else of it can be broken.
    """

    cells: list[Any]
    kernel: str
    remarks: list[str]


def read_notebook(raw: bytes) -> Read:
    """The notebook in the bytes of a file.

    Raises:
        Unreadable: it is too large, not JSON, or JSON but not a notebook.
    """
    if len(raw) > MAX_BYTES:
        raise Unreadable(too_large(len(raw)))
    text, remarks = _decode(raw)
    content = _parse(text)
    if "worksheets" in content:
        remarks.append("Your notebook was saved in an old format (nbformat 3): it was converted.")
    cells = [cell for number, each in enumerate(_raw_cells(content)) if (cell := _cell(each, number))]
    if len(cells) > MAX_CELLS:
        remarks.append(f"Your notebook has {len(cells)} cells: only the first {MAX_CELLS} were looked at.")
    return Read(cells[:MAX_CELLS], _kernel(content.get("metadata")), remarks)


def too_large(size: int) -> str:
    """The sentence for a file of so many bytes."""
    most = MAX_BYTES // 2**20
    return f"Your notebook has {size // 2**20} MB, more than {most}: clear its outputs and hand it in again."


def _kernel(metadata: object) -> str:
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    name = spec.get("name") if isinstance(spec, dict) else None
    return name[:40] if isinstance(name, str) else ""


def _decode(raw: bytes) -> tuple[str, list[str]]:
    for bom, encoding in _BOMS.items():
        if raw.startswith(bom):
            return raw.decode(encoding, errors="replace"), []
    try:
        return raw.decode("utf-8"), []
    except UnicodeDecodeError:
        remark = "Your file is not saved as UTF-8; it was read as Western European (cp1252) text."
        return raw.decode("cp1252", errors="replace"), [remark]


def _parse(text: str) -> dict[str, Any]:
    if not text.strip():
        raise Unreadable("Your file is empty: save the notebook and hand it in again.")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        head = text.lstrip("\ufeff \r\n\t").encode()
        kind = next((kind for start, kind in _NOT_NOTEBOOKS.items() if head.startswith(start)), "")
        if kind:
            raise Unreadable(f"Your file is {kind}, not a notebook: hand in the .ipynb file.") from None
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise Unreadable(
            f"Your file is damaged: it is not valid JSON{where}. Was it cut off, or edited as text? "
            "Open it in Jupyter, and hand it in again if it opens."
        ) from None
    if not isinstance(content, dict) or not any(
        isinstance(content.get(k), list) for k in ("cells", "worksheets")
    ):
        raise Unreadable("Your file is JSON but not a notebook: it has no cells. Hand in the .ipynb file.")
    return content


def _raw_cells(content: dict[str, Any]) -> Iterator[Any]:
    """Cells as they stand; nbformat 3 keeps them in worksheets, headings apart and code under `input`."""
    if isinstance(content.get("cells"), list):
        yield from content["cells"]
        return
    for sheet in content["worksheets"]:
        for cell in sheet.get("cells") or [] if isinstance(sheet, dict) else []:
            if isinstance(cell, dict) and cell.get("cell_type") == "heading":
                cell = {**cell, "cell_type": "markdown", "source": f"# {_text(cell.get('source'))}"}
            elif isinstance(cell, dict) and "source" not in cell:
                cell = {**cell, "source": cell.get("input")}
            yield cell


def _cell(raw: Any, number: int) -> Any:
    """A valid cell with a new id, or None for what is no cell."""
    from nbformat import v4

    if not isinstance(raw, dict):
        return None
    new = {"code": v4.new_code_cell, "markdown": v4.new_markdown_cell, "raw": v4.new_raw_cell}
    kind = raw.get("cell_type")
    if kind not in new:
        return None
    cell = new[kind](_text(raw.get("source")), id=f"cell-{number}")
    metadata = raw.get("metadata")
    own = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    if isinstance(own, dict) and isinstance(own.get("grade_id"), str):
        scalars = {key: value for key, value in own.items() if isinstance(value, str | bool | int | float)}
        cell.metadata["nbgrader"] = scalars
    if kind == "markdown" and (attachments := _attachments(raw.get("attachments"))):
        cell["attachments"] = attachments
    return cell


def _text(source: object) -> str:
    parts = source if isinstance(source, list) else [source]
    text = "".join(part for part in parts if isinstance(part, str))
    return text.encode("utf-8", errors="replace").decode("utf-8")  # a lone surrogate could not be written


def _attachments(attachments: object) -> dict[str, dict[str, str]]:
    """Name -> kind -> data; a drawing's data may be a list of lines, as a cell's text."""
    bundles = attachments.items() if isinstance(attachments, dict) else ()
    return {
        name: {kind: _text(data) for kind, data in bundle.items()}
        for name, bundle in bundles
        if isinstance(bundle, dict)
    }
