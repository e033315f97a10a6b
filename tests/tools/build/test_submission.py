"""What a sample is compared with."""

from pathlib import Path

import pytest
from nbformat.v4 import new_output

from course_lib.check.ladder import Verdict
from course_tools.build.submission import Expectation, _surprises
from course_tools.grading.autograde import Item, _said
from course_tools.grading.execute import _outputs


@pytest.mark.parametrize("credit", [0.0, 0.25, 0.5])
def test_the_verdicts_sentence_is_found_whatever_the_credit(credit: float) -> None:
    """Partial credit is shown as a number and a text whose last line says what it earns."""
    verdict = Verdict("training", ("the key encoder is a plain copy.", "It keeps its share."), credit)
    line, _ = _said({"outputs": _outputs("train_moco", verdict, 10.0)})
    items = [Item("train_moco", 10 * credit, 10.0, line)]
    wanted = Expectation(score=10 * credit, says="the key encoder is a plain copy. It keeps")
    assert _surprises(wanted, items, []) == []


def test_of_what_was_only_printed_the_last_line_counts(tmp_path: Path) -> None:
    printed = new_output("stream", name="stdout", text="epoch 1\nepoch 2\n")
    assert _said({"outputs": [printed]}) == ("epoch 2", "")
