"""The revisions that this process committed last, so that whoever follows need not read back what was just written."""

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace

from graph.model import Known, StoredAssertion
from graph.stores.contract import Revision

_MOST_REVISIONS = 256
_MOST_ROWS = 2_000


class RecentRevisions:
    """A run of revisions without gaps, bounded in number and in rows; the last one is always kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._revisions: deque[Revision] = deque()
        self._rows = 0
        self._ended: dict[int, int] = {}
        """Rows that were opened in this run and closed later in it: their number, and the revision that closed them."""

    def add(self, revisions: Iterable[Revision]) -> None:
        """Committed just now, in order. Others may have committed before them: then the run starts anew."""
        with self._lock:
            for revision in revisions:
                if self._revisions and self._revisions[-1].number + 1 != revision.number:
                    self._clear()
                self._revisions.append(revision)
                self._rows += _size(revision)
                for row in revision.closed:
                    if self._opened(row):
                        self._ended[row.number] = revision.number
            while len(self._revisions) > 1 and (self._rows > _MOST_ROWS or len(self._revisions) > _MOST_REVISIONS):
                oldest = self._revisions.popleft()
                self._rows -= _size(oldest)
                if self._ended:
                    for row in oldest.opened:
                        self._ended.pop(row.number, None)

    def since(self, revision: int, head: int, limit: int) -> list[Revision] | None:
        """The revisions after `revision`, at most `limit`; None where this run does not hold all of them up to `head`."""
        with self._lock:
            if not self._revisions or self._revisions[-1].number < head:
                return None
            first = self._revisions[0].number
            if revision + 1 < first:
                return None
            start = revision + 1 - first
            # From the end: a deque reaches that at once, and followers ask for what is newest.
            length = len(self._revisions)
            wanted = [self._revisions[place] for place in range(start, min(start + limit, length))]
            ended = self._ended
            return [_as_known(each, ended) for each in wanted] if ended else wanted

    def _opened(self, row: StoredAssertion) -> bool:
        return row.known.first >= self._revisions[0].number

    def _clear(self) -> None:
        self._revisions.clear()
        self._ended.clear()
        self._rows = 0


def _size(revision: Revision) -> int:
    return len(revision.opened) + len(revision.closed)


def _as_known(revision: Revision, ended: Mapping[int, int]) -> Revision:
    if not any(row.number in ended for row in revision.opened):
        return revision
    opened = (
        replace(row, known=Known(row.known.first, ended[row.number])) if row.number in ended else row
        for row in revision.opened
    )
    return replace(revision, opened=tuple(opened))
