"""What the parsing process takes from itself before it sees a file: memory, computing time, files, sockets.

By the kernel's own means, which need no rights: resource limits; Landlock (Linux 5.13), after which it opens what it
imports from and nothing else, writes nowhere and traces nobody; and a seccomp filter that refuses sockets. Where the
kernel lacks one of the latter two, the process runs without it and says so.
"""

import ctypes
import os
import platform
import resource
import struct
import sys
import time
from dataclasses import dataclass
from math import ceil

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446  # on every architecture
_LANDLOCK_VERSION, _PATH_BENEATH = 1, 1
_READ = 0b1100  # of a file, of a folder
# Rights over files that each version of Landlock knows: 13, then renaming, truncating, devices (linux/landlock.h).
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP, _SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals

# Audit's number of the architecture, and of socket(2) on it.
_ARCHITECTURES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_IO_URING_SETUP, _X32 = 425, 0x40000000  # io_uring opens sockets too; x32 calls have numbers of their own
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050001  # the last with EPERM


WALLS = ("landlock", "seccomp")


@dataclass(frozen=True)
class Limits:
    """For one file. `memory`: bytes of address space of the whole process. `text`: bytes of UTF-8 that come out.

    `seconds` are of computing, so that a busy machine gives the same verdicts; `patience` is by the clock, for a parser
    that waits and does not compute.
    """

    seconds: int = 60
    patience: int = 900
    memory: int = 2 * 2**30
    text: int = 64 * 2**20


def confine(limits: Limits) -> list[str]:
    """For good. Gives back which of WALLS hold."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return []
    return [name for name, wall in zip(WALLS, (_landlock, _seccomp), strict=True) if wall(libc)]


def allow_seconds(seconds: int) -> None:
    """From now on so much computing and no more: then the kernel ends this process with SIGXCPU."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (ceil(time.process_time()) + seconds, hard))


def _landlock(libc: ctypes.CDLL) -> bool:
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return False
    rights = (1 << _FILE_RIGHTS[min(version, max(_FILE_RIGHTS))]) - 1
    fields = [rights] + [_TCP] * (version >= 4) + [_SCOPES] * (version >= 6)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    try:
        for folder in {sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", *sys.path}:
            if os.path.isdir(folder):
                _allow_reading(libc, rules, folder)
        return bool(libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow_reading(libc: ctypes.CDLL, rules: int, folder: str) -> None:
    descriptor = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        libc.syscall(_LANDLOCK_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", _READ, descriptor), 0)
    finally:
        os.close(descriptor)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _seccomp(libc: ctypes.CDLL) -> bool:
    if platform.machine() not in _ARCHITECTURES:
        return False
    architecture, socket = _ARCHITECTURES[platform.machine()]
    load, equal, at_least, leave = 0x20, 0x15, 0x35, 0x06
    instructions = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 4),  # the architecture, then the call's number
            (equal, 1, 0, architecture),
            (leave, 0, 0, _KILL),
            (load, 0, 0, 0),
            (at_least, 3, 0, _X32),
            (equal, 2, 0, socket),
            (equal, 1, 0, _IO_URING_SETUP),
            (leave, 0, 0, _ALLOW),
            (leave, 0, 0, _REFUSE),
        )
    )
    held = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Program(len(instructions) // 8, ctypes.addressof(held))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)
