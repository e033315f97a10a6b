"""The files that must agree with each other, and what an import may cost."""

import ast
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {
        canonicalize_name(name): version
        for name, version in (line.split("==") for line in lines if line and not line.startswith("#"))
    }


def declared() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(line) for group in (PROJECT["dependencies"], *extras) for line in group]


@pytest.mark.parametrize("requirement", declared(), ids=lambda r: r.name)
def test_every_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    pinned = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pinned)


def test_conda_environment_takes_everything_from_pyproject_and_constraints() -> None:
    text = (ROOT / "environment.yml").read_text()
    assert f"name: {PROJECT['name']}" in text
    assert "--constraint constraints.txt" in text
    extras = re.search(r"--editable \.\[(.*)\]", text).group(1).split(",")
    assert set(extras) == set(PROJECT["optional-dependencies"])
    python = re.search(r"python=(\S+)", text).group(1)
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)
    assert f"Python {python}" in (ROOT / "constraints.txt").read_text().splitlines()[0]


def test_make_installs_what_conda_installs() -> None:
    extras = ",".join(PROJECT["optional-dependencies"])
    assert f"-c constraints.txt -e '.[{extras}]'" in (ROOT / "Makefile").read_text()


HEAVY = {
    "torchvision",
    "timm",
    "matplotlib",
    "sklearn",
    "IPython",
    "jupyter_client",
    "nbgrader",
    "pandas",
    "PIL",
}


@pytest.mark.parametrize(
    "module",
    ["course_lib", "course_lib.losses", "course_lib.data", "course_lib.methods"],
)
def test_import_brings_nothing_heavier_than_torch(module: str) -> None:
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(loaded.stdout.split())


def test_check_loads_nothing_of_the_instructors_tools() -> None:
    code = "import sys, course_lib.check; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )
    assert "course_lib" in loaded
    assert not {"course_tools", "nbgrader", "jupyter_client"} & loaded


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).split(".")[0])
    return names


def test_library_imports_only_what_it_declares() -> None:
    """course_tools may also use the `course` extra, which Colab does not have."""
    runtime = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    course = {
        canonicalize_name(Requirement(line).name) for line in PROJECT["optional-dependencies"]["course"]
    }
    course |= {
        "nbformat",
        "nbconvert",
        "nbclient",
        "jupyter-client",
        "traitlets",
        "jinja2",
        "sqlalchemy",
        "ipykernel",
        "pyzmq",
    }  # nbgrader's
    course |= {"distributed"}  # the cluster extra's, imported only when a cluster is asked for
    # numpy and pillow come with torchvision, scipy with scikit-learn, IPython with ipywidgets.
    runtime |= {"numpy", "pillow", "scipy", "ipython"}
    module_names = {
        "scikit-learn": "sklearn",
        "pillow": "PIL",
        "ipython": "IPython",
        "pyyaml": "yaml",
        "pyzmq": "zmq",
    }
    for path in [*ROOT.glob("course_lib/**/*.py"), *ROOT.glob("course_tools/**/*.py")]:
        tools = path.is_relative_to(ROOT / "course_tools")
        allowed, own = (
            (runtime | course, {"course_lib", "course_tools"}) if tools else (runtime, {"course_lib"})
        )
        modules = {module_names.get(name, name.replace("-", "_")) for name in allowed} | own
        foreign = imported_packages(path) - modules - set(sys.stdlib_module_names)
        assert not foreign, f"{path} imports {foreign}"


def test_repository_address_stands_in_one_place() -> None:
    """Texts and code take it from pyproject.toml; generated cells and badges contain it."""
    address = PROJECT["urls"]["Repository"].removeprefix("https://")
    handwritten = [*ROOT.glob("course_*/**/*.py"), *ROOT.glob("tests/**/*.py"), ROOT / "Makefile"]
    assert not [path for path in handwritten if address in path.read_text()]


def test_pytest_enters_every_folder_of_tests(pytestconfig: pytest.Config) -> None:
    """By itself it would pass over a folder named build."""
    shut_out = pytestconfig.getini("norecursedirs")
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")}
    passed_over = [
        folder for folder in folders for part in folder.parts if any(fnmatch(part, each) for each in shut_out)
    ]
    assert passed_over == []


def test_ruff_reads_every_file_of_the_packages_and_tests() -> None:
    seen = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    wanted = {
        path for name in ("course_lib", "course_tools", "tests") for path in (ROOT / name).rglob("*.py")
    }
    assert wanted <= set(map(Path, seen))
