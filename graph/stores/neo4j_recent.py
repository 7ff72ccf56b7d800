"""The last revisions, kept in memory, so that following the writes of this process asks the server nothing."""

import threading
from collections import deque
from dataclasses import replace
from itertools import islice

from graph.model import StoredAssertion
from graph.stores.contract import Revision

MOST_ASSERTIONS = 20_000


class RecentRevisions:
    """A run of revisions without gaps, the newest at the end; the oldest leave when there are too many assertions."""

    def __init__(self, most: int = MOST_ASSERTIONS) -> None:
        self._most = most
        self._revisions: deque[Revision] = deque()
        self._assertions = 0
        self._closed: dict[int, StoredAssertion] = {}
        self._lock = threading.Lock()

    def add(self, revision: Revision) -> None:
        """One that does not come right after the last begins a new run; one that is here already is left out."""
        with self._lock:
            last = self._revisions[-1].number if self._revisions else 0
            if revision.number <= last:
                return
            if revision.number != last + 1:
                self._revisions.clear()
                self._closed.clear()
                self._assertions = 0
            self._revisions.append(revision)
            self._closed |= {row.number: row for row in revision.closed}
            self._assertions += _size(revision)
            while self._assertions > self._most:
                oldest = self._revisions.popleft()
                self._assertions -= _size(oldest)
                for row in oldest.closed:
                    self._closed.pop(row.number, None)

    def after(self, number: int, limit: int) -> list[Revision]:
        """Those after `number`, at most `limit`; none unless the first of them is here."""
        with self._lock:
            if not self._revisions or self._revisions[0].number > number + 1:
                return []
            begin = number + 1 - self._revisions[0].number
            return [self._as_known_now(each) for each in islice(self._revisions, begin, begin + limit)]

    def _as_known_now(self, revision: Revision) -> Revision:
        if not any(row.number in self._closed for row in revision.opened):
            return revision
        return replace(revision, opened=tuple(self._closed.get(row.number, row) for row in revision.opened))


def _size(revision: Revision) -> int:
    return len(revision.opened) + len(revision.closed) + 1
