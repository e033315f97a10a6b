"""The referee's end of the socket, in the grader's process."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

from course_lib.check.ladder import Verdict
from course_lib.check.protocol import SECONDS_OF_SILENCE, ProtocolError, receive, send
from course_lib.exercises import get
from course_tools.grading.private import private_folder
from course_tools.grading.referee.questions import Question, question
from course_tools.grading.referee.verdict import HandIn, verdict_on

SOCKET = "referee.sock"
MAX_CONNECTIONS = 4
MAX_NOTES = 5


@dataclass(eq=False)
class _Item:
    """The item whose cell is running, and what has been handed in for it."""

    name: str
    question: Question
    given: HandIn | None = None
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        if len(self.notes) < MAX_NOTES and sentence not in self.notes:
            self.notes.append(sentence)


@dataclass(frozen=True)
class Ruling:
    """What the referee says about an item.

    Args:
        verdict: on what was handed in; None if nothing was.
        notes: what else happened, as sentences.
    """

    item: str
    verdict: Verdict | None
    notes: tuple[str, ...] = ()


class Referee:
    """Asks a kernel about one item at a time, and rules on what it hands in.

    Use it as a context manager: inside, it listens on a Unix socket in the folder `channel`, whose parent
    nobody else on the machine may enter.

    Args:
        secret: the secret seed.
        device: on which inputs are asked too, beside the CPU.
    """

    def __init__(self, secret: str, device: str = "cpu") -> None:
        self._secret, self._device = secret, device
        self._lock = threading.Lock()
        self._item: _Item | None = None
        self._connections: dict[socket.socket, bool] = {}  # oldest first; whether it was asked the question

    @property
    def address(self) -> Path:
        return self.channel / SOCKET

    def __enter__(self) -> Referee:
        self._private = private_folder("referee-")
        self.channel = self._private / "channel"
        self.channel.mkdir(mode=0o755)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.address))
        os.chmod(
            self.address, 0o666
        )  # a jailed kernel runs as somebody else; the folder keeps the others out
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._listen, name="referee", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=5)
        self._hang_up()
        shutil.rmtree(self._private, ignore_errors=True)

    def open(self, name: str) -> None:
        """From now on take answers for this item, and for no other."""
        asked = question(name, self._secret, self._device)
        self._hang_up()
        with self._lock:
            self._item = _Item(name, asked)

    def close(self) -> Ruling:
        """Take no more answers, and rule on the item that was open."""
        with self._lock:
            item, self._item = self._item, None
        assert item is not None, "no item is open"
        self._hang_up()
        if item.given is None:
            return Ruling(item.name, None, tuple(item.notes))
        verdict = verdict_on(get(item.name), item.question, item.given, self._secret)
        return Ruling(item.name, verdict, tuple(item.notes))

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._is_welcome(connection):
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            else:
                connection.close()

    def _is_welcome(self, connection: socket.socket) -> bool:
        """Note a connection; one too many takes the place of the oldest that has asked nothing yet."""
        with self._lock:
            if len(self._connections) >= MAX_CONNECTIONS:
                silent = next((old for old, asked in self._connections.items() if not asked), None)
                if silent is None:
                    return False
                del self._connections[silent]
                with contextlib.suppress(OSError):
                    silent.shutdown(socket.SHUT_RDWR)
            self._connections[connection] = False
        return True

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(SECONDS_OF_SILENCE)
        item = self._item
        try:
            header, _ = receive(connection, max_tensors=0)
            refusal = _refusal(item, header.get("item"))
            if item is None or refusal:
                if item is not None:
                    item.note(refusal)
                send(connection, {"refused": refusal})
                return
            with self._lock:
                if connection in self._connections:
                    self._connections[connection] = True
            send(connection, item.question.header, item.question.tensors)
            connection.settimeout(None)  # student code is running; the cell's own time limit applies
            given = HandIn(*receive(connection))
            self._accept(item, given)
            send(connection, {"received": True})
        except ProtocolError as error:
            if item is not None:
                item.note(f"something that is no set of answers was sent: {error}.")
        except OSError:
            pass  # the kernel hung up or was silent: the item has no answers then
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()

    def _accept(self, item: _Item, given: HandIn) -> None:
        with self._lock:
            if item is not self._item:
                return
            if item.given is None:
                item.given = given
            else:
                item.note("more than one set of answers was handed in; the first counts.")

    def _hang_up(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, {}
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _refusal(item: _Item | None, name: object) -> str:
    """Why answers for this item are not taken now; empty if they are."""
    if item is None:
        return "answers are taken only while a graded cell runs."
    if name != item.name:
        return f"answers for another item were offered while the cell of {item.name} ran."
    return ""
