"""What a bulk operation is told, line by line, and what of that is said in one commit."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple, TypeAlias

import orjson

from app.intake.bulk_operation import BulkOperation
from graph.importers.bulk import (
    MAX_LINE_BYTES,
    MOST_LINES_OF_ONE,
    Line,
    LineRefused,
    Stage,
    Stretch,
    field_of,
    folded,
    read_line,
)
from graph.stores.spool import Problem, Repeated, Spool

_STATEMENTS = 2_000
"""In one commit: single writers wait for it."""
_BYTES = 4 << 20
"""Of attributes in one commit."""
_BYTES_OF_ONE = 1 << 20
"""Of attributes in all lines about one subject."""

Place: TypeAlias = str


class Reader:
    """Cuts what arrives into lines, reads them, and writes them to the operation's spool. Its methods run in threads."""

    def __init__(self, operation: BulkOperation, spool: Spool) -> None:
        self._operation = operation
        self._spool = spool
        self._number = 0
        self._rest = b""
        self._sum = 0

    def take(self, block: bytes) -> None:
        lines = (self._rest + block).split(b"\n")
        self._rest = lines.pop()[: MAX_LINE_BYTES + 1]
        self._take(lines)

    def end(self) -> None:
        """No more will come. Leaves the operation its digest, which the order of lines and wrong ones do not change."""
        self._take([self._rest])
        operation = self._operation
        content = [operation.origin, operation.basis, operation.lines - operation.refused, f"{self._sum:x}"]
        operation.digest = sha256(orjson.dumps(["bulk", *content])).hexdigest()

    def _take(self, lines: Iterable[bytes]) -> None:
        good: list[tuple[int, Line]] = []
        wrong: list[Problem] = []
        basis, now = self._operation.basis, self._operation.at
        for text in lines:
            self._number += 1
            if not text or text.isspace():
                continue
            try:
                line = read_line(_bounded(text.removeprefix(_BOM) if self._number == 1 else text), basis, now)
            except LineRefused as error:
                wrong.append(Problem(self._number, error.field, error.value, str(error), error.code))
            else:
                good.append((self._number, line))
                self._sum += int.from_bytes(line.digest)
        self._sum %= 1 << 256
        self._spool.add(good, wrong)
        self._operation.lines += len(good) + len(wrong)
        self._operation.complain(wrong, len(wrong))


_BOM = b"\xef\xbb\xbf"


def _bounded(text: bytes) -> bytes:
    if len(text) > MAX_LINE_BYTES:
        raise LineRefused(
            f"the line is longer than {MAX_LINE_BYTES:,} bytes, the most taken",
            None,
            text[:200].decode(errors="replace"),
        )
    return text


class Batch(NamedTuple):
    """What one commit says: each stretch of another subject, all of one stage and basis."""

    place: Place
    """The same for the same lines, whenever and in whatever order they come."""
    digest: str
    step: tuple[int, ...]
    """All batches of a step are about different subjects. Its first number is the stage."""
    stretches: Sequence[Stretch]

    @property
    def stage(self) -> int:
        return self.step[0]

    def part(self, name: str, stretches: Sequence[Stretch]) -> "Batch":
        return self._replace(place=f"{self.place}.{name}", stretches=stretches)

    def halves(self) -> "tuple[Batch, Batch]":
        middle = len(self.stretches) // 2
        return self.part("0", self.stretches[:middle]), self.part("1", self.stretches[middle:])


class _Cut:
    """Gathers statements of one step, by basis, and cuts them into batches."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._number = 0
        self._step: tuple[int, ...] = ()
        self._gathered: dict[int, list[tuple[Stretch, bytes]]] = {}
        self._bytes = 0

    def add(self, step: tuple[int, ...], stretch: Stretch, digest: bytes) -> Sequence[Batch]:
        """`digest` is of what is said, as the client said it. Statements of another step close what was gathered."""
        closed: Sequence[Batch] = ()
        if step != self._step:
            closed = self.rest()
            self._step = step
        gathered = self._gathered.setdefault(stretch.basis, [])
        gathered.append((stretch, digest))
        self._bytes += len(stretch.attributes)
        if len(gathered) >= _STATEMENTS or self._bytes >= _BYTES:
            return [*closed, *self.rest()]
        return closed

    def rest(self) -> Sequence[Batch]:
        batches = [self._batch(basis) for basis in sorted(self._gathered)]
        self._bytes = 0
        return batches

    def _batch(self, basis: int) -> Batch:
        gathered = self._gathered.pop(basis)
        self._number += 1
        digest = sha256(b"".join(digest for _, digest in gathered)).hexdigest()
        return Batch(f"{self._prefix}{self._number}", digest, self._step, [stretch for stretch, _ in gathered])


def batches(operation: BulkOperation, spool: Spool) -> Iterator[Batch]:
    """All that the operation's lines say, in the order to commit it. Refuses lines that others contradict."""
    now = operation.at
    wrong = [
        Problem(
            line, "withdraw", subject, f"{subject} is withdrawn here and stated in line {stated}: say one", "Conflict"
        )
        for line, subject, stated in spool.contradictions()
    ]
    spool.complain(wrong)
    operation.complain(wrong, len(wrong))
    cut = _Cut(f"#{_STATEMENTS}-")  # cut elsewhere, as by former versions, they are other commits
    for lines in _by_subject(operation, spool):
        if len(lines) == 1 or lines[0][2] == Stage.WITHDRAWAL:
            number, count, stage, subject, since, until, _, basis, attributes, digest = lines[0]
            count = sum(each[1] for each in lines) if len(lines) > 1 else count
            stretch = Stretch(subject, since, until, basis, attributes, number, count)
            yield from cut.add((stage,), stretch, digest)
        else:
            different = [(each[0], Line(*each[2:])) for each in lines]
            stretches = folded(different, sum(each[1] for each in lines))
            spool.put_off(lines[0][2], stretches, all(line.dated for _, line in different))
    yield from cut.rest()
    # What depends on the instant of this attempt is not what an earlier one committed, and is said anew by each.
    cuts = {True: _Cut("#history-"), False: _Cut(f"#{now}-")}
    for dated, stage, place, stretch in spool.put_off_stretches():
        if not dated:
            yield from cuts[True].rest()
        yield from cuts[dated].add((stage, place), stretch, sha256(repr(stretch[:5]).encode()).digest())
    yield from cuts[True].rest()
    yield from cuts[False].rest()


def _by_subject(operation: BulkOperation, spool: Spool) -> Iterator[list[Repeated]]:
    """The different lines of each subject, in their order. Those beyond a limit are refused."""
    lines: list[Repeated] = []
    size = 0
    for row in spool.in_order():
        number, count, stage, subject, *_, attributes, _ = row
        if not lines or subject != lines[0][3] or stage != lines[0][2]:
            if lines:
                yield lines
            lines, size = [row], 0
        elif len(lines) < MOST_LINES_OF_ONE and size + len(attributes) <= _BYTES_OF_ONE:
            lines.append(row)
        else:
            most = f"more than {MOST_LINES_OF_ONE:,} lines, or than {_BYTES_OF_ONE:,} bytes of attributes,"
            message = f"{most} are about {subject}; send its history in several operations"
            wrong = [Problem(number, field_of(stage), subject, message, "InvalidInput")]
            spool.complain(wrong)
            operation.complain(wrong, count)
        size += len(attributes)
    if lines:
        yield lines
