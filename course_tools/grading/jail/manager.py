"""The kernel manager that nbgrader's Execute is given: each kernel in a jail."""

from __future__ import annotations

import asyncio
import sys
from queue import Empty
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from traitlets import Bool, Type, Unicode, default

from course_tools.grading.jail.policy import MIB, Jail, Limits
from course_tools.grading.jail.probe import unsafe
from course_tools.grading.jail.provisioner import JailProvisioner

MAX_MESSAGE = 32 * MIB  # a larger one closes the connection


class MeteredChannel(AsyncZMQSocketChannel):
    """A channel that counts what the kernel sends; beyond `room` bytes the kernel is ended and unheard."""

    room = float("inf")
    overflow: Any = None

    async def get_msg(self, timeout: float | None = None) -> Any:  # type: ignore[override]
        if self.room < 0:
            await (asyncio.Event().wait() if timeout is None else asyncio.sleep(timeout))
            raise Empty
        return await super().get_msg(timeout)

    async def _recv(self, **kwargs: Any) -> Any:  # type: ignore[override]
        assert self.socket is not None
        frames = await self.socket.recv_multipart(**kwargs)
        self.room -= sum(map(len, frames))
        if self.room < 0 and self.overflow:
            self.overflow()
        _, rest = self.session.feed_identities(frames)
        return self.session.deserialize(rest)


class JailedKernelClient(AsyncKernelClient):
    """A client that a kernel cannot flood."""

    iopub_channel_class = Type(MeteredChannel)
    shell_channel_class = Type(MeteredChannel)

    @property
    def iopub_channel(self) -> Any:
        return self._metered(super().iopub_channel)

    @property
    def shell_channel(self) -> Any:
        return self._metered(super().shell_channel)

    def _metered(self, channel: Any) -> Any:
        if isinstance(channel, MeteredChannel) and channel.overflow is None and self.parent is not None:
            channel.room, channel.overflow = self.parent.output_room()
        return channel

    def _create_connected_socket(self, channel: str, identity: Any = None) -> Any:
        """Few messages wait to be read, except for outputs, which would be dropped."""
        self.context.setsockopt(zmq.RCVHWM, 1000 if channel == "iopub" else 8)
        return super()._create_connected_socket(channel, identity)

    @default("context")
    def _limited_context(self) -> Any:
        context = zmq.asyncio.Context()
        context.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)  # of all sockets made from it
        self._created_context = True
        return context


class JailedKernelManager(AsyncKernelManager):
    """Starts IPython kernels in jails, whatever kernel a notebook asks for.

    `start_kernel(jail=Jail(...))` says what the kernel may see and use. Where no jail can be built starting
    raises JailMissing, unless COURSE_UNSAFE=1 is set: then it is an ordinary kernel.
    """

    warm = Bool(True, help="fork kernels from a jailed parent that has imported torch").tag(config=True)
    client_class = Unicode("course_tools.grading.jail.manager.JailedKernelClient", config=True)
    client_factory = Type(JailedKernelClient, config=True)

    @default("client_factory")
    def _jailed_client(self) -> type:
        return JailedKernelClient

    @property
    def kernel_spec(self) -> KernelSpec:
        """Always this environment's IPython: the name in a notebook is the student's to change."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python in a jail", language="python")

    @property
    def reason(self) -> str:
        """Why the jail ended the kernel (time, memory, output), else an empty text."""
        return getattr(self.provisioner, "reason", "")

    def output_room(self) -> tuple[float, Any]:
        """How much a kernel may print and show, and what is done beyond that."""
        process = getattr(self.provisioner, "process", None)
        limits: Limits | None = getattr(process, "limits", None)
        if process is None or limits is None:
            return float("inf"), lambda: None
        said = f"the notebook printed or showed more than {limits.output_bytes // MIB} MiB"
        return limits.output_bytes, lambda: process.end(said)

    async def _async_pre_start_kernel(self, **kwargs: Any) -> Any:
        kind = LocalProvisioner if unsafe() else JailProvisioner
        if unsafe():
            kwargs.pop("jail", None)
        if self.provisioner is None:
            self.kernel_id = self.kernel_id or kwargs.pop("kernel_id", "jailed")
            self.provisioner = kind(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)
        return await super()._async_pre_start_kernel(**kwargs)

    pre_start_kernel = _async_pre_start_kernel


__all__ = ["Jail", "JailedKernelManager"]
