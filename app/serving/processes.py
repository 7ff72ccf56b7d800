"""The service's side of a model's process: starting it, asking it, and replacing it when it dies or takes too long."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog

from app.events import Columns
from app.serving.frames import PREFIX, Frame, FrameBroken, decoded, encoded, sizes
from app.serving.models import Datatype, Signature, Tensor
from app.serving.protocol import Unanswered
from app.serving.starting import Child, LastWords, Nursery
from graph.errors import Conflict, GraphError

LOAD_SECONDS = 60.0
MAX_WAITING = 64
"""Requests that wait for one model."""
_END_SECONDS = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE, _STEADY_SECONDS = 0.5, 30.0, 30.0

log = structlog.get_logger(__name__)


class _Lost(Exception):
    """The process is gone, or speaks nonsense."""


class _Process:
    """One model, loaded. It is asked one thing at a time; after any error but Unanswered it is good for nothing."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._said = LastWords("a model's process says", child.errors)
        self.ended = child.ended
        self.platform = ""
        self.types: dict[str, Datatype] = {}
        self.since = time.monotonic()

    @classmethod
    async def started(cls, artifact: bytes, signature: Signature, nursery: Nursery) -> "_Process":
        """Raises OSError, and Conflict, which says why the artifact cannot be served."""
        self = cls(await nursery.child(artifact))
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                asked = {"inputs": [*map(_told, signature.inputs)], "outputs": [*map(_told, signature.outputs)]}
                loaded = (await self._exchange(encoded(asked, {}, artifact))).header
            if "unfit" in loaded:
                raise Conflict(str(loaded["unfit"]))
            self.platform = str(loaded["platform"])
            self.types = {str(name): Datatype(type_) for name, type_ in loaded["types"].items()}
        except BaseException as error:
            await self.end()
            if isinstance(error, TimeoutError):
                raise Conflict(f"it took longer than {LOAD_SECONDS:g} s to load") from error
            if isinstance(error, _Lost | KeyError | ValueError | AttributeError):
                raise Conflict(f"its process ended while loading it ({error}){self._said}") from error
            raise
        return self

    async def ask(self, inputs: Columns, signature: Signature) -> Columns:
        """Raises Unanswered for what the model says no to, and _Lost."""
        frame = await self._exchange(encoded({}, inputs))
        if "refused" in frame.header:
            raise Unanswered(400, f"the model refuses the inputs: {frame.header['refused']}")
        if "failed" in frame.header:
            raise Unanswered(500, f"the model failed: {frame.header['failed']}")
        rows = len(next(iter(inputs.values())))
        for tensor in signature.outputs:
            array = frame.arrays.get(tensor.name)
            if array is None or array.shape != (rows, *tensor.dims) or array.dtype != self.types[tensor.name].dtype:
                raise _Lost(f"it answered {tensor.name!r} in another form than its signature's")
        return {tensor.name: frame.arrays[tensor.name] for tensor in signature.outputs}

    async def end(self) -> None:
        """A process that does not end by itself is killed."""
        self._child.asks.close()
        await asyncio.wait([self.ended], timeout=_END_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        self._child.asks.close()
        with suppress(ProcessLookupError):
            if not self.ended.done():
                self._child.kill()
        await asyncio.wait([self.ended], timeout=_END_SECONDS)  # the nursery may be stopped
        await asyncio.wait([self._said.listening], timeout=_END_SECONDS)  # a child of its own may keep the pipe open
        self._said.listening.cancel()

    def obituary(self) -> str:
        code = self.ended.result() if self.ended.done() else None
        how = "lost" if code is None else f"ended by signal {-code}" if code < 0 else f"ended with {code}"
        return f"{how}{self._said}"

    async def _exchange(self, pieces: list[bytes]) -> Frame:
        """Raises _Lost."""
        ask, answer = self._child.asks, self._child.answers
        try:
            for piece in pieces:
                ask.write(piece)
            await ask.drain()
            head, body = sizes(await answer.readexactly(PREFIX.size))
            return decoded(await answer.readexactly(head), await answer.readexactly(body))
        except (asyncio.IncompleteReadError, ConnectionError, FrameBroken) as error:
            raise _Lost(str(error) or type(error).__name__) from error


@dataclass(slots=True)
class _Request:
    inputs: Columns
    gone: Callable[[], Awaitable[bool]]
    answer: "asyncio.Future[Columns]"

    def refuse(self, why: Unanswered) -> None:
        if not self.answer.done():
            self.answer.set_exception(why)


class Worker:
    """A version that answers: one process at a time, and the queue of those who wait for it, first come first served.

    `started` once, `predict` within `using`, `retired` at the end: that waits for those who use it.
    """

    def __init__(
        self, name: str, artifact: Callable[[], Awaitable[bytes]], nursery: Nursery, timeout_seconds: float
    ) -> None:
        self._name = name
        self._artifact = artifact
        self._nursery = nursery
        self._timeout_seconds = timeout_seconds
        self._waiting: deque[_Request] = deque()
        self._wanted = asyncio.Event()
        self._using = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self._pause = 0.0
        self.ready = False

    async def start(self, signature: Signature) -> None:
        """Sets `signature`, with the types of its outputs, and `platform`. Raises GraphError."""
        self._process = await _Process.started(await self._artifact(), signature, self._nursery)
        self.platform = self._process.platform
        self.signature = Signature(
            signature.inputs,
            tuple(Tensor(each.name, self._process.types[each.name], each.dims) for each in signature.outputs),
        )
        self.ready = True
        self._serving = asyncio.create_task(self._serve())

    @contextmanager
    def using(self) -> Iterator["Worker"]:
        self._using += 1
        self._unused.clear()
        try:
            yield self
        finally:
            self._using -= 1
            if not self._using:
                self._unused.set()

    async def predict(self, inputs: Columns, gone: Callable[[], Awaitable[bool]]) -> Columns:
        """Raises Unanswered. `gone`: the caller has left, so nothing need be computed."""
        if not self.ready:
            raise Unanswered(503, f"{self._name} is being restarted", 1)
        if len(self._waiting) >= MAX_WAITING:
            raise Unanswered(503, f"{MAX_WAITING} requests wait for {self._name} already", 1)
        request = _Request(inputs, gone, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._wanted.set()
        return await request.answer

    async def retire(self) -> None:
        await self._unused.wait()
        await self.end()

    async def end(self) -> None:
        self.ready = False
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)
        self._refuse_waiting("is being stopped")
        await self._process.end()

    async def _serve(self) -> None:
        while True:
            if not self._waiting:
                self._wanted.clear()
                wanted = asyncio.ensure_future(self._wanted.wait())
                try:
                    await asyncio.wait([wanted, self._process.ended], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    wanted.cancel()
            lives = not self._process.ended.done()
            if lives and self._waiting:
                lives = await self._serve_next(self._waiting.popleft())
            if not lives:
                await self._replace()

    async def _serve_next(self, request: _Request) -> bool:
        """False: the process is lost."""
        if request.answer.done():
            return True
        if await request.gone():
            request.refuse(Unanswered(499, "the caller has left"))
            return True
        try:
            async with asyncio.timeout(self._timeout_seconds):
                outputs = await self._process.ask(request.inputs, self.signature)
        except Unanswered as refused:
            request.refuse(refused)
        except TimeoutError:
            request.refuse(Unanswered(504, f"{self._name} took longer than {self._timeout_seconds:g} s"))
            return False
        except _Lost:
            request.refuse(Unanswered(503, f"the process of {self._name} ended while it computed; send it again", 1))
            return False
        except asyncio.CancelledError:
            request.refuse(Unanswered(503, f"{self._name} is being stopped; send it again", 1))
            raise
        else:
            if not request.answer.done():
                request.answer.set_result(outputs)
        return True

    async def _replace(self) -> None:
        self.ready = False
        self._refuse_waiting("is being restarted")
        await self._process.kill()
        log.error("a model's process is replaced", model=self._name, process=self._process.obituary())
        steady = time.monotonic() - self._process.since > _STEADY_SECONDS
        self._pause = 0.0 if steady else self._pause
        while not self.ready:
            await asyncio.sleep(self._pause)
            self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
            try:
                self._process = await _Process.started(await self._artifact(), self.signature, self._nursery)
                self.ready = True
            except (GraphError, OSError) as error:
                log.error("a model cannot be restarted; trying again", model=self._name, reason=str(error))

    def _refuse_waiting(self, why: str) -> None:
        while self._waiting:
            self._waiting.popleft().refuse(Unanswered(503, f"{self._name} {why}; send it again", 1))


def _told(tensor: Tensor) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "dims": tensor.dims}
