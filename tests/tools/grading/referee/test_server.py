"""The referee's end of the socket: one set of answers an item, while its cell runs, and no word back."""

import contextlib
import os
import socket
import stat
import struct
import threading
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.check.client import NotNow, hand_in
from course_lib.check.protocol import receive, send
from course_tools.grading.referee.server import MAX_CONNECTIONS, Referee

ITEM = "n_pair_loss"


def right(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    difference = torch.einsum("nkd,nd->nk", negatives - positive[:, None], anchor)
    return F.softplus(difference.logsumexp(1)).mean()


def wrong(anchor: Tensor, positive: Tensor, negatives: Tensor) -> Tensor:
    return right(anchor, positive, negatives) + 1


@pytest.fixture
def referee() -> Iterator[Referee]:
    with Referee("20260") as opened:
        yield opened


def connected(referee: Referee) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(referee.address))
    return connection


def test_right_answers_pass(referee: Referee) -> None:
    referee.open(ITEM)
    hand_in(str(referee.address), ITEM, right)
    ruling = referee.close()
    assert ruling.verdict is not None
    assert ruling.verdict.passed
    assert ruling.verdict.credit == 1
    assert ruling.notes == ()


def test_the_kernel_is_told_that_it_was_received_and_nothing_else(referee: Referee) -> None:
    for function in (right, wrong):
        referee.open(ITEM)
        with connected(referee) as connection:
            send(connection, {"item": ITEM})
            question, tensors = receive(connection)
            assert question.keys() == {"ask", "seconds", "cases"}
            assert all(
                case.keys() == {"tensors", "options", "tensor_options", "device", "differentiable"}
                for case in question["cases"]
            )
            assert "20260" not in repr(question)
            values = {}
            for number, case in enumerate(question["cases"]):
                values[str(number)] = function(*(tensors[f"{number}.{name}"] for name in case["tensors"]))
            send(connection, {"answers": [{} for _ in values]}, values)
            assert receive(connection) == ({"received": True}, {})
        referee.close()


def test_the_first_set_of_answers_counts(referee: Referee) -> None:
    for first, second in ((right, wrong), (wrong, right)):
        referee.open(ITEM)
        hand_in(str(referee.address), ITEM, first)
        hand_in(str(referee.address), ITEM, second)
        ruling = referee.close()
        assert ruling.verdict is not None
        assert ruling.verdict.passed == (first is right)
        assert ruling.notes == ("more than one set of answers was handed in; the first counts.",)


def test_no_answers_before_or_after_or_for_another_item(referee: Referee) -> None:
    with pytest.raises(NotNow, match="only while a graded cell runs"):
        hand_in(str(referee.address), ITEM, right)
    referee.open("info_nce_accuracy")
    with pytest.raises(NotNow, match=r"another item .* info_nce_accuracy"):
        hand_in(str(referee.address), ITEM, right)
    ruling = referee.close()
    assert ruling.verdict is None
    assert "answers for another item were offered" in ruling.notes[0]
    with pytest.raises(NotNow):
        hand_in(str(referee.address), "info_nce_accuracy", right)


def test_a_question_asked_in_time_is_not_answered_late(referee: Referee) -> None:
    referee.open(ITEM)
    with connected(referee) as connection:
        send(connection, {"item": ITEM})
        receive(connection)
        assert referee.close().verdict is None
        referee.open("info_nce_accuracy")
        with contextlib.suppress(OSError):
            send(connection, {"answers": []})
        with pytest.raises(OSError):  # noqa: PT011 (a broken pipe or a reset)
            receive(connection)
        assert referee.close().verdict is None


def test_idle_and_broken_connections_leave_the_next_item_untouched(referee: Referee) -> None:
    referee.open(ITEM)
    idle = [connected(referee) for _ in range(3 * MAX_CONNECTIONS)]
    for connection in idle[:MAX_CONNECTIONS]:
        with contextlib.suppress(OSError):
            connection.sendall(struct.pack(">II", 20, 0) + b"{")
    assert referee.close().verdict is None
    referee.open(ITEM)
    hand_in(str(referee.address), ITEM, right)
    verdict = referee.close().verdict
    assert verdict is not None
    assert verdict.passed
    for connection in idle:
        connection.close()


def test_what_is_no_message_is_noted(referee: Referee) -> None:
    referee.open(ITEM)
    with connected(referee) as connection:
        connection.sendall(struct.pack(">II", 3, 0) + b"abc")
        assert connection.recv(1) == b""
    ruling = referee.close()
    assert ruling.verdict is None
    assert ruling.notes == (
        "something that is no set of answers was sent: no readable message: JSONDecodeError.",
    )


def test_only_the_grader_enters_the_folder_and_nothing_is_left(referee: Referee) -> None:
    private = referee.channel.parent
    assert stat.S_IMODE(os.stat(private).st_mode) == 0o700
    assert len(str(referee.address)) < 100, "a socket's path is limited to 107 bytes"
    referee.__exit__()
    assert not private.exists()
    assert not any(
        thread.name.startswith("referee") and thread.is_alive() for thread in threading.enumerate()
    )


def test_a_blank_item_is_blank(referee: Referee) -> None:
    def blank(*_: object) -> Tensor:
        raise NotImplementedError("3.1")

    referee.open(ITEM)
    with pytest.raises(NotImplementedError, match=r"^3\.1$"):
        hand_in(str(referee.address), ITEM, blank)
    verdict = referee.close().verdict
    assert verdict is not None
    assert (verdict.rung, verdict.sentences, verdict.credit) == ("blank", ("3.1",), 0)


def test_what_is_no_function_is_told(referee: Referee) -> None:
    referee.open(ITEM)
    hand_in(str(referee.address), ITEM, 3.5)
    verdict = referee.close().verdict
    assert verdict is not None
    assert verdict.sentences == ("expected your function, got a float.",)
