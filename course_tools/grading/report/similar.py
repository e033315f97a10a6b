"""Pairs of submissions that are nearly the same program, for a person to judge.

Compared is the structure of the code, not its text: names, comments, strings, annotations and layout do not
matter. What the release or the solution contains says nothing, nor does what many in the class wrote: an
obvious answer looks the same whoever writes it. Only what is left, and only if there is enough of it, counts.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

_LENGTH = 6  # nodes in a row that are compared as one piece
MIN_SHARED = 40  # pieces that only few have: about eight lines that nobody else wrote
MIN_SHARE = 0.8  # of the shorter one's pieces
COMMON = 0.1  # of the class: what more have written is common
FEW = 4  # but what this many have written is never common


@dataclass(frozen=True)
class Pair:
    """Two students whose answers to an item are nearly the same program.

    Attributes:
        share: of the shorter answer's uncommon pieces that the other has too.
        shared: how many pieces that is.
    """

    item: str
    students: tuple[str, str]
    share: float
    shared: int


def similar_pairs(answers: Mapping[str, Mapping[str, str]], known: Mapping[str, Iterable[str]]) -> list[Pair]:
    """All pairs above the threshold, the most alike first.

    Args:
        answers: item -> student -> source of the answer.
        known: item -> sources that everybody has or could have: release, solution.
    """
    pairs = [pair for item, own in answers.items() for pair in _pairs(item, own, known.get(item, ()))]
    return sorted(pairs, key=lambda pair: (-pair.share * pair.shared, pair.item, pair.students))


def _pairs(item: str, answers: Mapping[str, str], known: Iterable[str]) -> Iterator[Pair]:
    pieces = {student: set(_pieces(source)) for student, source in answers.items()}
    everybodys = {piece for source in known for piece in _pieces(source)}
    count = Counter(piece for own in pieces.values() for piece in own)
    limit = max(FEW, COMMON * len(pieces))
    rare = {
        student: {piece for piece in own if count[piece] <= limit and piece not in everybodys}
        for student, own in pieces.items()
    }
    owners: dict[int, list[str]] = defaultdict(list)
    for student in sorted(rare):
        for piece in rare[student]:
            owners[piece].append(student)
    shared = Counter(pair for those in owners.values() for pair in combinations(those, 2))
    for students, number in shared.items():
        share = number / min(len(rare[student]) for student in students)
        if number >= MIN_SHARED and share >= MIN_SHARE:
            yield Pair(item, students, share, number)


def _pieces(source: str) -> Iterator[int]:
    """Hashes of all runs of `_LENGTH` nodes of the program."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    nodes = list(_nodes(tree, _bound(tree)))
    for start in range(len(nodes) - _LENGTH + 1):
        yield hash(tuple(nodes[start : start + _LENGTH]))


def _bound(tree: ast.AST) -> set[str]:
    """Names that the program itself gives: those may differ. Names it finds, such as torch, may not."""
    names = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    return names | {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def _nodes(tree: ast.AST, bound: set[str]) -> Iterator[str]:
    """The program's nodes in the order of reading, each as a word."""
    waiting = [tree]  # no recursion: `1 + 1 + ...` is as deep as it is long
    while waiting:
        node = waiting.pop()
        if not _says_nothing(node):
            yield _word(node, bound)
            waiting += reversed(list(_children(node)))


def _says_nothing(node: ast.AST) -> bool:
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return docstring or isinstance(node, ast.Import | ast.ImportFrom | ast.Load | ast.Store | ast.arguments)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "type_comment", "decorator_list"):
            children = value if isinstance(value, list) else [value]
            yield from (child for child in children if isinstance(child, ast.AST))


def _word(node: ast.AST, bound: set[str]) -> str:
    kind = type(node).__name__
    if isinstance(node, ast.Name):
        return "own" if node.id in bound else node.id
    if isinstance(node, ast.Attribute):
        return f".{node.attr}"
    if isinstance(node, ast.Constant):
        value = node.value  # Python refuses to write out a number of thousands of digits
        return kind if isinstance(value, str) else f"{type(value).__name__} {hash(value)}"
    return f"{node.arg}=" if isinstance(node, ast.keyword) else kind
