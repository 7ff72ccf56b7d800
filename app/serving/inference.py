"""One request to a deployment: its rows through a model, or through the steps of a composition, and who is told of it."""

import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.events import Caller, Columns, Prediction, Sighting
from app.service import Headwater
from app.serving.composition import Branch, Plan, Step
from app.serving.deployments import Model, Served
from app.serving.models import Signature, Tensor
from app.serving.protocol import Asked, Unanswered, columns, converted, refuse_unknown_outputs, wrong_names
from graph.errors import GraphError, InvalidInput, NotReady, StoreUnavailable, quoted
from graph.keys import AssetKey
from graph.time import Instant

Gone: TypeAlias = Callable[[], Awaitable[bool]]
LookUp: TypeAlias = Callable[[Headwater, Caller, Sequence[AssetKey], Columns], Awaitable[Columns]]
"""The values of features, by key text, for entities given as columns. What is not found is None or NaN."""
Entities: TypeAlias = Callable[[Headwater, Sequence[AssetKey]], Awaitable[Sequence[str]]]
"""The entities that features are looked up by."""


class Answered(NamedTuple):
    inputs: Columns
    """As given, entities included."""
    features: Columns
    """As looked up."""
    outputs: Columns


@dataclass(frozen=True, slots=True)
class Request:
    headwater: Headwater
    caller: Caller
    at: Instant
    gone: Gone
    id: str


class Inference:
    def __init__(
        self,
        served: Mapping[AssetKey, Served],
        saw: Callable[[Sighting], None],
        predicted: Callable[[Prediction], None],
        look_up: LookUp,
        entities: Entities,
    ) -> None:
        self._served = served
        self._saw = saw
        self._predicted = predicted
        self._look_up = look_up
        self._entities = entities

    async def predict(self, request: Request, key: AssetKey, answering: Model | Plan, asked: Asked) -> Columns:
        """The outputs. Raises Unanswered, and tells whoever listens only of what was answered."""
        signature = answering.signature
        refuse_unknown_outputs(asked, key.name, signature)
        complete = asked.inputs.keys() == {tensor.name for tensor in signature.inputs}
        entities = () if complete else await self._entities_of(request, signature)
        given = columns(asked, key.name, signature, entities)
        missing = _missing(signature, given)
        absent = [entity for entity in entities if entity not in given]
        unmet = [tensor.name for tensor in missing if tensor.feature is None or absent]
        if unmet:
            raise wrong_names(key.name, signature, missing=unmet, entities=entities)
        if isinstance(answering, Model):
            answered = await self._by_model(request, key, answering, given)
            version = answering.source.version
        else:
            answered = await self._by_steps(request, key, answering, given)
            version = key
        self._log(request, key, version, request.caller, answered)
        return answered.outputs

    async def _by_model(self, request: Request, key: AssetKey, model: Model, given: Columns) -> Answered:
        """`given` may hold more than the model takes."""
        signature = model.signature
        inputs = {tensor.name: given[tensor.name] for tensor in signature.inputs if tensor.name in given}
        features: Columns = {}
        missing = _missing(signature, given)
        if missing:
            keys = [tensor.feature for tensor in missing if tensor.feature is not None]
            entities = {name: given[name] for name in await self._entities_for(request, keys) if name in given}
            inputs = {**entities, **inputs}
            with _as_unanswered():
                found = await self._look_up(request.headwater, Caller(key, verified=True), keys, entities)
            features = {
                tensor.name: converted(np.asarray(found[str(tensor.feature)]), tensor, "the look-up")
                for tensor in missing
            }
        taken = {tensor.name: {**features, **inputs}[tensor.name] for tensor in signature.inputs}
        return Answered(inputs, features, await model.worker.predict(taken, request.gone))

    # Compositions

    async def _by_steps(self, request: Request, key: AssetKey, plan: Plan, given: Columns) -> Answered:
        known = dict(given)
        trace: list[_Visit] = []
        try:
            for step in plan.steps:
                outputs: dict[str, NDArray[Any]] = {}
                rows = len(next(iter(known.values())))
                for branch, chosen in _chosen(key, step, known, rows):
                    visit = _Visit(branch.deployment, chosen)
                    trace.append(visit)
                    begun = time.perf_counter()
                    try:
                        visit.version, visit.answered = await self._visited(request, branch, known, chosen)
                    finally:
                        visit.microseconds = int((time.perf_counter() - begun) * 1_000_000)
                    for name, values in visit.answered.outputs.items():
                        column = outputs.setdefault(name, np.empty((rows, *values.shape[1:]), values.dtype))
                        column[chosen] = values
                known |= outputs
        finally:
            self._tell(request, key, plan, trace)
        wanted = [tensor.name for tensor in plan.signature.outputs]
        return Answered(given, {}, {name: known[name] for name in wanted})

    async def _visited(
        self, request: Request, branch: Branch, known: Columns, chosen: NDArray[np.intp]
    ) -> tuple[AssetKey, Answered]:
        """With the version that answered."""
        key = branch.deployment
        served = self._served.get(key)
        given = {name: values[chosen] for name, values in known.items()}
        try:
            match served.answering if served is not None else None:
                case Model() as model:
                    for tensor in model.signature.inputs:
                        if tensor.name in given:
                            given[tensor.name] = converted(given[tensor.name], tensor, "the step before")
                    with model.worker.using():
                        return model.source.version, await self._by_model(request, key, model, given)
                case Plan() as plan:
                    return key, await self._by_steps(request, key, plan, given)
        except Unanswered as error:
            raise Unanswered(error.status, f"at the step {key}: {error}", error.retry_after) from error
        raise Unanswered(503, f"the step {key} is not ready", 1)

    def _tell(self, request: Request, key: AssetKey, plan: Plan, trace: Sequence["_Visit"]) -> None:
        """Of each step's answer, to whom it went; each row is logged once, with the first that it went to."""
        for place, visit in enumerate(trace):
            fed = plan.feeds[visit.deployment]
            to: list[tuple[AssetKey, NDArray[np.intp]]] = [
                (later.deployment, later.rows) for later in trace[place + 1 :] if later.deployment in fed
            ]
            to += [(key, visit.rows)] if key in fed or not to else []
            for target in dict.fromkeys(target for target, _ in to):
                caller, failed = Caller(target, verified=True), visit.answered is None
                self._saw(Sighting(visit.deployment, caller, request.at, failed, visit.microseconds))
            if visit.answered is None or visit.version is None:
                continue
            left = visit.rows
            for target, rows in to:
                taken = np.intersect1d(left, rows)
                left = np.setdiff1d(left, taken)
                if len(taken):
                    answered = _rows_of(visit.answered, np.searchsorted(visit.rows, taken))
                    self._log(request, visit.deployment, visit.version, Caller(target, verified=True), answered)

    def _log(self, request: Request, key: AssetKey, version: AssetKey, caller: Caller, answered: Answered) -> None:
        rows = len(next(iter(answered.outputs.values())))
        self._predicted(Prediction(request.id, key, version, caller, request.at, rows, *answered))

    # Features

    async def _entities_of(self, request: Request, signature: Signature) -> Sequence[str]:
        return await self._entities_for(
            request, [tensor.feature for tensor in signature.inputs if tensor.feature is not None]
        )

    async def _entities_for(self, request: Request, features: Sequence[AssetKey]) -> Sequence[str]:
        if not features:
            return ()
        with _as_unanswered():
            return await self._entities(request.headwater, features)


@dataclass(slots=True)
class _Visit:
    """A step's deployment, asked about some rows (ascending)."""

    deployment: AssetKey
    rows: NDArray[np.intp]
    version: AssetKey | None = None
    answered: Answered | None = None
    """None: it failed."""
    microseconds: int = 0


def new_id() -> str:
    return str(uuid.uuid4())


def _chosen(composition: AssetKey, step: Step, known: Columns, rows: int) -> list[tuple[Branch, NDArray[np.intp]]]:
    """Which rows go where; branches without rows are left out. Raises Unanswered for rows that no branch takes."""
    left = np.ones(rows, bool)
    chosen = []
    for branch in step:
        taken = left.copy() if branch.output is None else left & (known[branch.output] == branch.equals)
        left &= ~taken
        if taken.any():
            chosen.append((branch, np.flatnonzero(taken)))
    if left.any():
        row = int(np.flatnonzero(left)[0])
        told = {branch.output: known[branch.output][row] for branch in step if branch.output is not None}
        said = ", ".join(f"{quoted(str(name))} is {value!s}" for name, value in told.items())
        raise Unanswered(500, f"no branch of {composition} takes row {row}, where {said}")
    return chosen


def _missing(signature: Signature, given: Collection[str]) -> list[Tensor]:
    return [tensor for tensor in signature.inputs if tensor.name not in given]


def _rows_of(answered: Answered, rows: NDArray[np.intp]) -> Answered:
    return Answered(*({name: values[rows] for name, values in columns_.items()} for columns_ in answered))


@contextmanager
def _as_unanswered() -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        raise Unanswered(400, str(error)) from error
    except (StoreUnavailable, NotReady) as error:
        raise Unanswered(503, str(error), 1) from error
    except GraphError as error:
        raise Unanswered(500, f"the features cannot be looked up: {error}") from error
