"""Bulk intake, `POST /api/v1/bulk`: a file of lines, as many as there are (`graph.importers.bulk` says what they may say).

The lines are read into a file on disk first, and wrong ones told apart. Then they are committed in the order of their
subjects, two thousand statements at a time, so that nothing depends on the order of lines and memory is bounded. Each commit
has an operation id made of the given one and its place, and the SHA-256 of what it says: the same lines sent again under
the same id, in whatever order, find what is done already, after a crash as well.

From when the body has come the operation runs by itself, whoever listens.
"""

import asyncio
import json
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from app.envelopes import checked_operation_id, clients_origin
from app.events import Hearing
from app.http.answers import refusal, refused
from app.http.parameters import parameters
from app.identity import Role
from app.intake.bulk_batches import Batch, Reader, batches
from app.intake.bulk_operation import BulkOperation, State, progress
from app.service import Headwater
from graph.changes import Receipt, Registration
from graph.errors import (
    Conflict,
    GraphError,
    InvalidInput,
    NotFound,
    OperationReused,
    PlanOutdated,
    StoreUnavailable,
    quoted,
)
from graph.importers.bulk import (
    Stage,
    Stretch,
    field_of,
    registration,
    subject_of,
)
from graph.model import Basis, Operation
from graph.stores.contract import Store
from graph.stores.spool import Problem, Spool
from graph.time import Instant

PATH = "/api/v1/bulk"
"""Where requests may bring more than elsewhere."""

NDJSON, JSON = "application/x-ndjson", "application/json"
_FORMS = (NDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines", JSON)

MOST_AT_ONCE = 4
"""Operations that are read or run: each has a file on disk, and may keep one of the threads that read."""
KEPT = 32
"""Operations that have ended and can still be asked about."""

_PROBLEMS_AT_ONCE = 1_000
_READ_AT_ONCE = 1 << 19
_TOLD_EVERY_SECONDS = 0.5
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Between attempts to commit, in seconds, while the store is away."""

STOPPING = "the service stops; send the same lines again under the same operation id to go on"


log = structlog.get_logger(__name__)


_PARAMETERS = ("origin", "operation", "basis")


class BulkIntake:
    def __init__(self, clock: Callable[[], Instant], sources: Hearing) -> None:
        self._clock = clock
        self._sources = sources
        self._operations: OrderedDict[str, BulkOperation] = OrderedDict()
        self._reading = 0
        self._to_run: asyncio.Queue[BulkOperation] = asyncio.Queue()
        self._turn = asyncio.Semaphore()
        """One of those commits that the store has under way at once."""

    def routes(self) -> list[BaseRoute]:
        return [Route(PATH, self._post, methods=["POST"])]

    def operation(self, id_: str) -> BulkOperation | None:
        """That of this id: it runs in this process, or ended here not long ago."""
        return self._operations.get(id_)

    async def run(self, headwater: Headwater) -> None:
        """Commits what has been read, operation beside operation, batch by batch in turn."""
        self._turn = asyncio.Semaphore(headwater.store.commits_at_once)
        async with asyncio.TaskGroup() as running:
            while True:
                running.create_task(self._run(headwater, await self._to_run.get()))

    # Reading

    def begin(self, origin: str | None, id_: str | None, basis: Basis, actor: str) -> BulkOperation:
        """Raises InvalidInput, Busy, StoreUnavailable."""
        origin = clients_origin(f"api:{actor}" if origin is None else origin)
        id_ = uuid.uuid4().hex if id_ is None else checked_operation_id(id_)
        running = sum(each.state is State.COMMITTING for each in self._operations.values())
        if running + self._reading >= MOST_AT_ONCE:
            raise Busy(f"{MOST_AT_ONCE} bulk operations are running, the most at once; try again when one has ended")
        return BulkOperation(id_, origin, basis, actor, self._clock())

    async def read(self, headwater: Headwater, operation: BulkOperation, body: AsyncIterator[bytes]) -> BulkOperation:
        """Reads all lines and lets them be committed; the operation that does it: an equal one may be at it already.

        Raises OperationReused, StoreUnavailable, and what `body` raises: then nothing was kept.
        """
        spool = operation.spool = Spool()
        reader = Reader(operation, spool)
        self._reading += 1
        shown = self._operations.setdefault(operation.id, operation)
        if shown.ended.is_set():
            self._operations[operation.id] = operation
        try:
            waiting = bytearray()
            async for chunk in body:
                waiting += chunk
                if len(waiting) >= _READ_AT_ONCE:
                    await headwater.in_thread(reader.take, bytes(waiting))
                    waiting.clear()
            await headwater.in_thread(reader.take, bytes(waiting))
            await headwater.in_thread(reader.end)
            itself = Operation(operation.id, operation.digest, operation.actor)
            operation.resumed = await headwater.in_thread(headwater.store.receipt_of, itself) is not None
            nothing = Registration(operation.origin, operation.basis)
            opened = await headwater.register(nothing, itself.id, itself.actor, itself.digest)
        except BaseException:
            if self._operations.get(operation.id) is operation:
                del self._operations[operation.id]
            raise
        finally:
            self._reading -= 1
        known = self._operations.get(operation.id)
        if known is not None and known.state is State.COMMITTING:
            return known
        operation.revision = opened.revision
        operation.state = State.COMMITTING
        self._keep(operation)
        self._to_run.put_nowait(operation)
        return operation

    def _keep(self, operation: BulkOperation) -> None:
        self._operations[operation.id] = operation
        self._operations.move_to_end(operation.id)
        ended = [each.id for each in self._operations.values() if each.ended.is_set()]
        for id_ in ended[: max(0, len(ended) - KEPT)]:
            del self._operations[id_]

    # Committing

    async def _run(self, headwater: Headwater, operation: BulkOperation) -> None:
        assert operation.spool is not None
        failure: GraphError | None = StoreUnavailable(STOPPING)
        try:
            await self._commit_all(headwater, operation, batches(operation, operation.spool))
            failure = None
        except* GraphError as errors:
            failure = _first_of(errors)
        except* Exception:
            log.exception("a bulk operation failed in a way nobody foresaw", operation=operation.id)
            failure = StoreUnavailable("the operation failed for a reason that the service's log tells")
        finally:
            operation.end(failure)
            self._sources.heard(operation.origin, operation.lines, rejected=operation.refused)
            log.info(
                "bulk operation ended",
                operation=operation.id,
                origin=operation.origin,
                state=operation.state,
                lines=operation.lines,
                refused=operation.refused,
                committed=operation.committed,
                revision=operation.revision,
                reason=failure and str(failure),
            )

    async def _commit_all(self, headwater: Headwater, operation: BulkOperation, to_commit: Iterator[Batch]) -> None:
        """As many at once as the store likes, all of one step: the next step begins when that is done."""
        at_once = headwater.store.commits_at_once
        free = asyncio.Semaphore(at_once)
        step: tuple[int, ...] = ()
        async with asyncio.TaskGroup() as committing:
            while (batch := await headwater.in_thread(_next_batch, to_commit)) is not None:
                if batch.step != step or batch.stage == Stage.WITHDRAWAL:  # which takes along what others may name
                    await _all_of(free, at_once)
                    step = batch.step
                await free.acquire()
                committing.create_task(self._commit(headwater, operation, batch)).add_done_callback(
                    lambda _: free.release()
                )

    async def _commit(self, headwater: Headwater, operation: BulkOperation, batch: Batch) -> None:
        if batch.stage == Stage.WITHDRAWAL:
            # What the origin does not say is refused, line by line, without a plan of all the others each time.
            said = await headwater.in_thread(_said, headwater.store, operation.origin, batch.stretches)
            for number, each in enumerate(batch.stretches):
                if each not in said:
                    await self._register(headwater, operation, batch.part(f"alone-{number}", [each]))
            batch = batch._replace(stretches=said)
        if batch.stretches:
            await self._register(headwater, operation, batch)

    async def _register(self, headwater: Headwater, operation: BulkOperation, batch: Batch) -> None:
        """Commits the batch; if something is wrong with it, its halves, down to what is wrong."""
        lines = sum(each.lines for each in batch.stretches)
        try:
            operation.count(await self._patiently(headwater, operation, batch), lines)
        except (PlanOutdated, OperationReused):
            raise
        except (InvalidInput, NotFound, Conflict) as error:
            if len(batch.stretches) > 1:
                for half in batch.halves():
                    await self._register(headwater, operation, half)
                return
            (stretch,) = batch.stretches
            name = field_of(batch.stage)
            wrong = [Problem(stretch.line, name, stretch.subject, str(error), type(error).__name__)]
            if operation.spool is not None:
                await headwater.in_thread(operation.spool.complain, wrong)
            operation.complain(wrong, lines)

    async def _patiently(self, headwater: Headwater, operation: BulkOperation, batch: Batch) -> Receipt:
        id_, actor = operation.id + batch.place, operation.actor
        said = operation.origin, batch.stretches[0].basis, batch.stage, batch.stretches
        wanted = await headwater.in_thread(registration, *said)
        pauses = iter(_PAUSES)
        while True:
            try:
                if operation.resumed:
                    known = Operation(id_, batch.digest, actor)
                    if (done := await headwater.in_thread(headwater.store.receipt_of, known)) is not None:
                        return done
                async with self._turn:
                    return await headwater.register(wanted, id_, actor, batch.digest)
            except (StoreUnavailable, PlanOutdated) as error:
                pause = next(pauses, None)
                if pause is None:
                    raise
                log.warning("a bulk operation waits for the store", operation=operation.id, reason=str(error))
                await asyncio.sleep(pause)

    # HTTP

    async def _post(self, request: Request) -> Response:
        request.state.principal.require(Role.CONTRIBUTOR)
        headwater: Headwater = request.state.headwater
        form = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if form not in _FORMS:
            return refusal(415, f"lines come as {NDJSON}, not as {quoted(form)}", "UNSUPPORTED_MEDIA_TYPE")
        try:
            given = parameters(request, _PARAMETERS)
            basis = _basis(given.get("basis", Basis.IMPORTED))
            operation = self.begin(given.get("origin"), given.get("operation"), basis, request.state.principal.name)
            running = await self.read(headwater, operation, request.stream())
        except Busy as error:
            return refusal(503, str(error), "BUSY", {"Retry-After": "5"})
        except GraphError as error:
            return refused(error)
        stopping: asyncio.Event = request.app.state.stopping
        accept = request.headers.get("accept", "")
        if JSON in accept and NDJSON not in accept:
            await _first(running.ended, stopping)
            return _one_answer(running)
        return StreamingResponse(_told(headwater, running, running.spool, stopping), media_type=NDJSON)


class Busy(Exception):
    """Too many operations at once. `str(error)` is for people."""


async def lines_in(documents: Sequence[object]) -> AsyncIterator[bytes]:
    """Parsed lines, as a body would bring them."""
    for document in documents:
        yield json.dumps(document).encode() + b"\n"  # numbers of any length: which are too long, the line is told


async def told_until_ended(operation: BulkOperation, stopping: asyncio.Event) -> AsyncIterator[None]:
    """Now, every half second, and once it has ended, or the service stops."""
    while not operation.ended.is_set() and not stopping.is_set():
        yield
        await _first(operation.ended, stopping, _TOLD_EVERY_SECONDS)
    yield


async def _told(
    headwater: Headwater, operation: BulkOperation, spool: Spool | None, stopping: asyncio.Event
) -> AsyncIterator[bytes]:
    """Every problem as it is found, how far the operation has come, and how it ended."""
    place = 0
    async for _ in told_until_ended(operation, stopping):
        ended = operation.ended.is_set()
        while spool is not None and (some := await headwater.in_thread(spool.problems, place, _PROBLEMS_AT_ONCE)):
            yield b"".join(orjson.dumps({"error": problem._asdict()}) + b"\n" for _, problem in some)
            place = some[-1][0]
        if not ended and not stopping.is_set():
            yield orjson.dumps({"progress": progress(operation)}) + b"\n"
    yield (
        orjson.dumps({"failed": _failed(operation)} if _has_failed(operation) else {"done": progress(operation)})
        + b"\n"
    )


def _one_answer(operation: BulkOperation) -> Response:
    if _has_failed(operation):
        return refused(operation.failure or StoreUnavailable(STOPPING))
    errors = [problem._asdict() for problem in operation.problems]
    return Response(orjson.dumps({"done": progress(operation), "errors": errors}), media_type=JSON)


def _has_failed(operation: BulkOperation) -> bool:
    """It did, or will before anybody could tell: the service stops."""
    return operation.state is not State.DONE


def _failed(operation: BulkOperation) -> dict[str, object]:
    failure = operation.failure or StoreUnavailable(STOPPING)
    return {**progress(operation), "message": str(failure), "code": type(failure).__name__}


async def _first(one: asyncio.Event, other: asyncio.Event, seconds: float | None = None) -> None:
    """Returns when one of them is set, or after so many seconds."""
    waiting = [asyncio.ensure_future(each.wait()) for each in (one, other)]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


async def _all_of(free: asyncio.Semaphore, count: int) -> None:
    """Returns when all `count` of it have been given back."""
    for _ in range(count):
        await free.acquire()
    for _ in range(count):
        free.release()


def _first_of(errors: ExceptionGroup[GraphError]) -> GraphError:
    (error, *_) = errors.exceptions
    return _first_of(error) if isinstance(error, ExceptionGroup) else error


def _next_batch(to_commit: Iterator[Batch]) -> Batch | None:
    return next(to_commit, None)


def _said(store: Store, origin: str, stretches: Sequence[Stretch]) -> list[Stretch]:
    """Those whose subject the origin ever said."""
    believed = store.believed([subject_of(each.subject) for each in stretches])
    said = {str(subject) for subject, spans in believed.items() if any(span.origin == origin for span in spans)}
    return [each for each in stretches if each.subject in said]


def _basis(text: str) -> Basis:
    try:
        return Basis(text)
    except ValueError:
        raise InvalidInput(f"basis is {quoted(text)}; it is one of {', '.join(Basis)}", text) from None
