"""`course sync`: notebooks and student labs, written from their text sources."""

import hashlib
import json
from pathlib import Path

from course_tools.build import notebooks
from course_tools.build.project import labs, lectures, prepare_jupyter, repository_url
from course_tools.build.readme import with_table

GRADING = Path(__file__).parents[1] / "grading"


def sync(root: Path, *, check: bool = False) -> list[Path]:
    """Bring every generated file up to date with its text source.

    A source's badge and setup cells are written first, then the .ipynb beside it, then, for a lab, the
    student's version in assignments/; last the README's table of weeks. People edit the text source: changes
    made to an .ipynb alone are lost.

    Args:
        root: the clone.
        check: only compare, change nothing.

    Returns:
        The files that differed (and, unless `check`, were written).

    Raises:
        ValueError: naming the sources that could not be used, after the others were.
    """
    prepare_jupyter()
    changed, problems = [], []
    for source in [*lectures(root), *labs(root), *root.glob("README.md")]:
        try:
            files = _generated(root, source)
        except Exception as error:  # the other sources are still brought up to date
            problems.append(f"{source.relative_to(root)}: {error}")
            continue
        for path, text in files.items():
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                changed.append(path)
                if not check:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, encoding="utf-8")
    if problems:
        raise ValueError("\n".join(problems))
    return changed


def strays(root: Path) -> list[Path]:
    """Files where only generated ones belong: in assignments/, and notebooks beside no text source."""
    expected = {path.with_suffix(".ipynb") for path in [*lectures(root), *labs(root)]}
    expected |= {_release(root, path) for path in labs(root)}
    found = [path for path in (root / "assignments").rglob("*") if path.is_file()]
    found += [path for folder in ("notebooks", "solutions") for path in (root / folder).rglob("*.ipynb")]
    return sorted(path for path in found if path not in expected and ".ipynb_checkpoints" not in path.parts)


def _release(root: Path, lab: Path) -> Path:
    return root / "assignments" / lab.stem / f"{lab.stem}.ipynb"


def _generated(root: Path, source: Path) -> dict[Path, str]:
    """What each file made from this text source (itself included) should hold."""
    url = repository_url(root)
    if source.name == "README.md":
        return {source: with_table(source.read_text(encoding="utf-8"), root, url)}
    is_lab = source in labs(root)
    notebook = source.with_suffix(".ipynb")
    opened = _release(root, source) if is_lab else notebook
    text = notebooks.fill_generated_cells(
        source.read_text(encoding="utf-8"), url, opened.relative_to(root).as_posix()
    )
    files = {source: text, notebook: notebooks.from_percent(text)}
    return files | ({opened: _released(root, source.stem, files[notebook])} if is_lab else {})


def _released(root: Path, lab: str, solution: str) -> str:
    """The student's version of a lab; nbgrader is asked only if the solution or its settings changed."""
    config_file = root / "nbgrader_config.py"
    key = hashlib.sha256(solution.encode() + config_file.read_bytes() + _tools().encode()).hexdigest()
    cache = root / "build" / "sync" / f"{lab}.json"
    if cache.is_file() and (known := json.loads(cache.read_text(encoding="utf-8")))["key"] == key:
        return str(known["released"])
    from course_tools.grading.release import released_notebook

    text = notebooks.normalised(released_notebook(lab, solution, config_file))
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text(json.dumps({"key": key, "released": text}), encoding="utf-8")
    return text


def _tools() -> str:
    """What else the student's version depends on: this package's own code and nbgrader's version."""
    from importlib.metadata import version

    code = "".join(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (Path(notebooks.__file__), *(GRADING / name for name in ("release.py", "ways.py")))
    )
    return f"{version('nbgrader')} {code}"
