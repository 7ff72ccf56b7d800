"""The serving gateway: which deployments answer, from which versions, and how the graph is told of it.

What is to be served stands in the graph (the attribute `serving`, origin `gateway`); what answers follows it, here and in
every other process over the same store.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

import structlog
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute

from app.events import GATEWAY, Caller, Prediction, Sighting
from app.service import Headwater, When
from app.serving.artifacts import Artifacts
from app.serving.composition import Plan, members, planned
from app.serving.deployments import SERVING, Model, Served, Source, Spec, ready, spec_of
from app.serving.endpoints import Endpoints
from app.serving.inference import Entities, Inference, LookUp
from app.serving.models import Signature, Tensor, names_of, signature_of
from app.serving.processes import Worker
from app.serving.starting import Nursery
from graph.attributes import shown_attributes, values
from graph.changes import AssetStatement, FlowStatement, Registration, Withdrawal
from graph.errors import Conflict, GraphError, InvalidInput, NotFound, quoted
from graph.keys import AssetKey, AssetKind
from graph.model import Assertion, Attributes, Basis, Flow, Subject
from graph.neighbours import aliases_of
from graph.stores.contract import Revision
from graph.time import Instant

RETRY_SECONDS = 60.0
"""How often what could not be started is tried again, and aliases whose time comes without a commit are looked at."""

_STARTING = 4
"""Models loaded at a time, at the start: it takes a second or two of a processor each."""

log = structlog.get_logger(__name__)


class Serving:
    def __init__(
        self,
        artifacts: Artifacts,
        clock: Callable[[], Instant],
        timeout_seconds: float,
        caller: Callable[[HTTPConnection], Caller],
        saw: Callable[[Sighting], None],
        predicted: Callable[[Prediction], None],
        look_up: LookUp,
        entities: Entities,
    ) -> None:
        self._artifacts = artifacts
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._served: dict[AssetKey, Served] = {}
        self._changing = asyncio.Lock()
        self._restored = asyncio.Event()
        self._starting = asyncio.Semaphore(_STARTING)
        self._retiring: set[asyncio.Task[None]] = set()
        self._nursery = Nursery()
        inference = Inference(self._served, saw, predicted, look_up, entities)
        self._endpoints = Endpoints(self._served, self._restored, inference, clock, caller, saw)

    def routes(self) -> list[BaseRoute]:
        return self._endpoints.routes()

    def ready(self, key: AssetKey) -> bool:
        """Whether the deployment answers requests here, now."""
        served = self._served.get(key)
        return served is not None and ready(served, self._served)

    # Deploying

    async def deploy(
        self,
        headwater: Headwater,
        key: AssetKey,
        spec: Spec,
        attributes: Attributes,
        operation_id: str | None,
        actor: str,
        expected_version: int | None = None,
    ) -> int:
        """The revision from which the graph says so; by then it answers. Nothing changes when it cannot.

        Raises InvalidInput, NotFound, Conflict, and what `Headwater.register` raises.
        """
        await self._restored.wait()
        async with self._changing:
            self._refuse_second_of_name(key)
            said = await self._said(headwater, key)
            stated = {**attributes, **spec.attributes(key)}
            spec = replace(spec, carried={**said, **stated}.get("features_from") == "request")
            known = self._served.get(key) or Served(key, spec)
            answering = await self._started(headwater, key, spec, known)
            try:
                self._refuse_misfit(key, answering)
                flows = self._flows(key, spec, answering)
                asset = AssetStatement(key, stated, expected_version=expected_version)
                gone = [flow for flow in await self._flows_said(headwater, known) if flow not in flows]
                wanted = Registration(
                    GATEWAY,
                    Basis.OBSERVED,
                    (asset,),
                    tuple(FlowStatement(flow) for flow in flows),
                    tuple(Withdrawal(flow) for flow in gone if flow not in self._flows_of_others(key)),
                )
                revision, holds = await self._registered(headwater, wanted, operation_id, actor)
            except BaseException:
                if answering is not known.answering:
                    self._retire(answering)
                raise
            if holds:
                self._install(key, spec, answering)
            elif answering is not known.answering:
                self._retire(answering)
        log.info("deployed", deployment=str(key), serves=str(spec.version or "a composition"), revision=revision)
        return revision

    async def undeploy(self, headwater: Headwater, key: AssetKey, operation_id: str | None, actor: str) -> int:
        """Raises NotFound, Conflict, and what `Headwater.register` raises."""
        await self._restored.wait()
        async with self._changing:
            headwater.index.view().number(key)
            known = self._served.get(key)
            if known is None:
                raise Conflict(f"{key} is not served here")
            users = [str(other.key) for other in self._served.values() if key in members(other.spec.steps)]
            if users:
                raise Conflict(f"{key} is a step of {', '.join(users)}; undeploy that first")
            others = self._flows_of_others(key)
            gone = [flow for flow in await self._flows_said(headwater, known) if flow not in others]
            wanted = Registration(
                GATEWAY, Basis.OBSERVED, withdrawals=(Withdrawal(key), *(Withdrawal(flow) for flow in gone))
            )
            revision, holds = await self._registered(headwater, wanted, operation_id, actor)
            if holds:
                self._remove(key)
        log.info("undeployed", deployment=str(key), revision=revision)
        return revision

    @staticmethod
    async def _registered(
        headwater: Headwater, wanted: Registration, operation_id: str | None, actor: str
    ) -> tuple[int, bool]:
        """The revision, and whether it holds now: a request repeated after others undid it has no second effect.

        What holds already is not asked for again: its digest may differ from that of the request that made it so.
        """
        if not await headwater.plan(wanted):
            return headwater.index.revision, True
        head = await headwater.in_thread(headwater.store.head)
        revision = (await headwater.register(wanted, operation_id, actor)).revision
        return revision, revision > head

    def _refuse_second_of_name(self, key: AssetKey) -> None:
        for other in self._served:
            if other.name == key.name and other != key:
                raise Conflict(f"{other} is served under the name {quoted(key.name)}, which must tell one from another")

    def _refuse_misfit(self, key: AssetKey, answering: Model | Plan) -> None:
        """What takes part in compositions must go on to fit there."""

        def signature(member: AssetKey) -> Signature:
            return answering.signature if member == key else self._signature(member)

        for other in self._served.values():
            if isinstance(other.answering, Plan) and key in members(other.spec.steps):
                try:
                    plan = planned(other.key, other.spec.steps, signature)
                except GraphError as error:
                    raise Conflict(
                        f"{key} is a step of {other.key}, where it would not fit any more: {error}"
                    ) from error
                if plan != other.answering:
                    raise Conflict(
                        f"{key} is a step of {other.key}, which would then take {names_of(plan.signature.inputs)} and give"
                        f" {names_of(plan.signature.outputs)}; undeploy that first"
                    )

    def _signature(self, member: AssetKey) -> Signature:
        if member.kind is not AssetKind.DEPLOYMENT:
            raise InvalidInput(f"{member} is no deployment, so it is no step", member)
        served = self._served.get(member)
        if served is None or served.answering is None:
            raise Conflict(f"{member} is not served here, so it is no step: deploy it first")
        return served.answering.signature

    # What answers

    async def _started(self, headwater: Headwater, key: AssetKey, spec: Spec, known: Served) -> Model | Plan:
        """That which answers already, where nothing differs. Raises GraphError."""
        if spec.version is None:
            plan = planned(key, spec.steps, self._signature)
            self._refuse_circle(key, spec)
            return known.answering if plan == known.answering and known.answering is not None else plan
        source = await self._source(headwater, spec.version, spec.carried)
        if isinstance(known.answering, Model) and known.answering.source == source:
            return known.answering

        async def artifact() -> bytes:
            return await headwater.in_thread(self._artifacts.read, source.uri, source.digest)

        worker = Worker(str(key), artifact, self._nursery, self._timeout_seconds)
        try:
            async with self._starting:
                await worker.start(source.signature)
        except (Conflict, OSError) as error:
            raise Conflict(f"the artifact of {source.version} cannot be served: {error}") from error
        return Model(source, worker)

    def _refuse_circle(self, key: AssetKey, spec: Spec) -> None:
        inside = members(spec.steps)
        for member in inside:  # grows
            inside += [each for each in members(self._served[member].spec.steps) if each not in inside]
        if key in inside:
            raise Conflict(f"{key} would be a step of itself, by way of {', '.join(map(str, inside))}")

    async def _source(self, headwater: Headwater, named: AssetKey, carried: bool) -> Source:
        if named.kind is not AssetKind.MODEL_VERSION:
            raise InvalidInput(f"{named} is neither a version of a model nor an alias of one", named)
        view, now = await headwater.moment(When())
        version = named
        if named.is_alias:
            assert named.container is not None
            named_now = dict(await headwater.in_thread(aliases_of, view, named.container, now))
            if named not in named_now:
                raise NotFound(named, "names no version now")
            version = named_now[named]
        believed = (await headwater.believed([version], now.revision)).get(version, ())
        held = [row.assertion for row in believed if row.assertion.valid.holds_at(now.at)]
        if not held:
            raise NotFound(version)
        shown = values(shown_attributes(held, now.at))
        artifact = shown.get("artifact")
        if not isinstance(artifact, dict):
            raise Conflict(f"{version} has no artifact: upload it, and register the version with its uri and digest")
        signature = signature_of(version, shown.get("signature"))
        if carried:
            inputs = tuple(Tensor(each.name, each.datatype, each.dims) for each in signature.inputs)
            signature = Signature(inputs, signature.outputs)
        return Source(version, str(artifact.get("uri")), str(artifact.get("digest")), signature)

    def _install(self, key: AssetKey, spec: Spec, answering: Model | Plan) -> None:
        """From here on it answers; what answered before ends when nobody waits for it any more."""
        before = self._served.get(key)
        self._served[key] = Served(key, spec, answering)
        if before is not None and before.answering is not None and before.answering is not answering:
            self._retire(before.answering)

    def _remove(self, key: AssetKey) -> None:
        removed = self._served.pop(key)
        if removed.answering is not None:
            self._retire(removed.answering)

    def _retire(self, answering: Model | Plan) -> None:
        if isinstance(answering, Model):
            task = asyncio.create_task(answering.worker.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    # What the graph says

    def _flows(self, key: AssetKey, spec: Spec, answering: Model | Plan) -> list[Flow]:
        """Those by which a deployment answers. One that follows an alias is fed by that."""
        if spec.version is not None:
            return [Flow(spec.version, key)]
        assert isinstance(answering, Plan)
        return [Flow(*hop) for hop in answering.hops()]

    def _flows_of_others(self, key: AssetKey) -> set[Flow]:
        """What compositions beside this one need."""
        needed: set[Flow] = set()
        for other in self._served.values():
            if other.key != key and other.answering is not None:
                needed |= set(self._flows(other.key, other.spec, other.answering))
            elif other.key != key:
                inside = [*members(other.spec.steps), other.key]
                needed |= {Flow(source, target) for source in inside for target in inside if source != target}
        return needed

    async def _flows_said(self, headwater: Headwater, known: Served) -> list[Flow]:
        """What the gateway says now of what feeds a deployment, and of how it was composed."""
        inside = {*members(known.spec.steps), known.key}
        fed = {AssetKind.MODEL, AssetKind.MODEL_VERSION}
        touching = await headwater.in_thread(headwater.store.touching, [known.key, *inside])
        flows = [
            flow
            for flow in touching
            if isinstance(flow, Flow)
            and (
                (flow.target == known.key and flow.source.kind in fed | {AssetKind.DEPLOYMENT})
                or (flow.source in inside and flow.target in inside)
            )
        ]
        believed = await headwater.in_thread(headwater.store.believed, flows)
        return sorted((flow for flow in flows if self._says(believed.get(flow, ()))), key=str)

    async def _said(self, headwater: Headwater, key: AssetKey) -> Attributes:
        believed = await headwater.in_thread(headwater.store.believed, [key])
        said = self._says(believed.get(key, ()))
        return said.attributes if said is not None else {}

    def _says(self, assertions: Iterable[Assertion]) -> Assertion | None:
        """The gateway's own, if it holds now."""
        now = self._clock()
        return next((each for each in assertions if each.origin == GATEWAY and each.valid.holds_at(now)), None)

    # Following the graph

    async def run(self, headwater: Headwater) -> None:
        since = headwater.index.revision
        try:
            await self._reconcile(headwater)
            self._restored.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow(headwater, since))
                tasks.create_task(self._retry(headwater))
        except asyncio.CancelledError:  # an error of the store is no reason to stop answering
            await self._end()
            raise

    async def _follow(self, headwater: Headwater, since: int) -> None:
        async for revision in headwater.revisions(since):
            if self._concerns(revision):
                await headwater.moment(When(at_least_revision=revision.number))
                await self._reconcile(headwater)

    async def _retry(self, headwater: Headwater) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            followed = [
                served for served in self._served.values() if served.spec.version and served.spec.version.is_alias
            ]
            if followed or any(served.trouble for served in self._served.values()):
                await self._reconcile(headwater)

    def _concerns(self, revision: Revision) -> bool:
        followed = {served.spec.version for served in self._served.values()}
        for row in (*revision.opened, *revision.closed):
            subject, origin = row.assertion.subject, row.assertion.origin
            if subject in followed or (
                origin == GATEWAY and isinstance(subject, AssetKey) and subject.kind is AssetKind.DEPLOYMENT
            ):
                return True
        return False

    async def _reconcile(self, headwater: Headwater) -> None:
        """Makes what answers here what the graph says. What cannot be started is left as it is, with the reason."""
        async with self._changing:
            wanted = await self._wanted(headwater)
            for key in self._served.keys() - wanted.keys():
                self._remove(key)
            for key, spec in wanted.items():
                self._served.setdefault(key, Served(key, spec))
            await asyncio.gather(
                *(self._brought(headwater, key, spec) for key, spec in wanted.items() if spec.version is not None)
            )
            waiting = {key: spec for key, spec in wanted.items() if spec.version is None}
            while waiting:  # those first whose steps are there
                free = [each for each in waiting if not {*members(waiting[each].steps)} & waiting.keys()]
                key = (free or [*waiting])[0]
                await self._brought(headwater, key, waiting.pop(key))

    async def _wanted(self, headwater: Headwater) -> dict[AssetKey, Spec]:
        said = await headwater.in_thread(headwater.store.believed_by, GATEWAY)
        wanted: dict[AssetKey, Spec] = {}
        for key in sorted((key for key in said if _is_deployment(key)), key=str):
            told = self._says(said[key])
            if told is None or SERVING not in told.attributes:
                continue
            try:
                wanted[cast("AssetKey", key)] = spec_of(told.attributes)
            except InvalidInput as error:
                log.error("a deployment cannot be served", deployment=str(key), reason=str(error))
        return wanted

    async def _brought(self, headwater: Headwater, key: AssetKey, spec: Spec) -> None:
        known = self._served[key]
        try:
            self._refuse_second_of_name(key)
            answering = await self._started(headwater, key, spec, known)
            if answering is not known.answering:
                try:
                    self._refuse_misfit(key, answering)
                except Conflict:
                    self._retire(answering)
                    raise
        except (GraphError, OSError) as error:
            known.trouble = str(error)
            log.error("a deployment cannot be served as it should be", deployment=str(key), reason=str(error))
        else:
            self._install(key, spec, answering)

    async def _end(self) -> None:
        workers = [served.answering.worker for served in self._served.values() if isinstance(served.answering, Model)]
        self._served.clear()
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*(worker.end() for worker in workers), *self._retiring, return_exceptions=True)
        await self._nursery.end()


def _is_deployment(subject: Subject) -> bool:
    return isinstance(subject, AssetKey) and subject.kind is AssetKind.DEPLOYMENT
