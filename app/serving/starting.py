"""How a model's process comes to be: spawned, or forked off the nursery, which has imported scikit-learn already."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

import app
from app.serving.nursery import EXIT_CODE
from app.serving.worker import COMMAND, is_archive

_START_SECONDS, _END_SECONDS = 60.0, 2.0
_KEPT_BYTES = 2000

_NURSERY = ("-P", "-m", "app.serving.nursery")
_KEPT = ("LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "SYSTEMROOT")
_ENVIRONMENT = {
    "PYTHONPATH": str(Path(app.__file__).parents[1]),
    "PYTHONUTF8": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    **{name: os.environ[name] for name in _KEPT if name in os.environ},
}
"""All that a model's process is given: what Python needs, and no word of the service's own."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Child:
    """A process that speaks frames."""

    asks: asyncio.StreamWriter
    answers: asyncio.StreamReader
    errors: asyncio.StreamReader
    ended: "asyncio.Task[int | None]"
    """With its exit code; None: the nursery, which knew it, is gone, and so is the process."""
    kill: Callable[[], None]
    """Raises ProcessLookupError when it has ended, and must not be called once `ended` is done."""


class LastWords:
    """What a process says on stderr is logged, and its end kept."""

    def __init__(self, event: str, errors: asyncio.StreamReader) -> None:
        self._said = b""
        self.listening = asyncio.create_task(self._listen(event, errors))

    def __str__(self) -> str:
        said = self._said.decode(errors="replace").strip()
        return f"; its last words: {said[-500:]}" if said else ""

    async def _listen(self, event: str, errors: asyncio.StreamReader) -> None:
        while said := await errors.read(65_536):
            self._said = (self._said + said)[-_KEPT_BYTES:]
            log.debug(event, text=said[-_KEPT_BYTES:].decode(errors="replace").strip())


class Nursery:
    """Starts processes of models. The nursery itself is started when it is first needed, and again when it has died."""

    _control: socket.socket
    _said: LastWords

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._one_at_a_time = asyncio.Lock()

    async def child(self, artifact: bytes) -> Child:
        """One that will be able to load this; it was not given it yet. Raises OSError."""
        if not is_archive(artifact) or not _has_pidfds():
            process = await _spawned(COMMAND, PIPE, PIPE)
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            ended: asyncio.Task[int | None] = asyncio.create_task(process.wait())
            return Child(process.stdin, process.stdout, process.stderr, ended, process.kill)
        async with self._one_at_a_time:
            if self._process is None or self._process.returncode is not None:
                await self._start()
            try:
                async with asyncio.timeout(_START_SECONDS):
                    return await self._forked()
            except OSError as error:
                await self.end()
                raise OSError(
                    f"no process could be forked: {str(error) or type(error).__name__}{self._said}"
                ) from error

    async def end(self) -> None:
        """And with it all that it has forked."""
        process, self._process = self._process, None
        if process is None:
            return
        self._control.close()
        ended = asyncio.create_task(process.wait())
        await asyncio.wait([ended, self._said.listening], timeout=_END_SECONDS)
        with suppress(ProcessLookupError):
            process.kill()
        await ended
        self._said.listening.cancel()

    async def _start(self) -> None:
        if self._process is not None:
            log.error("the nursery of models' processes has died", code=self._process.returncode, said=str(self._said))
            await self.end()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = await _spawned(_NURSERY, theirs.fileno(), DEVNULL)
        assert self._process.stderr is not None
        self._said = LastWords("the nursery says", self._process.stderr)

    async def _forked(self) -> Child:
        with ExitStack() as undo:
            with ExitStack() as lent:
                (frames, its_frames), (channel, its_channel) = socket.socketpair(), socket.socketpair()
                errors, its_errors = (
                    os.fdopen(end, mode, 0) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
                )
                for ours in (frames, channel, errors):
                    undo.enter_context(ours)
                for its in (its_frames, its_errors, its_channel):
                    lent.enter_context(its)
                descriptors = [its_frames.fileno(), its_errors.fileno(), its_channel.fileno()]
                try:
                    socket.send_fds(self._control, [b"+"], descriptors)
                except BrokenPipeError:
                    raise _ended_early() from None
            await _readable(channel)
            _, pidfds, _, _ = socket.recv_fds(channel, 1, 1)
            if not pidfds:
                raise _ended_early()
            [pidfd] = pidfds
            undo.callback(os.close, pidfd)
            answers, asks = await asyncio.open_unix_connection(sock=frames)
            undo.callback(asks.close)
            said = asyncio.StreamReader()
            await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(said), errors)
            undo.pop_all()
        ended = asyncio.create_task(_ended(channel, pidfd))
        return Child(asks, answers, said, ended, partial(signal.pidfd_send_signal, pidfd, signal.SIGKILL))


def _ended_early() -> OSError:
    return ConnectionResetError("the nursery ended")


async def _spawned(command: tuple[str, ...], stdin: int, stdout: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdin=stdin,
        stdout=stdout,
        stderr=PIPE,
        cwd="/",
        env=_ENVIRONMENT,
        start_new_session=True,
    )


async def _ended(channel: socket.socket, pidfd: int) -> int | None:
    try:
        await _readable(channel)
        code = channel.recv(EXIT_CODE.size)
        if code:
            [found] = EXIT_CODE.unpack(code)
            return int(found)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return None
    finally:
        channel.close()
        os.close(pidfd)


async def _readable(channel: socket.socket) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(channel, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(channel)


def _has_pidfds() -> bool:
    """Linux has, from 5.3 on."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True
