"""What a check comes to, as a notebook shows it: a line or two, no traceback."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass

from course_lib.check.ladder import Verdict


class CheckFailed(AssertionError):
    """What a student's function gets wrong, raised for nbgrader and for scripts.

    In a notebook that nbgrader executes only the sentence is shown, no traceback.
    """

    def __init__(self, name: str, verdict: Verdict) -> None:
        self.name, self.verdict = name, verdict
        super().__init__(f"{name}: {' '.join(verdict.sentences)}")

    def _render_traceback_(self) -> list[str]:
        return _lines(self.name, self.verdict)


@dataclass(frozen=True)
class Passed:
    """The happy end of a check."""

    name: str
    verdict: Verdict

    def __repr__(self) -> str:
        return f"{self.name}: {' '.join(self.verdict.sentences)}"

    def _repr_html_(self) -> str:
        words = html.escape(" ".join(self.verdict.sentences))
        return _marked("#1a7f37", "✓", self.name, words)

    def _ipython_display_(self) -> None:
        """Shown rather than returned: nbgrader reads a graded cell's return value as partial credit."""
        _display(repr(self), self._repr_html_())


@dataclass(frozen=True)
class Failed:
    """A check that failed, or found an item that is still open, where the notebook goes on."""

    name: str
    verdict: Verdict

    def __repr__(self) -> str:
        return "\n".join(_lines(self.name, self.verdict))

    def _repr_html_(self) -> str:
        words = "<br>".join(map(html.escape, self.verdict.sentences))
        if self.verdict.rung == "blank":
            return _marked("#757575", "○", self.name, words)
        return _marked("#d1242f", "✗", self.name, words)

    def _ipython_display_(self) -> None:
        _display(repr(self), self._repr_html_())


def _lines(name: str, verdict: Verdict) -> list[str]:
    first, *rest = verdict.sentences
    return [line for sentence in (f"{name}: {first}", *rest) for line in textwrap.wrap(sentence, 100)]


def _marked(colour: str, mark: str, name: str, words: str) -> str:
    return f'<span style="color:{colour}">{mark}</span> <b>{html.escape(name)}</b>: {words}'


def _display(text: str, page: str) -> None:
    from IPython.display import display

    display({"text/plain": text, "text/html": page}, raw=True)
