"""The masked course_lib: what a lab asks for is gone from it, and the rest is as it was."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import course_lib
from course_lib.exercises import WEEKS
from course_tools.grading import mask

WITHHELD = {number: frozenset(exercise.name for exercise in week) for number, week in WEEKS.items()}


@pytest.fixture(scope="module", params=WEEKS)
def week(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def library(week: int, cache: Path) -> Path:
    return mask.build(WITHHELD[week], cache)


def run_in(library: Path, code: str, folder: Path) -> dict[str, str]:
    """Run code that fills `found`, with the masked package and no other."""
    program = f"import json\nfound = {{}}\n{code}\nprint(json.dumps(found))"
    environment = {**os.environ, "PYTHONPATH": str(library)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


IMPORT_ALL = """
import importlib, pkgutil, course_lib
for module in pkgutil.walk_packages(course_lib.__path__, "course_lib."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
        found[module.name] = ""
    except BaseException as error:
        found[module.name] = repr(error)
found["course_lib"] = course_lib.__file__
"""


def test_all_its_modules_can_be_imported(library: Path, tmp_path: Path) -> None:
    found = run_in(library, IMPORT_ALL, tmp_path)
    assert found.pop("course_lib") == str(library / "course_lib" / "__init__.py")
    assert len(found) > 100
    assert {name: error for name, error in found.items() if error} == {}


CALL = """
import importlib, inspect
from course_lib._withheld import ITEMS, ReferenceWithheld
for full in ITEMS:
    module, _, name = full.split(".<locals>")[0].rpartition(".")
    function = getattr(importlib.import_module(module), name)
    parameters = inspect.signature(function).parameters.values()
    needed = [each for each in parameters if each.default is each.empty]
    keywords = {each.name: None for each in needed if each.kind is each.KEYWORD_ONLY}
    try:
        function(*[None] * (len(needed) - len(keywords)), **keywords)
    except ReferenceWithheld as error:
        found[full] = str(error)
"""


def test_no_reference_can_be_called(library: Path, tmp_path: Path) -> None:
    found = run_in(library, CALL, tmp_path)
    assert set(found) == set(mask.references(json_items(library)))
    assert all("it calls course_lib's own" in error for error in found.values())


def json_items(library: Path) -> list[str]:
    """The items that a masked library was made for."""
    tree = ast.parse((library / "course_lib" / "_withheld.py").read_text())
    table = next(s for s in tree.body if isinstance(s, ast.Assign))
    return [item for items in ast.literal_eval(table.value).values() for item in items]


def test_no_body_of_a_withheld_function_is_left_in_any_file(library: Path, week: int) -> None:
    prefixes = mask.withheld_modules(WITHHELD[week])
    seen = 0
    for path in (library / "course_lib").rglob("*.py"):
        parts = path.relative_to(library).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        if module in mask.CLIENT or not any(f"{module}.".startswith(f"{prefix}.") for prefix in prefixes):
            continue
        tree = ast.parse(path.read_text())
        handed_out = mask.training_classes(module)
        tree.body = [node for node in tree.body if getattr(node, "name", "") not in handed_out]
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                assert [ast.unparse(each).split("(")[0] for each in body] == ["_withheld"], (path, node.name)
                seen += 1
            if isinstance(node, ast.Lambda):
                assert ast.unparse(node.body).startswith("_withheld("), (path, node.lineno)
    assert seen > 100


def test_only_what_a_training_loop_is_handed_stays_whole() -> None:
    kept = {name for week in mask.EXERCISES for name in mask.training_classes(f"{week}.encoder")}
    assert kept >= {"PairWatch", "EncoderTraining", "MomentumWatch", "MomentumTraining"}
    assert "SimCLR" not in kept
    assert mask.training_classes("course_lib.methods.simclr") == ()
    kept_whole = mask.masked(SOURCE, "course_lib.exercises.week1.thing", mask.EXERCISES, ["Thing"])
    assert "self.size ** 2" in kept_whole
    assert "the answer" not in kept_whole


TRAIN = """
from importlib import import_module
from course_lib.check.training import observe

for module, name in (("week1.encoder", "EncoderTraining"), ("week2.encoder", "MomentumTraining")):
    kind = getattr(import_module(f"course_lib.exercises.{module}"), name)
    exercise = kind(name, None, (), 0.1, count=64, epochs=1, batch_size=32)
    trace, network = observe(exercise, lambda network, *rest, **options: network, seed=0, device="cpu")
    found[name] = f"{trace.error}{type(network).__name__} {trace.notes.returned_moved}"
"""


def test_a_training_loop_is_handed_what_it_needs(library: Path, tmp_path: Path) -> None:
    found = run_in(library, TRAIN, tmp_path)
    assert found == {"EncoderTraining": "SmallConvNet False", "MomentumTraining": "Sequential True"}


def test_what_is_not_withheld_is_the_same_text(library: Path, week: int) -> None:
    package = Path(course_lib.__file__).parent
    same = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if path.read_bytes() == (library / "course_lib" / path.relative_to(package)).read_bytes()
    }
    assert {"data", "augment", "models", "train", "evaluate", "show", "exercises", "check"} <= same


USE = """
import inspect, torch
from course_lib import data, evaluate, show
from course_lib.augment import SimCLRAugment
from course_lib.losses import nt_xent_loss
from course_lib.methods import SimCLR
from course_lib.models import SmallConvNet, mlp

world = data.load("shapes", "train", count=64, seed=0)
views = SimCLRAugment(32)(world.images)
found["features"] = str(tuple(evaluate.features(SmallConvNet(4), world.images).shape))
found["views"] = str(tuple(views.shape))
found["docstring"] = inspect.getdoc(nt_xent_loss).split(".")[0]
found["signature"] = str(inspect.signature(nt_xent_loss))
found["source"] = inspect.getsource(nt_xent_loss)
calls = {"loss": lambda: nt_xent_loss(views, views), "method": lambda: SimCLR(SmallConvNet(4))}
for name, call in calls.items():
    try:
        call()
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"
"""


def test_week_one_keeps_what_its_ungraded_cells_use(cache: Path, tmp_path: Path) -> None:
    found = run_in(mask.build(WITHHELD[1], cache), USE, tmp_path)
    assert found["features"] == "(64, 32)"
    assert found["views"] == "(64, 3, 32, 32)"
    assert found["docstring"].startswith("Normalised-temperature cross-entropy")
    assert "z1: 'Tensor', z2: 'Tensor', *, temperature" in found["signature"]
    assert "logsumexp" not in found["source"]
    assert found["loss"] == (
        "ReferenceWithheld: it calls course_lib's own nt_xent_loss, which the items"
        " nt_xent_loss, nt_xent_naive, nt_xent_vectorised ask you to write."
    )
    assert found["method"] == (
        "ReferenceWithheld: it calls course_lib's own SimCLR,"
        " which is not available while this lab is graded."
    )


def test_it_is_made_once_and_again_when_the_items_differ(cache: Path) -> None:
    first = mask.build(WITHHELD[1], cache)
    stamp = (first / "course_lib" / "_withheld.py").stat().st_mtime_ns
    assert mask.build(WITHHELD[1], cache) == first
    assert (first / "course_lib" / "_withheld.py").stat().st_mtime_ns == stamp
    assert mask.build(frozenset({"n_pair_loss"}), cache) != first
    assert all(folder.name.isalnum() for folder in cache.iterdir()), "nothing unfinished is left"


def test_what_was_not_used_for_a_month_is_removed(tmp_path: Path) -> None:
    old = mask.build(WITHHELD[1], tmp_path)
    os.utime(old, (0, 0))
    new = mask.build(frozenset({"n_pair_loss"}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [new.name]


SOURCE = '''"""A module."""
from __future__ import annotations
import functools
TABLE = {"a": lambda x, y=1: x + y}

@functools.lru_cache(maxsize=None)
def helper(x: int, *, y: int = 2) -> int:
    """Doubles."""
    return x * y  # the answer

class Thing:
    size = 3

    @property
    def area(self) -> int:
        return self.size ** 2

    @staticmethod
    async def later(f=lambda: 5):
        def inner():
            return 7
        return inner()
'''


def test_a_module_keeps_names_signatures_and_docstrings_and_loses_the_rest() -> None:
    text = mask.masked(SOURCE, "course_lib.losses.thing", ("course_lib.losses",))
    for gone in ("x + y", "x * y", "** 2", "the answer", "return", "lru_cache(", "5", "7"):
        assert gone not in text
    for kept in (
        '"""A module."""',
        "Doubles.",
        "def helper(x: int, *, y: int=2) -> int:",
        "@property",
        "size = 3",
    ):
        assert kept in text
    assert "_withheld('course_lib.losses.thing.Thing.area')" in text
    compile(text, "thing", "exec")
    assert mask.masked(SOURCE, "course_lib.lossesx", ("course_lib.losses",)) == SOURCE


def test_an_exercise_keeps_no_values() -> None:
    source = "import math\nA, B = 1, math.pi\nfor x in (1, 2):\n    print(x)\nEXERCISES: tuple = (A, B)\n"
    text = mask.masked(source, "course_lib.exercises.week1.thing", mask.EXERCISES)
    assert text.splitlines()[1:] == ["import math", "A = B = None", "pass", "EXERCISES = ()"]


def test_every_week_says_what_it_withholds() -> None:
    for number in WEEKS:
        names = set(mask.withheld_modules(WITHHELD[number]))
        assert {"course_lib.check", f"course_lib.exercises.week{number}"} <= names
    assert {"course_lib.losses", "course_lib.methods"} <= set(mask.withheld_modules(WITHHELD[1]))
