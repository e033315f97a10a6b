"""jupyter_client's way of starting kernels, with a jail around each."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

from jupyter_client.provisioning import LocalProvisioner

from course_tools.grading.jail.policy import Jail
from course_tools.grading.jail.probe import JailMissing, missing
from course_tools.grading.jail.spawn import JailBroke, Order, Prisoner, start_cold
from course_tools.grading.jail.warm import warm_jail
from course_tools.grading.private import private_folder

_PORTS = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}
_told = False  # that there is no warm start


class JailProvisioner(LocalProvisioner):
    """Starts the kernel in a jail and speaks with it over Unix sockets in a folder that only the grader sees.

    The sockets are opened out here and handed in, so that the kernel needs no folder of the host to write to.
    `start_kernel(jail=Jail(...))` says what the kernel may see and use; without it the regular files of the
    working directory are handed in.
    """

    process: Prisoner | None = None  # type: ignore[assignment]
    _folder: Path | None = None
    _sockets: dict[int, socket.socket]

    @property
    def reason(self) -> str:
        """Why the jail ended the kernel, else an empty text."""
        return self._reason or (self.process.reason if self.process else "")

    _reason = ""

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        if why := missing():
            raise JailMissing(why)
        given = kwargs.pop("jail", None)
        self._jail = given or Jail(files=Path(kwargs.get("cwd") or Path.cwd()))
        self._arguments = list(kwargs.get("extra_arguments") or [])
        self._folder = self._folder or private_folder("jail-")
        manager: Any = self.parent
        manager.transport = "ipc"
        manager.ip = str(self._folder / "k")
        manager.connection_file = str(self._folder / "connection.json")
        for name, number in _PORTS.items():
            setattr(manager, name, number)
        kwargs = await super().pre_launch(**kwargs)
        self._sockets = {number: _listen(f"{manager.ip}-{number}") for number in _PORTS.values()}
        return kwargs

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        manager: Any = self.parent
        connection = Path(manager.connection_file).read_bytes()
        order = Order(self._jail, kwargs["env"], self._arguments, connection, self._sockets)
        try:
            self.process = self._start(order)
        except BaseException:
            await self.cleanup()
            raise
        finally:
            for sock in self._sockets.values():
                sock.close()
        self.pid = self.process.pid
        return self.connection_info

    def _start(self, order: Order) -> Prisoner:
        """Fork the kernel from this process's warm parent if that is wanted and possible.

        Not where a GPU is handed in: NVIDIA's driver does not start in a forked kernel (cuInit gave error 304
        on an H200), and does in a jail of its own.
        """
        global _told
        if getattr(self.parent, "warm", False) and not order.jail.gpu:
            try:
                return warm_jail(order.jail).start(order)
            except JailBroke as error:
                if not _told:
                    self.log.warning("Kernels are started afresh, which takes seconds longer: %s", error)
                _told = True
        return start_cold(order)

    async def wait(self) -> int | None:
        self._reason = self.reason
        process = self.process
        status = await super().wait()
        if process:
            self._reason = process.reason
        return status

    async def cleanup(self, restart: bool = False) -> None:
        if self.process:
            self.process.kill()
            await self.wait()
        if self._folder and not restart:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _listen(path: str) -> socket.socket:
    if os.path.exists(path):
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    sock.listen(16)
    return sock
