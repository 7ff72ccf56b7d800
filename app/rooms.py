"""What the service can do beside answering about the graph: one room for each capability, furnished by compose."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from starlette.routing import BaseRoute, Router

from app.agreement.agreement import Agreement
from app.alerting.alerts import Alerting
from app.features.features import Features
from app.intake.bulk import BulkIntake
from app.intake.imports import Imports
from app.intake.openlineage import OpenLineage
from app.intake.traces import Traces
from app.joining.rules import Joining
from app.monitoring.monitor import Monitoring
from app.predictions.log import PredictionLog
from app.service import Headwater
from app.serving.artifacts import Artifacts
from app.serving.gateway import Serving
from app.sources.sources import Sources
from app.watching.dormancy import Dormancy
from app.watching.watch import Watch


@dataclass(frozen=True)
class Rooms:
    sources: Sources
    watch: Watch
    dormancy: Dormancy
    joining: Joining
    traces: Traces
    bulk: BulkIntake
    imports: Imports
    openlineage: OpenLineage
    artifacts: Artifacts
    features: Features
    predictions: PredictionLog
    serving: Serving
    monitoring: Monitoring
    alerting: Alerting
    agreement: Agreement

    def routes(self) -> Iterator[BaseRoute]:
        """What they answer over HTTP; every route finds `principal` and `headwater` in its request's state."""
        for room in (
            self.sources,
            self.traces,
            self.bulk,
            self.imports,
            self.openlineage,
            self.artifacts,
            self.features,
            self.serving,
        ):
            yield from room.routes()

    @cached_property
    def router(self) -> Router:
        """For what is posted again from within."""
        return Router([*self.routes()])

    def works(self) -> list[Callable[[Headwater], Awaitable[None]]]:
        """What each does in the background, once there is a graph to do it with, until it is cancelled."""
        rooms = (
            self.sources,
            self.watch,
            self.dormancy,
            self.joining,
            self.bulk,
            self.openlineage,
            self.predictions,
            self.serving,
            self.monitoring,
            self.alerting,
            self.agreement,
        )
        return [room.run for room in rooms]
