"""Confinement of the process that runs drivers: what a compromised engine could still ask of the kernel.

The process may use its two pipes, its memory and its clocks. It can open no file and no socket, start no program and no
process, and neither signal nor inspect another one.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys

_ADDRESS_SPACE = 512 << 20
"""Bytes. It ends a process whose memory the engine's own limit misses."""
_LIMITS = {
    resource.RLIMIT_AS: _ADDRESS_SPACE,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_FSIZE: 0,
    # No further descriptor besides stdin, stdout and stderr.
    resource.RLIMIT_NOFILE: 3,
}

# Source: linux/seccomp.h, linux/filter.h, linux/audit.h and the tables of system calls of the two architectures.
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER, _DUMPABLE, _PARENT_DEATH_SIGNAL = 38, 22, 2, 4, 1
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _NOT_PERMITTED, _KILL_PROCESS = 0x7FFF0000, 0x00050001, 0x80000000
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CALLS = {
    # read, write, close, fstat, lseek, mmap, mprotect, munmap, brk, rt_sigaction, rt_sigprocmask, rt_sigreturn, mremap,
    # madvise, getpid, exit, getrusage, times, sigaltstack, futex, clock_gettime, exit_group, setitimer, getrandom
    "x86_64": (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 25, 28, 39, 60, 98, 100, 131, 202, 228, 231, 38, 318),
    "aarch64": (
        *(57, 62, 63, 64, 80, 93, 94, 98, 103, 113, 132, 134),
        *(135, 139, 153, 165, 172, 214, 215, 216, 222, 226, 233, 278),
    ),
}


def confine() -> bool:
    """Confine this process for the rest of its life; return whether the kernel filters its calls.

    Limits of resources hold everywhere. A kernel without filters (seccomp), such as that of macOS, leaves it at them.
    """
    for limit, value in _LIMITS.items():
        resource.setrlimit(limit, (value, value))
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _ARCHITECTURES:
        return False
    code = _program(_ARCHITECTURES[machine], _CALLS[machine])
    instructions = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(instructions))
    return _prctl(_NO_NEW_PRIVILEGES, 1) and _prctl(_SECCOMP, _FILTER, ctypes.create_string_buffer(program))


def hide_memory() -> bool:
    """Keep other processes of the same user from this one's memory and environment; return whether the kernel does."""
    return sys.platform == "linux" and _prctl(_DUMPABLE, 0)


def end_with_parent(parent: int) -> None:
    """Let the kernel end this process when its parent ends, whose process id is given."""
    if sys.platform == "linux":
        _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _prctl(option: int, *values: object) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in (*values, 0, 0, 0, 0)]
    return bool(library.prctl(option, *arguments[:4]) == 0)


def _program(architecture: int, calls: tuple[int, ...]) -> bytes:
    """Return the filter: kill another architecture's calls, allow ``calls``, refuse the rest with EPERM."""
    rows = [
        (_LOAD, 0, 0, 4),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, 0),
        *((_JUMP_IF_EQUAL, len(calls) - place, 0, call) for place, call in enumerate(calls)),
        (_RETURN, 0, 0, _NOT_PERMITTED),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *row) for row in rows)
