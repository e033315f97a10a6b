"""What goes over the referee's socket: messages of JSON and tensors, each part of a bounded length.

A message is two lengths (4 bytes each, big-endian), then JSON, then tensors in safetensors' format, which
holds numbers and shapes and nothing that could be run. Whoever receives trusts nothing: wrong lengths, broken
JSON or tensors, and a connection that ends early raise `ProtocolError`.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

MAX_TEXT = 2**20
MAX_TENSORS = 2**26
SECONDS_OF_SILENCE = 30.0
_LENGTHS = struct.Struct(">II")


class ProtocolError(Exception):
    """What arrived is no message."""


def send(connection: socket.socket, header: Mapping[str, Any], tensors: Mapping[str, Tensor] = {}) -> None:
    """Send a message; tensors of any device and layout are sent as plain ones.

    Raises:
        ProtocolError: it is too long, or a tensor cannot be written down (sparse, quantised).
        OSError: nobody is there any more.
    """
    connection.sendall(pack(header, tensors))


def pack(header: Mapping[str, Any], tensors: Mapping[str, Tensor] = {}) -> bytes:
    """A message as bytes."""
    text = json.dumps(header).encode()
    try:
        body = safetensors.torch.save({name: plain(t) for name, t in tensors.items()}) if tensors else b""
    except Exception as error:
        raise ProtocolError(f"a tensor cannot be sent: {error}") from error
    if len(text) > MAX_TEXT or len(body) > MAX_TENSORS:
        raise ProtocolError(f"a message of {len(text)} and {len(body)} bytes is too long")
    return _LENGTHS.pack(len(text), len(body)) + text + body


def plain(tensor: Tensor) -> Tensor:
    """A copy on the CPU that shares its memory with no other tensor."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def receive(
    connection: socket.socket, max_tensors: int = MAX_TENSORS
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Wait for a message; returns its JSON object and its tensors.

    Raises:
        ProtocolError: what comes is no message, longer than allowed, or ends early.
        OSError: nothing came in time, or the connection broke.
    """
    text_length, body_length = _LENGTHS.unpack(_exactly(connection, _LENGTHS.size))
    if text_length > MAX_TEXT or body_length > max_tensors:
        raise ProtocolError(f"a message of {text_length} and {body_length} bytes is too long")
    text, body = _exactly(connection, text_length), _exactly(connection, body_length)
    try:
        header = json.loads(text)
        tensors = safetensors.torch.load(body) if body else {}
    except Exception as error:  # a parser may fail in many ways on what was made to break it
        raise ProtocolError(f"no readable message: {type(error).__name__}") from error
    if not isinstance(header, dict):
        raise ProtocolError("no readable message: not a JSON object")
    return header, tensors


def _exactly(connection: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        chunk = connection.recv(min(length - len(received), 2**20))
        if not chunk and not received:
            raise ConnectionError("nothing more came")
        if not chunk:
            raise ProtocolError(f"the message ended after {len(received)} of {length} bytes")
        received += chunk
    return bytes(received)
