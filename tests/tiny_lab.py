"""A clone with one tiny lecture and one tiny lab, on which the pipeline itself is tested in seconds."""

import json
import shutil
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]

LECTURE = """# %% [markdown] tags=["badge"]
# to be written

# %% tags=["setup"]
# to be written

# %% tags=["parameters"]
PROFILE = "fast"
DATASET = "shapes"

# %% [markdown]
# # Week 1 · two and two

# %%
from pathlib import Path

import nbformat

Path("left_behind.txt").write_text("a notebook writes where it runs")
print(PROFILE, DATASET)

# %% tags=["headline"]
print("first line")
print(f"sum {2 + 2}")
"""


def graded(grade_id: str, points: int | None, *, written: bool = False) -> str:
    """The nbgrader metadata of an answer cell (no points), a test or a written question."""
    metadata = {
        "grade": points is not None,
        "grade_id": grade_id,
        "locked": points is not None and not written,
        "schema_version": 3,
        "solution": points is None or written,
        "task": False,
    }
    return "nbgrader=" + json.dumps(metadata | ({} if points is None else {"points": points}))


LAB = f'''# %% [markdown] tags=["badge"]
#

# %% tags=["setup"]
#

# %% [markdown]
# # Lab 1: double and halve

# %% {graded("double-answer", None)}
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    secret_of_the_solution = 2
    return secret_of_the_solution * x
    ### END SOLUTION

# %%
double(2)  # expected: 4

# %% {graded("double", 5)}
import os, sys

if os.environ.get("NBGRADER_EXECUTION") == "autograde":
    print("a warning", file=sys.stderr)
assert double(3) == 6, "double(3) should be 6"

# %% {graded("halve-answer", None)}
def halve(x):
    """Half of x."""
    ### BEGIN SOLUTION
    return x / 2
    ### END SOLUTION

# %% {graded("halve", 3)}
assert halve(3) == 1.5, "halve(3) should be 1.5"

# %% [markdown] {graded("q1", 2, written=True)}
# Why is halving the inverse of doubling?
#
# ### BEGIN SOLUTION
# The model answer.
#
# Rubric: 2 points for anything.
# ### END SOLUTION
'''


def make_clone(root: Path, lab: str = LAB) -> Path:
    """Write the tiny course into the folder `root`; only its usual lab has asserts of its own."""
    (root / "notebooks").mkdir(parents=True)
    (root / "notebooks" / "week1_tiny.py").write_text(LECTURE)
    source = root / "solutions" / "lab1_tiny" / "lab1_tiny.py"
    source.parent.mkdir(parents=True)
    source.write_text(lab)
    for name in ("nbgrader_config.py", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    if lab is LAB:
        with (root / "nbgrader_config.py").open("a") as config:
            config.write("c.ExecuteLab.own_tests = True  # its graded cells are plain asserts\n")
    return root


def hand_in(solution: Path, answers: dict[str, str]) -> str:
    """The solution's notebook with the cells of these grade ids replaced, as .ipynb text."""
    notebook = nbformat.read(solution, as_version=4)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = answers.get(name, cell.source)
    return nbformat.writes(notebook)


SAMPLES = {
    "right": """# ---
# expect: {score: 10}
# ---

# %% answer="double"
def double(x):
    return x + x
""",
    "wrong": """# ---
# expect: {score: 5, says: "double(3) should be 6"}
# ---

# %% answer="double"
def double(x):
    return x
""",
}


def add_samples(root: Path) -> None:
    """Give the tiny lab its sample submissions."""
    folder = root / "tests" / "samples" / "lab1_tiny"
    folder.mkdir(parents=True)
    for name, text in SAMPLES.items():
        (folder / f"{name}.py").write_text(text)
