"""The main job's report: a page with the table, the lectures' pictures and what every sample was told."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from course_tools.build.outcome import Outcome

STYLE = Path(__file__).parent / "report.css"  # of this page and of a class's
_MARK = {"ok": "✓", "unchanged": "✓", "FAILED": "✗"}


def write_report(report: Path, outcomes: list[Outcome], facts: dict[str, str]) -> Path:
    """Write `index.html` in the folder `report`; returns its path. It needs no network."""
    labs: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if "/" in outcome.name:
            labs[outcome.name.split("/")[0]].append(outcome)
    failed = sum(bool(outcome.problem) for outcome in outcomes)
    verdict = (
        f"{failed} of {len(outcomes)} parts failed" if failed else f"all {len(outcomes)} parts as expected"
    )
    body = [
        "<header><h1>Self-supervised learning: the course, run</h1>",
        f'<p class="verdict {"bad" if failed else "good"}">{verdict}</p>',
        _facts(facts),
        "</header>",
        _summary(outcomes),
        *(_lecture(outcome) for outcome in outcomes if outcome.pages and "/" not in outcome.name),
        *(_lab(lab, graded) for lab, graded in labs.items()),
    ]
    style = STYLE.read_text(encoding="utf-8")
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Course report</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style><body>{''.join(body)}</body></html>\n"
    )
    report.mkdir(parents=True, exist_ok=True)
    index = report / "index.html"
    index.write_text(page, encoding="utf-8")
    return index


def _facts(facts: dict[str, str]) -> str:
    made = {"made": f"{datetime.now():%d %B %Y, %H:%M}", **facts}
    return (
        "<dl>"
        + "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in made.items())
        + "</dl>"
    )


def _summary(outcomes: list[Outcome]) -> str:
    rows = "".join(
        f'<tr class="{outcome.status.lower()}"><td>{_MARK[outcome.status]}</td><td>{_link(outcome)}</td>'
        f'<td>{outcome.status}</td><td class="number">{outcome.seconds:.0f}</td>'
        f"<td>{escape(outcome.headline)}{_problem(outcome)}</td></tr>"
        for outcome in outcomes
    )
    head = "<tr><th></th><th>part</th><th>status</th><th>seconds</th><th>headline or score</th></tr>"
    return f'<section><table class="summary"><thead>{head}</thead><tbody>{rows}</tbody></table></section>'


def _link(outcome: Outcome) -> str:
    name = escape(outcome.name)
    return f'<a href="{outcome.pages[0]}">{name}</a>' if outcome.pages else name


def _problem(outcome: Outcome) -> str:
    return f'<p class="problem">{escape(outcome.problem)}</p>' if outcome.problem else ""


def _lecture(outcome: Outcome) -> str:
    pictures = "".join(
        f'<a href="{outcome.pages[0]}"><img src="{picture}" alt="" loading="lazy"></a>'
        for picture in outcome.pages[1:]
    )
    heading = f"<h2>{_link(outcome)}</h2><p>{escape(outcome.headline)}</p>"
    return f'<section>{heading}<div class="pictures">{pictures}</div></section>'


def _lab(lab: str, graded: list[Outcome]) -> str:
    return f"<section><h2>{escape(lab)}</h2>{''.join(map(_submission, graded))}</section>"


def _submission(outcome: Outcome) -> str:
    student = escape(outcome.name.split("/", 1)[1])
    rows = "".join(map(_item, outcome.items))
    feedback = (
        f'<p><a href="{outcome.pages[0]}">The feedback page the student gets</a></p>' if outcome.pages else ""
    )
    table = f'<table class="items"><tbody>{rows}</tbody></table>' if rows else ""
    return (
        f"<details{' open' if outcome.problem else ''}><summary><b>{student}</b> "
        f'<span class="score">{escape(outcome.headline)}</span></summary>'
        f"{_problem(outcome)}{feedback}{table}</details>"
    )


def _item(item: dict[str, Any]) -> str:
    waits = item["score"] is None
    kind = "waits" if waits else "right" if item["score"] == item["points"] else "lost"
    score = "–" if waits else f"{item['score']:g}"
    return (
        f'<tr class="{kind}"><td><code>{escape(item["name"])}</code></td>'
        f'<td class="number">{score} / {item["points"]:g}</td><td>{escape(item["line"])}</td></tr>'
    )
