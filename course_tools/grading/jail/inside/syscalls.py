"""Close the doors of the kernel that a notebook never needs (a seccomp filter).

Namespaces do not cover everything: keyrings and sockets to a virtual machine's host are shared across them,
and some system calls are known above all for the holes they had.
"""

import ctypes
import os
import struct

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SOCKET = {"x86_64": 41, "aarch64": 198}
FAMILIES = (1, 2, 10, 16)  # Unix, IPv4, IPv6, netlink
DENIED = {  # name: number on x86_64, on aarch64
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "syslog": (103, 116),
}
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # instructions of the classic packet filter
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
ALLOW, ERROR = 0x7FFF0000, 0x00050000
NOT_PERMITTED, NO_SUCH_FAMILY = 1, 97
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2  # of prctl


def restrict() -> None:
    """Deny these calls to this process and all that it starts; on other architectures nothing is denied."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        return
    code = program(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    whole = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(SET_SECCOMP, FILTER, whole, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def program(machine: str) -> bytes:
    """The filter: by architecture, number of the call and, for `socket`, family."""
    column = list(ARCHITECTURES).index(machine)
    numbers = [both[column] for both in DENIED.values()]
    # The last three instructions are: no such family, allow, deny.
    length = 4 + len(numbers) + 2 + len(FAMILIES) + 3
    deny, allow = length - 1, length - 2
    words: list[tuple[int, int, int, int]] = []  # (instruction, jump if true, if false, value)

    def jump(instruction: int, value: int, true: int = 0, false: int = 0) -> None:
        here = len(words) + 1
        words.append((instruction, true - here if true else 0, false - here if false else 0, value))

    jump(LOAD, ARCHITECTURE)
    jump(EQUAL, ARCHITECTURES[machine], false=deny)
    jump(LOAD, NUMBER)
    jump(AT_LEAST, 0x40000000, true=deny)  # x86_64's second set of numbers
    for number in numbers:
        jump(EQUAL, number, true=deny)
    jump(EQUAL, SOCKET[machine], false=allow)
    jump(LOAD, FIRST_ARGUMENT)
    for family in FAMILIES:
        jump(EQUAL, family, true=allow)
    jump(RETURN, ERROR | NO_SUCH_FAMILY)
    jump(RETURN, ALLOW)
    jump(RETURN, ERROR | NOT_PERMITTED)
    return b"".join(struct.pack("HBBI", *word) for word in words)
