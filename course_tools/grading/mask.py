"""No borrowing: a copy of this package in which what a lab asks for cannot be called, read or looked up.

A kernel that is being graded imports this copy. In the modules that are withheld every function keeps its
name, signature and docstring, and its body only says that it is withheld; the originals are in no file of
the copy. Withheld are the modules in which the references of the lab's items are defined, what the lab's week
lists as WITHHELD, all exercises (they hold the usual mistakes and the inputs), and the code that judges.
Kept whole is what a training exercise hands out and notes: the kernel itself must do that.
"""

from __future__ import annotations

import ast
import compileall
import hashlib
import inspect
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import course_lib
from course_lib.exercises import WEEKS, get
from course_lib.exercises.training import TrainingExercise, Watch

PACKAGE = Path(course_lib.__file__).resolve().parent
EXERCISES = tuple(f"course_lib.exercises.week{number}" for number in WEEKS)
JUDGES = ("course_lib.check",)
# Of the judges' package, what a kernel needs to take the referee's questions.
CLIENT = tuple(
    f"course_lib.check{module}"
    for module in ("", ".examine", ".answers", ".training", ".trying", ".client", ".protocol")
)
SECONDS_KEPT = 30 * 24 * 3600
_KEPT_DECORATORS = {"property", "staticmethod", "classmethod", "overload", "abstractmethod", "setter"}

_WITHHELD = '''"""Why a function of this package cannot be called while a lab is graded."""

ITEMS = {items!r}


class ReferenceWithheld(Exception):
    """A function was called that is withheld while a lab is graded."""


def withheld(function):
    """Say so instead of doing what the function does.

    Raises:
        ReferenceWithheld: always.
    """
    name = function.removesuffix(".__init__").rsplit(".", 1)[-1]
    asked = ITEMS.get(function, ())
    why = "is not available while this lab is graded"
    if asked:
        which = f"item {{asked[0]}} asks" if len(asked) == 1 else f"items {{', '.join(asked)}} ask"
        why = f"the {{which}} you to write"
    raise ReferenceWithheld(f"it calls course_lib's own {{name}}, which {{why}}.")
'''


@lru_cache(maxsize=16)
def library(items: frozenset[str]) -> Path:
    """A folder with a course_lib masked for a lab with these items; made once, kept in the user's cache."""
    return build(items, _cache())


def build(items: frozenset[str], cache: Path) -> Path:
    """Make the masked package for these items in a folder of its own in `cache`, unless it is there."""
    sources = {path: path.read_bytes() for path in sorted(PACKAGE.rglob("*")) if _belongs(path)}
    digest = hashlib.sha256(repr(sorted(items)).encode())
    for path, content in sources.items():
        digest.update(f"{path.relative_to(PACKAGE)} {len(content)} ".encode() + content)
    folder = cache / digest.hexdigest()[:24]
    if folder.is_dir():
        os.utime(folder)
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    for old in cache.iterdir():
        if time.time() - old.stat().st_mtime > SECONDS_KEPT:
            shutil.rmtree(old, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(dir=cache))
    unfinished.chmod(0o755)  # a jailed kernel reads it as another user
    prefixes = withheld_modules(items)
    for path, content in sources.items():
        target = unfinished / "course_lib" / path.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".py":
            module = _module(path)
            content = masked(content.decode(), module, prefixes, training_classes(module)).encode()
        target.write_bytes(content)
    text = _WITHHELD.format(items=references(items))
    (unfinished / "course_lib" / "_withheld.py").write_text(text, encoding="utf-8")
    compileall.compile_dir(unfinished, quiet=2)
    try:
        os.rename(unfinished, folder)
    except OSError:  # another process was quicker
        shutil.rmtree(unfinished)
    return folder


def withheld_modules(items: Iterable[str]) -> tuple[str, ...]:
    """The modules and packages that are withheld in a lab with these items."""
    items = set(items)
    weeks = [number for number, week in WEEKS.items() if any(exercise.name in items for exercise in week)]
    listed = [
        name for number in weeks for name in import_module(f"course_lib.exercises.week{number}").WITHHELD
    ]
    return tuple(sorted({*listed, *map(_defined_in, items), *EXERCISES, *JUDGES}))


def references(items: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Full name of a reference -> the items that ask for it."""
    found: dict[str, list[str]] = {}
    for name in sorted(items):
        function = _function(name)
        found.setdefault(f"{function.__module__}.{function.__qualname__}", []).append(name)
    return {function: tuple(names) for function, names in found.items()}


def training_classes(module: str) -> tuple[str, ...]:
    """The names of the classes in an exercise's module that say what a training loop is handed."""
    if not any(_within(module, prefix) for prefix in EXERCISES):
        return ()
    return tuple(
        name
        for name, found in vars(import_module(module)).items()
        if isinstance(found, type) and issubclass(found, TrainingExercise | Watch)
    )


def masked(source: str, module: str, prefixes: Iterable[str], kept: Iterable[str] = ()) -> str:
    """The source of a module as the copy has it; the classes in `kept` stay whole."""
    if module in CLIENT or not any(_within(module, prefix) for prefix in prefixes):
        return source
    tree = _Withhold(module, kept).visit(ast.parse(source))
    if any(_within(module, prefix) for prefix in EXERCISES):
        tree.body = [_without_value(statement) for statement in tree.body]
    first = next((i for i, statement in enumerate(tree.body) if not _is_head(statement)), len(tree.body))
    tree.body.insert(first, ast.parse("from course_lib._withheld import withheld as _withheld").body[0])
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


class _Withhold(ast.NodeTransformer):
    """Takes the bodies out of all functions and lambdas, but for those in the classes that are `kept`."""

    def __init__(self, module: str, kept: Iterable[str]) -> None:
        self.name, self.kept = module, frozenset(kept)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if node.name in self.kept:
            return node
        outer, self.name = self.name, f"{self.name}.{node.name}"
        self.generic_visit(node)
        self.name = outer
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        docstring = [node.body[0]] if ast.get_docstring(node) is not None else []
        node.body = [*docstring, ast.Expr(self._call(node.name))]
        node.decorator_list = [each for each in node.decorator_list if _last_name(each) in _KEPT_DECORATORS]
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.visit_FunctionDef(node)  # type: ignore[arg-type]

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        node.body = self._call("<lambda>")
        return node

    def _call(self, name: str) -> ast.expr:
        return ast.Call(ast.Name("_withheld", ast.Load()), [ast.Constant(f"{self.name}.{name}")], [])


def _without_value(statement: ast.stmt) -> ast.stmt:
    """Of an exercise's module: imports, functions and classes as they are, names without their values."""
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
        empty = "()" if names == ["EXERCISES"] else "None"
        return ast.parse(" = ".join([*names, empty])).body[0]
    kept = isinstance(statement, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
    return statement if kept or _is_head(statement) else ast.Pass()


def _is_head(statement: ast.stmt) -> bool:
    """A docstring, or an import from __future__."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _last_name(decorator: ast.expr) -> str:
    return ast.unparse(decorator).split("(")[0].rsplit(".", 1)[-1]


def _within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")


def _function(item: str) -> Any:
    """An item's reference, out of its wrappers."""
    function: Any = get(item).reference
    while isinstance(function, partial):
        function = function.func
    return inspect.unwrap(function)


def _defined_in(item: str) -> str:
    return str(_function(item).__module__)


def _module(path: Path) -> str:
    parts = ("course_lib", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _belongs(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "ssl-vision-course" / "masked"
