"""The service, as Python calls: `Client`, and `AsyncClient` to await. Both bind the operations of `headwater.operations`."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from headwater.connection import Connection
from headwater.errors import Unreachable
from headwater.operations import agreeing, features, graph, models, recording, telling
from headwater.operations.graph import CALLED as CALLED  # noqa: PLC0414
from headwater.runs import TrainingRun
from headwater.spool import Spool
from headwater.transport import TIMEOUT_SECONDS, Answer, NoAnswer, Pause, Step, Steps

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def _named_as(method: F, operation: Callable[..., Any]) -> F:
    """As `help` and a notebook show it: the name, docstring and parameters are those of the operation."""
    functools.update_wrapper(method, operation)
    signature = inspect.signature(operation, eval_str=False)
    result = str(signature.return_annotation).removeprefix("Steps[").removesuffix("]")
    method.__signature__ = signature.replace(return_annotation=result)  # type: ignore[attr-defined]
    del method.__wrapped__  # type: ignore[attr-defined]
    return method


def _blocking(
    operation: Callable[Concatenate[Connection, P], Steps[T]],
) -> Callable[Concatenate[Client, P], T]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(operation(self, *args, **kwargs))

    return _named_as(method, operation)


def _awaited(
    operation: Callable[Concatenate[Connection, P], Steps[T]],
) -> Callable[Concatenate[AsyncClient, P], Awaitable[T]]:
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(operation(self, *args, **kwargs))

    return _named_as(method, operation)


class Client(Connection):
    """One service. Safe to use from several threads; close it, or use it in a `with` statement.

    `url`, `token` and `service` come from `HEADWATER_URL`, `HEADWATER_TOKEN`, and `OTEL_SERVICE_NAME` or
    `OTEL_RESOURCE_ATTRIBUTES` when absent. `service` is who calls, as `namespace/name` or `name`: what is then read or
    asked is known to be used by it.

    Every method raises Unreachable and Refused. What has no second effect is tried again, up to three times. What is
    recorded (`record…`) waits on disk while the service cannot be reached: in `spool`, absent: a file for this service and
    caller in `HEADWATER_SPOOL`, or in the folder of the user's state.

    >>> with Client(url) as client:
    ...     client.impact("column:warehouse/payments#amount")[0].title
    'mean_30d'
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        service: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        spool: Spool | str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(url, token, service, spool)
        try:
            self._http = httpx.Client(base_url=self.url, headers=self.headers, timeout=timeout)
        except (httpx.InvalidURL, ValueError) as error:
            raise Unreachable(f"{self.url} is not the address of a service: {error}") from error

    def close(self) -> None:
        """Closes its connections. What waits on disk stays there.

        >>> client = Client(url)
        >>> client.close()
        """
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    get_batch_features = _blocking(features.get_batch_features)
    get_historical_features = get_batch_features
    get_online_features = _blocking(features.get_online_features)

    predict = _blocking(models.predict)
    upload_artifact = _blocking(models.upload_artifact)
    deploy = _blocking(models.deploy)

    ask = _blocking(graph.ask)
    asset = _blocking(graph.asset)
    search = _blocking(graph.search)
    impact = _blocking(graph.impact)
    downstream = _blocking(graph.downstream)
    upstream = _blocking(graph.upstream)
    lineage = _blocking(graph.lineage)
    paths = _blocking(graph.paths)
    consumers = _blocking(graph.consumers)

    register = _blocking(telling.register)
    bulk = _blocking(telling.bulk)
    import_document = _blocking(telling.import_document)
    join = _blocking(telling.join)
    part = _blocking(telling.part)
    plan = _blocking(telling.plan)
    apply = _blocking(telling.apply)
    check = _blocking(telling.check)
    deprecate = _blocking(agreeing.deprecate)
    undeprecate = _blocking(agreeing.undeprecate)
    deprecations = _blocking(agreeing.deprecations)
    acknowledge = _blocking(agreeing.acknowledge)
    withdraw_acknowledgement = _blocking(agreeing.withdraw_acknowledgement)

    record = _blocking(recording.record)
    record_lines = _blocking(recording.record_lines)
    record_event = _blocking(recording.record_event)
    record_artifact = _blocking(recording.record_artifact)
    record_document = _blocking(recording.record_document)
    flush = _blocking(recording.flush)

    def training_run(self, model: str, version: str | None = None, **described: Any) -> TrainingRun:
        """A training, to be used by `with`: see `headwater.training_run`, of which this is the one with this client.

        >>> with client.training_run("risk/fraud", "8", parameters={"trees": 100}) as run:
        ...     run.log_metrics(auc=0.9)
        >>> client.asset("model_version:risk/fraud#8").title
        '8'
        """
        return TrainingRun(self, model, version, **described)

    def _run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    done = self._do(step)
                except NoAnswer as reason:  # noqa: PERF203  an answer of its own to each step
                    step = steps.throw(reason)
                else:
                    step = steps.send(done)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    def _do(self, step: Step) -> Answer | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        try:
            with self._http.stream(step.method, step.path, content=step.content, headers=step.headers) as response:
                if step.hear is None or not response.is_success:
                    return self._answer(response, response.read())
                for line in response.iter_lines():
                    step.hear(line)
                return self._answer(response, b"")
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._no_answer(error) from error


class AsyncClient(Connection):
    """`Client`, to await: the same methods, arguments, answers and errors.

    >>> async def reached():
    ...     async with AsyncClient(url) as client:
    ...         return await client.impact("column:warehouse/payments#amount")
    >>> asyncio.run(reached())[0].title
    'mean_30d'
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        service: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        spool: Spool | str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(url, token, service, spool)
        try:
            self._http = httpx.AsyncClient(base_url=self.url, headers=self.headers, timeout=timeout)
        except (httpx.InvalidURL, ValueError) as error:
            raise Unreachable(f"{self.url} is not the address of a service: {error}") from error

    async def close(self) -> None:
        """Closes its connections. What waits on disk stays there."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    get_batch_features = _awaited(features.get_batch_features)
    get_historical_features = get_batch_features
    get_online_features = _awaited(features.get_online_features)

    predict = _awaited(models.predict)
    upload_artifact = _awaited(models.upload_artifact)
    deploy = _awaited(models.deploy)

    ask = _awaited(graph.ask)
    asset = _awaited(graph.asset)
    search = _awaited(graph.search)
    impact = _awaited(graph.impact)
    downstream = _awaited(graph.downstream)
    upstream = _awaited(graph.upstream)
    lineage = _awaited(graph.lineage)
    paths = _awaited(graph.paths)
    consumers = _awaited(graph.consumers)

    register = _awaited(telling.register)
    bulk = _awaited(telling.bulk)
    import_document = _awaited(telling.import_document)
    join = _awaited(telling.join)
    part = _awaited(telling.part)
    plan = _awaited(telling.plan)
    apply = _awaited(telling.apply)
    check = _awaited(telling.check)
    deprecate = _awaited(agreeing.deprecate)
    undeprecate = _awaited(agreeing.undeprecate)
    deprecations = _awaited(agreeing.deprecations)
    acknowledge = _awaited(agreeing.acknowledge)
    withdraw_acknowledgement = _awaited(agreeing.withdraw_acknowledgement)

    record = _awaited(recording.record)
    record_lines = _awaited(recording.record_lines)
    record_event = _awaited(recording.record_event)
    record_artifact = _awaited(recording.record_artifact)
    record_document = _awaited(recording.record_document)
    flush = _awaited(recording.flush)

    async def _run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    done = await self._do(step)
                except NoAnswer as reason:  # noqa: PERF203  an answer of its own to each step
                    step = steps.throw(reason)
                else:
                    step = steps.send(done)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    async def _do(self, step: Step) -> Answer | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        content = step.content if isinstance(step.content, bytes) else _chunks(step.content)
        try:
            async with self._http.stream(step.method, step.path, content=content, headers=step.headers) as response:
                if step.hear is None or not response.is_success:
                    return self._answer(response, await response.aread())
                async for line in response.aiter_lines():
                    step.hear(line)
                return self._answer(response, b"")
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._no_answer(error) from error


async def _chunks(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in content:
        yield chunk


def training_run(
    model: str,
    version: str | None = None,
    *,
    client: Client | None = None,
    job: str | None = None,
    run_id: str | uuid.UUID | None = None,
    features: Iterable[str] = (),
    parameters: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    description: str | None = None,
    source_link: str | None = None,
    origin: str | None = None,
) -> TrainingRun:
    """A training, to be used by `with`: what it reads, sets and makes is logged in the block and told at its end.

    `model` is a key or `namespace/name`. Absent are: `version`, the run's id; `job`, `train_` and the name of the model;
    `run_id`, a new one; `client`, one of its own, which is closed at the end.

    >>> with training_run("risk/fraud", "9", client=client, run_id="0197a2b4-0000-7000-8000-00000000000a") as run:
    ...     rows = client.get_batch_features(["payments:mean_30d"], {"customer": [7]}).to_dict()
    ...     digest = run.log_artifact(b"the model")
    ...     run.log_metrics(auc=0.92)
    >>> [row.title for row in client.upstream(run.version_key, kinds=["feature"])]
    ['mean_30d']
    """
    described = {
        "job": job,
        "run_id": run_id,
        "features": features,
        "parameters": parameters,
        "tags": tags,
        "description": description,
        "source_link": source_link,
        "origin": origin,
    }
    return TrainingRun(client or Client(), model, version, close=client is None, **described)  # type: ignore[arg-type]
