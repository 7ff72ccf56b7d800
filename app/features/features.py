"""Feature values, in batch and online, from Parquet files below one folder. Every read is told, once for each feature."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.events import Caller, Columns, Sighting
from app.features.rows import Found, Instants, Source, Values
from app.features.sources import FOLDER, Sources
from app.features.views import Lookup
from app.http.answers import refusal, refused
from app.identity import Role
from app.service import Headwater, When
from graph.errors import GraphError, InvalidInput, quoted, shortened
from graph.importers.shapes import near
from graph.keys import AssetKey
from graph.time import Instant, moment, parse_instant

if TYPE_CHECKING:
    from app.features.engine import Engine

MAX_ROWS = 10_000
MAX_FEATURES = 500
PATIENCE_SECONDS = 10.0
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


class Features:
    """`sources` is the folder of the files, `caller` tells who sent a request, `saw` is told of each feature read."""

    def __init__(
        self,
        sources: Path,
        caller: Callable[[HTTPConnection], Caller],
        saw: Callable[[Sighting], None],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._sources = Sources(sources)
        self._patience_seconds = patience_seconds
        self._caller = caller
        self._saw = saw

    @cached_property
    def _engine(self) -> "Engine":
        from app.features.engine import Engine  # noqa: PLC0415 (DuckDB is slow to load, and not every service reads features)

        return Engine(self._patience_seconds)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/v1/features/online", partial(self._answer, online=True), methods=["POST"]),
            Route("/api/v1/features/batch", partial(self._answer, online=False), methods=["POST"]),
            Route(FOLDER + "{name}.parquet", self._take, methods=["PUT"]),
        ]

    # For whoever serves models

    async def entities(self, headwater: Headwater, features: Sequence[AssetKey]) -> Sequence[str]:
        """The entities by which `features` are looked up. Raises NotFound, Conflict."""
        view, now = await headwater.moment(When())
        return await headwater.in_thread(Lookup(headwater.store, view, now).entities, features)

    async def look_up(
        self, headwater: Headwater, caller: Caller, features: Sequence[AssetKey], entities: Columns
    ) -> Columns:
        """The values now, by the features' keys: numbers as float64 with NaN for what is missing, else objects and None.

        Raises what is wrong with the question (InvalidInput, NotFound) or with what is registered (Conflict).
        """
        found = await self._read(headwater, caller, features, entities, None)
        return {str(feature): _array(found[feature].values[feature]) for feature in features}

    # HTTP

    async def _answer(self, request: Request, online: bool) -> Response:
        headwater: Headwater = request.state.headwater
        try:
            asked = _asked(await request.body(), online)
            view, now = await headwater.moment(When())
            features = await headwater.in_thread(Lookup(headwater.store, view, now).features, asked.features)
            found = await self._read(headwater, self._caller(request), features, asked.entities, asked.at)
            body = await headwater.in_thread(_body, asked, features, found)
        except GraphError as error:
            return refused(error)
        return Response(body, media_type="application/json")

    async def _take(self, request: Request) -> Response:
        """A Parquet file, in place of the one of that name."""
        request.state.principal.require(Role.CONTRIBUTOR)
        headwater: Headwater = request.state.headwater
        name = request.path_params["name"]
        try:
            if not _FILE.fullmatch(name):
                raise InvalidInput(
                    f"{quoted(name)} is not a file's name: 1 to 200 letters, digits, `.`, `_` and `-`, no `.` first",
                    name,
                )
            temporary = await headwater.in_thread(self._sources.temporary)
            try:
                size = 0
                with temporary.open("wb") as file:
                    async for chunk in request.stream():
                        await headwater.in_thread(file.write, chunk)
                        size += len(chunk)
                schema, rows, is_new = await headwater.in_thread(self._sources.keep, temporary, f"{name}.parquet")
            finally:
                temporary.unlink(missing_ok=True)
        except GraphError as error:
            return refused(error)
        except OSError as error:
            return refusal(507, f"the rows could not be kept: {error.strerror}", "NOT_KEPT")
        columns = [{"name": field.name, "type": str(field.type)} for field in schema]
        answer = {"location": f"{name}.parquet", "rows": rows, "bytes": size, "columns": columns}
        return JSONResponse(answer, 201 if is_new else 200)

    async def _read(
        self,
        headwater: Headwater,
        caller: Caller,
        features: Sequence[AssetKey],
        entities: Mapping[str, Values],
        at: Instants | None,
    ) -> dict[AssetKey, Found]:
        view, now = await headwater.moment(When())
        begun = time.perf_counter()
        try:
            lookup = Lookup(headwater.store, view, now)
            found = await headwater.in_thread(self._found, lookup, features, entities, at, now.at)
        except InvalidInput:
            raise  # nothing was read
        except GraphError:
            self._tell(features, caller, now.at, begun, failed=True)
            raise
        self._tell(features, caller, now.at, begun)
        return found

    def _tell(
        self, features: Sequence[AssetKey], caller: Caller, at: Instant, begun: float, failed: bool = False
    ) -> None:
        took = int((time.perf_counter() - begun) * 1_000_000)
        for feature in features:
            self._saw(Sighting(feature, caller, at, failed, took))

    def _found(
        self,
        lookup: Lookup,
        features: Sequence[AssetKey],
        entities: Mapping[str, Values],
        at: Instants | None,
        now: Instant,
    ) -> dict[AssetKey, Found]:
        """By feature; those of one view share what was found."""
        rows = len(next(iter(entities.values()), ()))
        if at is None:
            at = np.full(rows, now, np.int64)
        found: dict[AssetKey, Found] = {}
        for view in lookup.views(features):
            missing = [entity for entity in view.entities if entity not in entities]
            if missing:
                given = f"; what is given is {', '.join(entities)}" if entities else ""
                raise InvalidInput(
                    f"the features of {view.key} are looked up by {', '.join(view.entities)};"
                    f" entities lacks {', '.join(missing)}{given}",
                    missing[0],
                )
            source = Source(view.dataset, self._sources.rows(view.dataset, view.location), view.timestamp)
            mine = {entity: entities[entity] for entity in view.entities}
            one = self._engine.values(source, view.definitions, mine, at)
            found |= {definition.feature: one for definition in view.definitions}
        return found


@dataclass(frozen=True, slots=True)
class _Asked:
    features: list[str]
    entities: dict[str, list[Any]]
    at: Instants | None


def _asked(body: bytes, online: bool) -> _Asked:
    """Raises InvalidInput."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error}") from None
    fields = ["features", "entities"] if online else ["features", "entities", "event_timestamp"]
    if not isinstance(document, dict):
        raise InvalidInput(f"the body is not a JSON object with {', '.join(fields)}")
    for name in document:
        if name not in fields:
            raise InvalidInput(
                f"{quoted(name)} is not known here{near(name, fields) or '; ' + ', '.join(fields) + ' are'}", name
            )
    features, entities, stamps = document.get("features"), document.get("entities"), document.get("event_timestamp")
    if not isinstance(features, list) or not features or not all(isinstance(each, str) for each in features):
        raise InvalidInput(f'features is {shortened(features)}; it is a list of names like "view:feature"', features)
    if len(features) > MAX_FEATURES:
        raise InvalidInput(f"{len(features)} features are asked for; at most {MAX_FEATURES} in one request")
    if len(set(features)) < len(features):
        twice = next(name for name in features if features.count(name) > 1)
        raise InvalidInput(f"the feature {quoted(twice)} is asked for twice", twice)
    if not isinstance(entities, dict) or not entities or not all(isinstance(each, list) for each in entities.values()):
        raise InvalidInput(f'entities is {shortened(entities)}; it maps each to its values: {{"bottle": [1, 2]}}')
    columns = dict(entities) if stamps is None else {**entities, "event_timestamp": stamps}
    if stamps is not None and not (isinstance(stamps, list) and all(isinstance(each, str) for each in stamps)):
        raise InvalidInput(
            f"event_timestamp is {shortened(stamps)}; it is a list of instants like 2026-11-23T14:00:00Z"
        )
    lengths = {name: len(each) for name, each in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InvalidInput(f"each row needs a value of everything, but there are, of {told}")
    if max(lengths.values()) > MAX_ROWS:
        raise InvalidInput(f"{max(lengths.values())} rows are asked for; at most {MAX_ROWS} in one request")
    at = None if stamps is None else np.array([parse_instant(stamp) for stamp in stamps], np.int64)
    return _Asked(features, entities, at)


def _body(asked: _Asked, features: Sequence[AssetKey], found: Mapping[AssetKey, Found]) -> bytes:
    """In the form of Feast's feature server: one result a name. The keys are ours: of the features, in the order of their names."""
    results: list[dict[str, object]] = []
    for values in asked.entities.values():
        present = ["PRESENT"] * len(values)
        results.append({"values": values, "statuses": present, "event_timestamps": [None] * len(values)})
    for feature in features:
        one = found[feature]
        since = [None if at is None else moment(at) for at in one.since.to_pylist()]
        statuses = ["PRESENT" if present else "NOT_FOUND" for present in one.present.tolist()]
        values = one.values[feature].to_pylist()
        results.append({"values": values, "statuses": statuses, "event_timestamps": since})
    names = [*asked.entities, *asked.features]
    metadata = {"feature_names": names, "feature_keys": [str(feature) for feature in features]}
    return orjson.dumps({"metadata": metadata, "results": results}, default=str)


def _array(column: pa.Array) -> NDArray[Any]:
    type_ = column.type
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    array = np.empty(len(column), object)
    for place, value in enumerate(column.to_pylist()):
        array[place] = value
    return array
