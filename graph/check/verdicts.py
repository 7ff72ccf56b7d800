"""The words of the check: what a change does to an asset, and what that means to those who use it."""

from enum import StrEnum
from typing import NamedTuple

from graph.impact import When
from graph.model import Json


class Alteration(StrEnum):
    """What a change does to one asset."""

    REMOVED = "REMOVED"
    RENAMED = "RENAMED"
    """One part of a container is gone, and one alike has come."""
    RETYPED = "RETYPED"
    """What readers rely on to read it at all differs: type, entity keys, signature, address, request and response."""
    REDEFINED = "REDEFINED"
    """How it is made, or what it means, differs: its definition, unit, default, or what flows into it."""
    ADDED = "ADDED"


class Verdict(StrEnum):
    """What a change means to those who use the asset; the worst first."""

    BREAKING = "BREAKING"
    """They cannot run, or read what is gone or retyped."""
    UNKNOWN = "UNKNOWN"
    """It cannot be told, and the reason is said."""
    BEHAVIOURAL = "BEHAVIOURAL"
    """They run on, and what they get differs."""
    ADDITIVE = "ADDITIVE"
    """Nothing that was there differs."""
    NONE = "NONE"
    """Only the form differs: whoever uses it gets what they got."""


ORDER = "order"
"""The attribute of a difference in what stands where among a container's parts; felt by those who read them by position."""


WORST = tuple(Verdict)
"""The worst first."""


class Outcome(StrEnum):
    """What is to be done about a change; the mildest first."""

    CLEAN = "CLEAN"
    NEEDS_ACKNOWLEDGEMENT = "NEEDS_ACKNOWLEDGEMENT"
    """Somebody's answers change, or it cannot be told whether somebody breaks."""
    BLOCKED = "BLOCKED"
    """A deployment or a consumer breaks."""


class Result(NamedTuple):
    """What a change means to one asset, and when it feels it. One change may mean several to the same asset."""

    verdict: Verdict
    when: When


RESULTS = tuple(Result(verdict, when) for verdict in Verdict for when in (When.NOW, When.NEXT_TRAINING))
"""All there are: the worst first, then the soonest."""


class Cure(StrEnum):
    """What a reader says of its flow that keeps it running where others break; the names of attributes of flows."""

    DEFAULT = "default"
    """What it takes when the thing is missing, or null."""
    CAST = "cast"
    """The type it turns whatever comes into."""
    ALIAS = "alias"
    """Another name that it finds the thing by."""


class Difference(NamedTuple):
    """One attribute that differs, and what that means to a direct reader."""

    attribute: str
    """Dotted within signatures and schemas: `type`, `signature.inputs.amount.type`, `response.score`; `flows` for what flows in."""
    before: Json
    after: Json
    """For `flows` the assets that flow in, as sorted keys."""
    verdict: Verdict
    reason: str
    """Half a sentence for people, without the asset's name: `its type narrows from bigint to int`."""
    cures: frozenset[Cure] = frozenset()
    """Each makes BREAKING into BEHAVIOURAL for a reader whose flow has it."""
    part: str | None = None
    """The field of a request, response or signature it is about; readers who say which `fields` they use miss no others."""
