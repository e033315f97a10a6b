"""Messages survive the way, and whatever else arrives is told from a message without harm."""

import json
import pickle
import socket
import struct
from collections.abc import Iterator

import pytest
import torch

from course_lib.check import protocol
from course_lib.check.protocol import ProtocolError, pack, receive, send


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(5)
        far.settimeout(5)
        yield near, far


def test_a_message_arrives_as_it_was_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "whole": base,
        "transposed view of the same memory": base.T,
        "half": base.half().requires_grad_(),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "labels": torch.tensor([1, 2]),
        "empty": torch.zeros(0, 3),
        "nothing finite": torch.tensor([torch.nan, torch.inf]),
    }
    send(ends[0], {"item": "nt_xent_loss", "options": {"temperature": 0.1}}, tensors)
    header, found = receive(ends[1])
    assert header == {"item": "nt_xent_loss", "options": {"temperature": 0.1}}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor.detach(), rtol=0, atol=0, equal_nan=True)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("a pickle was loaded",)


def framed(text: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">II", len(text), len(body)) + text + body


DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
HEADER = json.dumps({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}).encode()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(framed(b"{}", pickle.dumps(Bomb())), id="a pickle for tensors"),
        pytest.param(framed(pickle.dumps(Bomb())), id="a pickle for JSON"),
        pytest.param(framed(b"{"), id="broken JSON"),
        pytest.param(framed(b"[1, 2]"), id="a list"),
        pytest.param(framed(b'{"a": ' + b"9" * 10_000 + b"}"), id="a number of ten thousand digits"),
        pytest.param(framed(DEEP), id="JSON a hundred thousand levels deep"),
        pytest.param(framed(b"\xff\xfe\x00"), id="no text"),
        pytest.param(framed(b"{}", b"\x00" * 7), id="tensors cut short"),
        pytest.param(framed(b"{}", b"\xff" * 8), id="a header of 2**64 bytes"),
        pytest.param(
            framed(b"{}", struct.pack("<Q", len(HEADER)) + HEADER + b"\0\0\0\0"), id="a shape beyond its data"
        ),
        pytest.param(struct.pack(">II", 2**31, 0), id="text far too long"),
        pytest.param(struct.pack(">II", 2, 2**32 - 1) + b"{}", id="tensors far too long"),
        pytest.param(struct.pack(">II", 100, 0) + b'{"a"', id="an early end"),
        pytest.param(b"\x00\x00", id="half of the lengths"),
    ],
)
def test_what_is_no_message_is_told(ends: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    ends[0].sendall(sent[:150_000])
    ends[0].shutdown(socket.SHUT_WR)
    with pytest.raises(ProtocolError):
        receive(ends[1])


def test_a_connection_that_is_just_closed_is_no_message_at_all(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ends[0].close()
    with pytest.raises(ConnectionError):
        receive(ends[1])


def test_silence_ends_in_a_timeout(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].settimeout(0.05)
    ends[0].sendall(b"\x00")
    with pytest.raises(TimeoutError):
        receive(ends[1])


def test_what_cannot_be_sent_is_told_before_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProtocolError, match="cannot be sent"):
        pack({}, {"sparse": torch.eye(3).to_sparse()})
    monkeypatch.setattr(protocol, "MAX_TENSORS", 100)
    with pytest.raises(ProtocolError, match="too long"):
        pack({}, {"large": torch.zeros(1000)})
