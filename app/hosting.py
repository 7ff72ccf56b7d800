"""What there is of the service so far, for those who answer requests while it is still starting."""

from dataclasses import dataclass
from typing import Protocol

from app.service import Headwater


class Hosting(Protocol):
    @property
    def headwater(self) -> Headwater | None:
        """None until the store is open."""
        ...

    @property
    def unready(self) -> str | None:
        """Why questions cannot be answered now; None when they can."""
        ...


@dataclass
class Hosted:
    """A service that somebody else opened and loads."""

    headwater: Headwater | None

    @property
    def unready(self) -> str | None:
        if self.headwater is not None and self.headwater.ready:
            return None
        return "the lineage index is loading"
