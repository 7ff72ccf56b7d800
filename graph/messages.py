"""What others must be told, kept with the change that it tells of and sent afterwards (the outbox)."""

from dataclasses import dataclass

from graph.model import Json


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    """A UUID. Receivers see it at every attempt, and know repetitions by it."""
    topic: str
    """What happened, as `alert.raised`."""
    body: Json


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that is due. `attempts` counts those made before."""

    message: Message
    attempts: int
