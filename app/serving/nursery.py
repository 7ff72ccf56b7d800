"""`python -m app.serving.nursery`: imports what scikit-learn's models need, once, and forks a process for each of them.

It never sees an artifact or a request: what comes over stdin, a Unix socket, is one byte for each process wanted, with three
descriptors: its frames (stdin and stdout), its stderr, and a channel, on which the nursery answers with a pidfd of the
process and, when that ended, its exit code. What is forked is `app.serving.worker`, of which nothing differs but that the
imports are done (and that all have one layout of memory and one seed of hashes). It ends when stdin does, and its
children end with it.
"""

import gc
import os
import select
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

from app.serving import worker

EXIT_CODE = struct.Struct("<i")
_ALL_DESCRIPTORS = 1 << 20


def main() -> None:
    worker.die_with(os.getppid())
    _import()
    alone = len([*Path("/proc/self/task").iterdir()]) == 1
    if not alone:  # a lock that one of them holds at the fork would stay locked for ever
        print("some import started threads, so each model imports for itself", file=sys.stderr, flush=True)  # noqa: T201
    gc.freeze()  # pages that the collector does not write to stay shared
    nursery = os.getpid()
    if not _is_child():
        return
    if not alone:
        os.execv(sys.executable, [sys.executable, *worker.COMMAND])  # noqa: S606 (no shell is what is wanted)
    _forget_randomness()
    worker.main(nursery)


def _import() -> None:
    """All of scikit-learn, which skops imports. But pyarrow, which pandas would import where it is there, starts a thread."""
    sys.modules["pyarrow"] = None  # type: ignore[assignment]  # the documented way to make an import fail
    import skops.io  # noqa: PLC0415 (see above)

    assert skops.io
    del sys.modules["pyarrow"]


def _forget_randomness() -> None:
    """Only `random` sees to that itself."""
    import numpy as np  # noqa: PLC0415 (imported already)

    np.random.seed()


def _is_child() -> bool:
    """True in each process that was asked for; False, in the nursery, when no more will be."""
    control = socket.socket(fileno=0)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    children: dict[int, tuple[int, int]] = {}
    """pid and channel, by the pidfd"""
    while True:
        for ready, _ in poll.poll():
            if ready in children:
                poll.unregister(ready)
                pid, channel = children.pop(ready)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with suppress(OSError):  # nobody may want to know
                    os.write(channel, EXIT_CODE.pack(code))
                os.close(channel)
                os.close(ready)
                continue
            _, descriptors, _, _ = socket.recv_fds(control, 1, 3)
            if len(descriptors) < 3:
                return False
            frames, errors, channel = descriptors
            pid = os.fork()
            if not pid:
                control.detach()
                _keep_only(frames, errors)
                return True
            pidfd = os.pidfd_open(pid)  # surely of the child: nothing but the loop above reaps
            children[pidfd] = pid, channel
            poll.register(pidfd, select.POLLIN)
            with socket.socket(fileno=os.dup(channel)) as answer, suppress(OSError):
                socket.send_fds(answer, [b"+"], [pidfd])
            os.close(frames)
            os.close(errors)


def _keep_only(frames: int, errors: int) -> None:
    """What any process starts with, in a session of its own."""
    os.setsid()
    for descriptor, place in ((frames, 0), (frames, 1), (errors, 2)):
        os.dup2(descriptor, place)
    os.closerange(3, _ALL_DESCRIPTORS)


if __name__ == "__main__":
    main()
