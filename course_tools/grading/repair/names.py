"""What a piece of code defines, and whether two pieces are the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

_MAGIC = re.compile(r"^\s*[%!?]")
_DEFINES = re.compile(r"^(?:async +)?(?:def|class) +(\w+)|^(\w+) *=[^=]", re.M)


def same(one: str, other: str) -> bool:
    """Equal up to white space at the ends of lines and empty lines."""
    return _lines(one) == _lines(other)


def bound(sources: Iterable[str]) -> set[str]:
    """The names that these cells define at their top level: functions, classes, imports, variables."""
    return {name for source in sources for name in _bound(source)}


def defined(source: str) -> set[str]:
    """The functions and classes that a cell defines at its top level."""
    tree = _parse(source)
    if tree is None:
        return {match[1] for match in _DEFINES.finditer(source) if match[1]}
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def _lines(source: str) -> list[str]:
    return [line.rstrip() for line in source.strip().splitlines() if line.strip()]


def _parse(source: str) -> ast.Module | None:
    lines = ("pass" if _MAGIC.match(line) else line for line in source.splitlines())
    try:
        return ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _bound(source: str) -> Iterator[str]:
    tree = _parse(source)
    if tree is None:
        yield from (match[1] or match[2] for match in _DEFINES.finditer(source))
        return
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (each for target in targets for each in ast.walk(target))
            yield from (each.id for each in names if isinstance(each, ast.Name))
