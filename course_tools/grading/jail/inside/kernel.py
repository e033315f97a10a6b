"""Run an IPython kernel inside a jail: limits first, then sockets that were opened outside.

Started as `python /jail/kernel.py SPEC [arguments of the kernel]`; SPEC is JSON with

- `limits`: resource limits by name (as in the module `resource`),
- `output`: how many characters a cell may print before printing becomes an error,
- `sockets`: port of the connection file -> descriptor of the listening Unix socket,
- `hello`: descriptor of a socket to write to once; the other end learns this process's id from it.
"""

import importlib
import json
import os
import resource
import socket
import sys
import traceback
from typing import Any

CONNECTION_FILE = "/kernel/connection.json"


def main(spec: dict[str, Any], arguments: list[str]) -> None:
    """Limit this process, greet, and serve until the kernel is shut down."""
    limit(spec["limits"])
    importlib.import_module("syscalls").restrict()  # /jail/syscalls.py
    with socket.socket(fileno=spec["hello"]) as hello:
        hello.send(b"kernel")
    sys.path[:] = [folder for folder in sys.path if folder != "/jail"]
    errors = os.fdopen(os.dup(2), "w")
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # what code in the notebook prints past IPython must not reach the grader
        os.dup2(null, standard)
    os.close(null)
    try:
        app = make_app({int(port): descriptor for port, descriptor in spec["sockets"].items()})
        app.initialize(["-f", CONNECTION_FILE, *arguments])
        limit_output(app.shell, spec["output"])
    except BaseException:
        traceback.print_exc(file=errors)
        raise
    finally:
        errors.close()
    app.start()


def limit(limits: dict[str, int]) -> None:
    """Set soft and hard limits of this process and all that it starts."""
    for name, value in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


class TooMuchOutput(RuntimeError):
    """A cell printed without end."""


def limit_output(shell: Any, most: int) -> None:
    """End a cell that prints too much with an error of its own: the grader ends the whole kernel later."""
    from ipykernel.iostream import OutStream

    write, printed = OutStream.write, 0

    def limited(self: Any, string: str) -> Any:
        nonlocal printed
        printed += len(string)
        if printed > most:
            raise TooMuchOutput(
                f"this cell printed more than {most / 2**20:.0f} MiB: is there an endless loop?"
            )
        return write(self, string)

    def forget(*_: Any) -> None:
        nonlocal printed
        printed = 0

    OutStream.write = limited  # type: ignore[method-assign]
    shell.events.register("pre_run_cell", forget)


def make_app(sockets: dict[int, int]) -> Any:
    """An IPKernelApp that serves on sockets which are open already, so that it needs no writable folder."""
    import zmq
    from ipykernel import heartbeat
    from ipykernel.kernelapp import IPKernelApp

    def bind(sock: Any, ip: str, port: int) -> None:
        os.set_inheritable(sockets[port], False)
        sock.setsockopt(zmq.USE_FD, sockets[port])
        sock.bind(f"ipc://{ip}-{port}")

    class JailedApp(IPKernelApp):
        def _try_bind_socket(self, s: Any, port: int) -> int:
            bind(s, self.ip, port)
            return port

    def bind_heartbeat(self: Any) -> None:
        bind(self.socket, self.ip, self.port)

    heartbeat.Heartbeat._try_bind_socket = bind_heartbeat  # type: ignore[method-assign]
    return JailedApp.instance()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
