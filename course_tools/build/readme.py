"""The README's table of weeks, written from the notebooks that are there."""

import re
from pathlib import Path

from course_tools.build.notebooks import badge
from course_tools.build.project import labs, lectures

BEGIN, END = "<!-- weeks: written by `make sync` -->", "<!-- end of weeks -->"


def with_table(readme: str, root: Path, url: str) -> str:
    """The README's text with what stands between its two markers replaced by today's table.

    Raises:
        ValueError: the markers are missing.
    """
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise ValueError(f"expected the markers {BEGIN} and {END} once each in README.md")
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{weeks_table(root, url)}\n{END}{after}"


def weeks_table(root: Path, url: str) -> str:
    """One row a week: title, lecture notebook and lab, each with the badge that opens it in Colab."""
    lab_of = {_number(path): path for path in labs(root)}
    rows = ["| week | title | lecture notebook | lab |", "|---|---|---|---|"]
    for lecture in lectures(root):
        notebook = lecture.relative_to(root).with_suffix(".ipynb")
        cells = [_number(lecture), _title(lecture), _link(notebook, url)]
        lab = lab_of.get(_number(lecture))
        cells.append(_link(Path("assignments", lab.stem, f"{lab.stem}.ipynb"), url) if lab else "")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _number(source: Path) -> str:
    match = re.match(r"(?:week|lab)(\d+)", source.stem)
    if not match:
        raise ValueError(f"{source.name}: expected a name such as week1_title.py or lab1_title.py")
    return match[1]


def _title(source: Path) -> str:
    """The first heading, without its "Week 1 · "."""
    match = re.search(r"^# # (?:Week \d+ · )?(.+)$", source.read_text(encoding="utf-8"), re.M)
    return match[1] if match else source.stem


def _link(notebook: Path, url: str) -> str:
    return f"[{notebook.stem}]({notebook.as_posix()}) {badge(url, notebook.as_posix())}".strip()
