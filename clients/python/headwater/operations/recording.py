"""What is recorded whether or not the service can be reached: kept on disk first, then sent in order of arrival."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from headwater.bulk import Events, Line, body
from headwater.connection import Connection
from headwater.errors import AccessRefused, Refused, SpoolUnusable, Unreachable
from headwater.operations.graph import accepted, asked
from headwater.operations.models import artifact_call
from headwater.operations.telling import bulk_call, import_call
from headwater.schema.input_types import ManifestInput
from headwater.schema.operations import REGISTER_GQL
from headwater.spool import Kept, Kind
from headwater.transport import Call, Json, NoAnswer, Pause, Steps, answered, attempted, checked, plain, refused

_LOCK_TRIES, _LOCK_SECONDS = 100, 0.05
_LINES_BYTES = 1 << 20
"""Of an entry of lines: so that sending goes on where it stopped."""


@dataclass(frozen=True)
class Recorded:
    """What became of it."""

    operations: tuple[str, ...]
    sent: bool
    """The service has it; else it waits on disk, and goes with the next that is recorded, or by `flush`."""


@dataclass(frozen=True)
class Flushed:
    """How a flush went. Nothing that waits is lost; `spool.refused()` says why the service would not take what it refused."""

    sent: int
    refused: int
    waiting: int
    stopped_by: str | None
    """Why something still waits."""


def record(
    self: Connection,
    /,
    manifest: Mapping[str, Any] | ManifestInput,
    origin: str | None = None,
    basis: str = "OBSERVED",
    operation_id: str | None = None,
    valid_from: datetime | None = None,
) -> Steps[Recorded]:
    """Registers a `ManifestInput` now, or later if the service cannot be reached: then it waits on disk.

    It holds from `valid_from` on, absent: from now, whenever it is sent. What withdraws something (`complete`) is not
    recorded but registered, as it must not come late. Raises Refused for what is refused at once, SpoolFull if it can be
    neither sent nor kept.

    >>> client.record({"datasets": [{"namespace": "shop", "name": "refunds"}]}, origin="refunds").sent
    True
    """
    given = plain(manifest) if isinstance(manifest, ManifestInput) else dict(manifest)
    if given.get("complete"):
        raise ValueError("complete: what withdraws other statements must not come late; use register")
    operation = operation_id or str(uuid.uuid4())
    since = (valid_from or datetime.now(timezone.utc)).isoformat()
    envelope = {"origin": origin, "basis": basis, "operationId": operation, "validFrom": since}
    variables = json.loads(json.dumps({"manifest": given, "envelope": envelope}, default=plain, allow_nan=False))
    return (yield from recorded(self, Kept(Kind.REGISTRATION, operation, variables)))


def record_lines(
    self: Connection, /, lines: Iterable[Line], origin: str | None = None, basis: str = "OBSERVED"
) -> Steps[Recorded]:
    """Registers lines, as `bulk` takes them, now or later. Of lines that are refused the others are kept.

    >>> client.record_lines([{"asset": "dataset:shop/returns"}], origin="returns").sent
    True
    """
    entries = [
        Kept(Kind.LINES, str(uuid.uuid4()), {"origin": origin, "basis": basis}, chunk)
        for chunk in _joined(body(lines, plain))
    ]
    return (yield from recorded(self, *entries))


def record_event(self: Connection, /, event: Mapping[str, Any]) -> Steps[Recorded]:
    """Sends an event of OpenLineage, now or later. Its own run id and time make it the same event each time.

    >>> event = {
    ...     "eventTime": "2026-01-01T00:00:00Z", "eventType": "COMPLETE", "producer": "https://example.com/nightly",
    ...     "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    ...     "run": {"runId": "0197a2b4-0000-7000-8000-000000000001"}, "job": {"namespace": "shop", "name": "nightly"},
    ...     "inputs": [{"namespace": "shop", "name": "refunds"}], "outputs": [{"namespace": "shop", "name": "returns"}],
    ... }
    >>> client.record_event(event).sent
    True
    """
    content = json.dumps(event, default=plain, allow_nan=False).encode()
    return (yield from recorded(self, Kept(Kind.EVENT, str(uuid.uuid4()), {}, content)))


def record_artifact(self: Connection, /, content: bytes) -> Steps[Recorded]:
    """Uploads a model's bytes now or later: as `artifact:sha256:…` a version may name them before they are there.

    >>> client.record_artifact(b"model").sent
    True
    """
    call = artifact_call(content)
    try:
        yield from answered(call)
    except Unreachable:
        return (yield from recorded(self, Kept(Kind.ARTIFACT, str(uuid.uuid4()), {}, content)))
    return Recorded((), True)


def record_document(self: Connection, /, format: str, document: Json, origin: str, namespace: str) -> Steps[Recorded]:
    """What `import_document` takes, now or later: for what its origin says once, as it may come late.

    >>> document = {"dialect": "duckdb", "files": [{"path": "a.sql", "text": "create view recent as select id from carts"}]}
    >>> client.record_document("sql", document, "recent", "shop").sent
    True
    """
    content = json.dumps(document, default=plain, allow_nan=False).encode()
    arguments = {"format": format, "origin": origin, "namespace": namespace}
    return (yield from recorded(self, Kept(Kind.DOCUMENT, str(uuid.uuid4()), arguments, content)))


def flush(self: Connection, /, refused: bool = False) -> Steps[Flushed]:
    """Sends what waits on disk, in order of arrival: until nothing does, or the service does not answer.

    What it refuses is put aside with the reason; `refused`: take up again what was put aside. Waits up to five seconds for
    another process that sends. Raises AccessRefused, and keeps all.

    >>> client.flush()
    Flushed(sent=0, refused=0, waiting=0, stopped_by=None)
    """
    if refused:
        self.spool._retake()
    flushed, _ = yield from _flushed(self, None)
    return flushed


def recorded(self: Connection, /, *entries: Kept) -> Steps[Recorded]:
    operations = tuple(each.operation for each in entries)
    if not entries:
        return Recorded((), True)
    try:
        last = self.spool._keep(*entries)
    except SpoolUnusable:  # then it is sent, or the caller hears that it was not
        for each in entries:
            yield from _send(self, each)
        return Recorded(operations, True)
    if self.spool._is_quiet():
        return Recorded(operations, False)
    _, problem = yield from _flushed(self, {*operations})
    if problem is not None:
        raise problem
    return Recorded(operations, not self.spool._holds(last))


def _flushed(self: Connection, /, own: set[str] | None) -> Steps[tuple[Flushed, Refused | None]]:
    """And the refusal of one of its own, which is then not put aside: whoever sent it hears of it."""
    spool, sent, refusals, stopped = self.spool, 0, 0, None
    problem: Refused | None = None
    if spool.waiting == 0:
        return Flushed(0, 0, 0, None), None
    for _ in range(_LOCK_TRIES):
        lock = spool._try_lock()
        if lock is not None:
            break
        yield Pause(_LOCK_SECONDS)
    else:
        return Flushed(0, 0, spool.waiting, "another process sends"), None
    try:
        while (kept := spool._first()) is not None:
            try:
                yield from _send(self, kept)
            except Unreachable as error:  # noqa: PERF203  each by itself
                spool._quieten()
                stopped = str(error)
                break
            except Refused as error:
                if isinstance(error, AccessRefused):
                    raise
                if error.code.isdecimal() and int(error.code) >= 500:  # its fault, not that of what is sent
                    spool._quieten()
                    stopped = str(error)
                    break
                if own and kept.operation in own:
                    spool._sent(kept)
                    problem = problem or error
                else:
                    spool._refuse(kept, str(error))
                    refusals += 1
            else:
                spool._sent(kept)
                sent += 1
    finally:
        lock.close()
    return Flushed(sent, refusals, spool.waiting, stopped), problem


def _send(self: Connection, /, kept: Kept) -> Steps[None]:
    """Once: that it waits on disk is what makes it patient."""
    if kept.kind is Kind.REGISTRATION:
        accepted((yield from asked(self, REGISTER_GQL, kept.arguments, patient=False))["registered"])
        return
    if kept.kind is Kind.LINES:
        events = Events(kept.operation)
        call = bulk_call(
            kept.content.splitlines(), kept.arguments["origin"], kept.operation, kept.arguments["basis"], events
        )
        try:
            answer = yield from attempted(call)
        except NoAnswer as error:
            raise Unreachable(str(error)) from error
        if answer.status in {502, 503, 504}:
            raise Unreachable(answer.message)
        if checked(answer).status >= 400:
            raise refused(answer)
        wrong = events.outcome()["errors"]
        if wrong:
            first = wrong[0]
            raise Refused(f"{len(wrong):,} lines; line {first['line']}: {first['message']}", str(first["code"]))
        return
    if kept.kind is Kind.DOCUMENT:
        call = import_call(kept.content, operation=kept.operation, **kept.arguments)
    elif kept.kind is Kind.EVENT:
        call = Call("POST", "/api/v1/lineage", kept.content, {"Content-Type": "application/json"})
    else:
        call = artifact_call(kept.content)
    answer = yield from answered(call, patient=False)
    if answer.status >= 400:
        raise refused(answer)


def _joined(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, in pieces of about a megabyte."""
    held = bytearray()
    for line in itertools.chain.from_iterable(chunk.splitlines(keepends=True) for chunk in chunks):
        held += line
        if len(held) >= _LINES_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
