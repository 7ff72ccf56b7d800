"""Whose a document is that is refused: the origin that it would have, as far as it still tells."""

from collections.abc import Callable, Iterator, Mapping
from hashlib import md5

from graph.changes import checked_origin
from graph.errors import InvalidInput
from graph.importers.mlflow import host_of


def origin_of_refused(format_: str, document: object, namespace: str | None) -> str | None:
    """None: it does not tell. `namespace`: that of the import, where it names one."""
    teller = _TELLERS.get(format_)
    told = {name for name in teller(document, namespace) if name} if teller is not None else set()
    if len(told) != 1:
        return None
    try:
        return checked_origin(f"{format_}:{told.pop()}")
    except InvalidInput:
        return None


def _dbt(document: object, _: str | None) -> Iterator[str]:
    manifest = _within(document, "manifest")
    if name := _text(manifest, "metadata", "project_name"):
        yield name
        return
    digest = _text(manifest, "metadata", "project_id")
    for node in _all_within(_within(manifest, "nodes")):
        package = _text(node, "package_name")
        if md5(package.encode(errors="replace"), usedforsecurity=False).hexdigest() == digest:
            yield package


def _feast(document: object, _: str | None) -> Iterator[str]:
    registry = _within(document, "registry")
    if project := _text(document, "project") or _text(registry, "project"):
        yield project
        return
    for listed in _all_within(registry):
        for each in _all_within(listed):
            yield _text(each, "spec", "project")


def _kserve(document: object, namespace: str | None) -> Iterator[str]:
    for resource in _all_within(_within(document, "resources")):
        items = _within(resource, "items")
        for each in (resource,) if items is None else _all_within(items):
            if _within(each, "metadata") is not None:
                yield _text(each, "metadata", "namespace") or namespace or "default"


def _mlflow(document: object, _: str | None) -> Iterator[str]:
    yield host_of(_text(document, "server"))


def _sklearn(document: object, namespace: str | None) -> Iterator[str]:
    model, version = _text(document, "model"), _text(document, "version")
    if model and version:
        yield f"{namespace or 'default'}/{model}#{version}"


def _sql(document: object, namespace: str | None) -> Iterator[str]:
    yield namespace or ("bigquery" if _text(document, "dialect").lower() == "bigquery" else "")


_TELLERS: Mapping[str, Callable[[object, str | None], Iterator[str]]] = {
    "dbt": _dbt,
    "feast": _feast,
    "kserve": _kserve,
    "mlflow": _mlflow,
    "sklearn": _sklearn,
    "sql": _sql,
}


# Whatever shape it has


def _within(document: object, name: str) -> object:
    return document.get(name) if isinstance(document, dict) else None


def _text(document: object, *names: str) -> str:
    for name in names:
        document = _within(document, name)
    return document if isinstance(document, str) else ""


def _all_within(document: object) -> Iterator[object]:
    if isinstance(document, dict):
        yield from document.values()
    elif isinstance(document, list):
        yield from document
