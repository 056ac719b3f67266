"""Run a program that must not outlive its parent: `python -m aggregator.carriers.child PROGRAM ARGUMENT…`.

A coordinator that is killed (kill -9, out of memory) must not leave a SuperLink behind that holds the port. The kernel
sends SIGTERM to this process when its parent is gone; that stays so when it becomes PROGRAM.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the program, bound to the parent."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)  # it was gone before the kernel knew
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606


if __name__ == "__main__":
    main()
