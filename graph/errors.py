"""Everything that can be wrong with what the graph is asked, and how each is told apart.

* GraphError
  + InvalidInput        the request itself is wrong, whatever is stored
    - InvalidKey        an asset key, or a part of one
    - InvalidAttribute  an attribute's name or value
    - InvalidFlow       two kinds that no flow joins
    - InvalidTime       an instant or interval
    - InvalidManifest   a headwater.yaml, or another system's document: a line for each place that is wrong
  + NotFound            the key is not registered, or was not at the time asked for
    - NoneRegistered    several keys that a request refers to
  + Conflict            what is asked contradicts what is stored
    - StaleVersion      the asset has moved since the caller read it
    - PlanOutdated      another commit came between plan and commit: plan again
    - PlanDiffers       other changes would be made by now than were planned
    - OperationReused   the operation id was used for another request
    - OlderDocument     a later state of the same source was imported before
  + RevisionUnavailable the revision asked for is not here: not reached yet, or purged
  + NotReady            the lineage index is still loading
  + StoreUnavailable    no answer from the store; the same call may be tried again
  + StoreIncompatible   the stored schema is newer than this program, or was changed by hand
"""

from collections.abc import Sequence


class GraphError(Exception):
    """Base of all. `str(error)` is one sentence for people: the value, where it stands, what would be right."""


class InvalidInput(GraphError):
    """`value` is the offending value as text, shortened to 200 characters."""

    def __init__(self, message: str, value: object = "") -> None:
        super().__init__(message)
        self.value = shortened(value)


class InvalidKey(InvalidInput):
    pass


class InvalidAttribute(InvalidInput):
    pass


class InvalidFlow(InvalidInput):
    pass


class InvalidTime(InvalidInput):
    pass


class InvalidManifest(InvalidInput):
    """`problems` are lines of the form `datasets[0].columns[2].type: what is wrong, and what would be right`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems), problems[0].partition(": ")[0])
        self.problems = tuple(problems)


class NotFound(GraphError):
    def __init__(self, key: object, detail: str = "is not registered") -> None:
        super().__init__(f"{shortened(key)} {detail}")
        self.key = str(key)


class NoneRegistered(NotFound):
    """Several keys that a request refers to."""

    def __init__(self, keys: Sequence[object], detail: str) -> None:
        super().__init__(keys[0], detail)
        self.keys = tuple(map(str, keys))


class Conflict(GraphError):
    pass


class StaleVersion(Conflict):
    def __init__(self, key: object, expected: int, current: int) -> None:
        super().__init__(f"{key} is at version {current}, not {expected}: read it again and repeat the change")
        self.key, self.expected, self.current = str(key), expected, current


class PlanOutdated(Conflict):
    pass


class OperationReused(Conflict):
    def __init__(self, operation: str) -> None:
        super().__init__(f"operation id {operation!r} was already used for another request; use a new one")
        self.operation = operation


class OlderDocument(Conflict):
    """`taken` and `last`: when the document, and the one imported before, was taken of its source."""

    def __init__(self, origin: str, taken: object, last: object) -> None:
        super().__init__(
            f"this is {origin} as of {taken}; as of {last} was imported before, and would be lost. If it shall be, force it"
        )


class RevisionUnavailable(GraphError):
    pass


class NotReady(GraphError):
    pass


class StoreUnavailable(GraphError):
    pass


class StoreIncompatible(GraphError):
    pass


def shortened(value: object, limit: int = 200) -> str:
    """`value` as text that is safe to print: cut to `limit` characters, control characters escaped."""
    text = value if isinstance(value, str) else str(value)
    text = text[: limit + 1].encode("unicode_escape", "backslashreplace").decode() if not text.isprintable() else text
    return text if len(text) <= limit else text[:limit] + "…"


def quoted(value: str, limit: int = 200) -> str:
    """`value` in quotation marks, cut to `limit` characters, with escapes for what does not print."""
    return repr(value if len(value) <= limit else value[:limit] + "…")
