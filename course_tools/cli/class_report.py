"""`course report`: a page for the instructor and a table for the learning platform."""

from __future__ import annotations

import base64
import csv
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_tools.build.project import prepare_jupyter
from course_tools.build.report import STYLE

if TYPE_CHECKING:
    from course_tools.grading.report import ClassReport, ItemReport


_COLUMNS = (
    *("student_id", "first_name", "last_name", "email"),
    *("score", "max_score", "complete", "days_late", "remark"),
)


def report(root: Path, lab: str) -> int:
    """Write grades/<lab>/report.html and grades.csv, and say where."""
    prepare_jupyter()
    from course_tools.grading.batch import records_of
    from course_tools.grading.report import class_report

    folder = records_of(root, lab).folder
    made = class_report(root, lab)
    page, table = folder / "report.html", folder / "grades.csv"
    page.write_text(class_page(made), encoding="utf-8")
    write_csv(made, table)
    print(f"{len(made.students)} students: {page.relative_to(root)}, {table.relative_to(root)}")
    return 0


def write_csv(report: ClassReport, path: Path) -> None:
    """One row a student; the score is empty where grading broke down, `complete` says if all is read."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        for each in report.students:
            score = "" if each.score is None else f"{each.score:g}"
            complete = "yes" if each.score is not None and not each.waiting else "no"
            texts = (each.id, each.first_name, each.last_name, each.email)
            remark = " ".join(each.remarks)
            numbers = (score, f"{each.points:g}", complete, each.days_late)
            rows.writerow([*map(_harmless, texts), *numbers, _harmless(remark)])


def _harmless(text: str) -> str:
    """A spreadsheet would run a cell that begins like a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text


def class_page(report: ClassReport) -> str:
    """The page as one HTML file; it needs no network."""
    from course_lib.show.grades import item_shares, score_distribution

    style = STYLE.read_text(encoding="utf-8")
    shares = {item.name: item.shares for item in report.items}
    body = [
        f"<header><h1>{escape(report.lab)}: the class</h1>{_facts(report)}</header>",
        _section(
            "Scores", _picture(score_distribution(report.scores, report.points)) if report.scores else ""
        ),
        _section("Items", (_picture(item_shares(shares)) if shares else "") + _unsolved(report)),
        _section("Misconceptions", _misconceptions(report.items)),
        _section("Other lines that several students got", _other(report.items)),
        _section("To do by hand", _waiting(report)),
        _section("Late", _late(report)),
        _section("Remarks on files", _remarks(report)),
        _section("Nearly the same program", _pairs(report)),
        _section("Students", _students(report)),
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(report.lab)}</title>'
        f"<style>{style} .chart {{ width: 100%; background: #fff; border-radius: .5rem; }}</style>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _facts(report: ClassReport) -> str:
    from statistics import mean, median

    facts: dict[str, object] = {"students": len(report.students)}
    if report.scores:
        facts["median"] = f"{median(report.scores):g} of {report.points:g}"
        facts["mean"] = f"{mean(report.scores):.1f}"
    facts["answers to read"] = sum(student.waiting for student in report.students)
    facts["late"] = sum(student.days_late > 0 for student in report.students)
    rows = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(str(v))}</dd></div>" for k, v in facts.items())
    return f"<dl>{rows}</dl>"


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content or '<p>None.</p>'}</section>"


def _picture(figure: Any) -> str:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img class="chart" alt="" src="data:image/png;base64,{data}">'


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    if not rows:
        return ""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _unsolved(report: ClassReport) -> str:
    names = ", ".join(f"<code>{escape(item.name)}</code>" for item in report.items if item.solved_by_nobody)
    return f'<p class="problem">Solved by nobody: {names}</p>' if names else ""


def _misconceptions(items: list[ItemReport]) -> str:
    rows = [
        (len(who), item.name, what, _some(who)) for item in items for what, who in item.misconceptions.items()
    ]
    rows.sort(key=lambda row: -row[0])
    return _table(("students", "item", "their numbers are what one gets when", "who"), [*rows])


def _other(items: list[ItemReport]) -> str:
    rows = [
        (len(who), item.name, what, _some(who))
        for item in items
        for what, who in item.other.items()
        if len(who) > 1
    ]
    rows.sort(key=lambda row: -row[0])
    return _table(("students", "item", "line", "who"), [*rows[:40]])


def _some(students: list[str], most: int = 8) -> str:
    more = f" and {len(students) - most} more" if len(students) > most else ""
    return ", ".join(students[:most]) + more


def _waiting(report: ClassReport) -> str:
    rows = [(each.id, each.waiting) for each in report.students if each.waiting]
    return _table(("student", "answers to read in formgrader"), [*rows])


def _late(report: ClassReport) -> str:
    rows = [(each.id, each.days_late) for each in report.students if each.days_late]
    return _table(("student", "days late"), [*sorted(rows, key=lambda row: -row[1])])


def _remarks(report: ClassReport) -> str:
    rows = [(each.id, each.status, " ".join(each.remarks)) for each in report.students if each.remarks]
    return _table(("student", "status", "what the student is told"), [*rows])


def _pairs(report: ClassReport) -> str:
    rows = [
        (*pair.students, pair.item, f"{100 * pair.share:.0f} % of {round(pair.shared / pair.share)} pieces")
        for pair in report.pairs
    ]
    note = (
        "<p>For a person to judge. Compared is the structure of each answer, without names, comments and "
        "layout, and without what the release, the solution or many others contain.</p>"
    )
    return note + (_table(("student", "student", "answer", "alike"), [*rows]) or "<p>None.</p>")


def _students(report: ClassReport) -> str:
    rows = [
        (
            each.id,
            "–" if each.score is None else f"{each.score:g} / {each.points:g}",
            each.waiting,
            each.days_late,
        )
        for each in report.students
    ]
    return _table(("student", "score", "to read", "days late"), [*rows])
