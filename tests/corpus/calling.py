"""Deployments as an HTTP server on this machine, at the paths that the manifests say, and callers that have the addresses of before."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from graph.impact import When
from graph.keys import AssetKey
from tests.corpus.loading import Case, Files, Record, declared
from tests.corpus.outcomes import ConsumerFailed, Seen, seen


def calling(case: Case, given: Record) -> Seen:
    """`given` is empty: who serves what, calls whom and where is said by both versions of the manifests."""
    old, new = case.base.files, case.head
    addresses = {**_addresses(new), **_addresses(old)}  # whoever has not moved calls where it called
    found = {}
    with served(old, _addresses(old)) as before, served(new, addresses, old) as after:
        for key, uses in _callers(case.base.files, case.base.execution.get("callers") or {}).items():
            moved = _callers(new, case.base.execution.get("callers") or {}).get(key)
            if moved is None:
                continue  # removed: nobody calls
            known = addresses if moved == uses else {**addresses, **_addresses(new)}
            found[AssetKey.parse(key), When.NOW] = seen(
                partial(_asked, before, uses, _addresses(old)), partial(_asked, after, moved, known)
            )
        for name in set(_deployments(old)) & set(_deployments(new)):
            if _deployments(old)[name] == _deployments(new)[name]:  # what is edited is no victim of the edit
                asset = [{"asset": f"deployment:rec/{name}"}]
                found[AssetKey.parse(asset[0]["asset"]), When.NOW] = seen(
                    partial(_asked, before, asset, _addresses(old)), partial(_asked, after, asset, addresses)
                )
    return found


def _deployments(files: Files) -> dict[str, Record]:
    return {each["name"]: each for _, each in declared(files, "deployments")}


def _addresses(files: Files) -> dict[str, str]:
    return {name: urlsplit(each["url"]).path for name, each in _deployments(files).items()}


def _callers(files: Files, seen_only: Mapping[str, list[str]]) -> dict[str, list[Record]]:
    callers = {f"consumer:shop/{each['name']}": _references(each["uses"]) for _, each in declared(files, "consumers")}
    return {**callers, **{key: _references(uses) for key, uses in seen_only.items()}}


def _references(said: Any) -> list[Record]:
    many = said if isinstance(said, list) else [said]
    return [{"asset": each} if isinstance(each, str) else each for each in many]


def _asked(port: int, uses: list[Record], addresses: Mapping[str, str]) -> list[Any]:
    answers = []
    for each in uses:
        try:
            path = addresses[AssetKey.parse(each["asset"]).name]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
                answers.append(json.load(response))
        except (urllib.error.HTTPError, KeyError) as error:
            if "default" not in each and not each.get("optional"):
                raise ConsumerFailed from error
            answers.append(each.get("default"))
    return answers


@contextmanager
def served(files: Files, addresses: Mapping[str, str], former: Files | None = None) -> Iterator[int]:
    """The port. A composition that is as it was in `former` calls where it called."""
    deployments = _deployments(files)
    aliases = {each["name"]: each.get("aliases") or {} for _, each in declared(files, "models")}
    by_path = {urlsplit(each["url"]).path: each for each in deployments.values()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            deployment = by_path.get(self.path)
            try:
                if deployment is None:
                    raise ConsumerFailed(self.path)
                body, status = json.dumps(self.answer(deployment)).encode(), 200
            except ConsumerFailed:
                body, status = b"{}", 404 if deployment is None else 502
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def answer(self, deployment: Record) -> Any:
            calls = _references(deployment.get("calls") or [])
            edited = former is not None and deployment != _deployments(former).get(deployment["name"])
            known = {**addresses, **_addresses(files)} if edited else addresses
            return [
                [_version(str(each["asset"]), aliases) for each in _references(deployment.get("serves") or [])],
                _asked(server.server_port, calls, known),
            ]

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=partial(server.serve_forever, 0.01))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _version(reference: str, aliases: Mapping[str, Mapping[str, str]]) -> str:
    key = AssetKey.parse(reference)
    number = str(key.part)
    if number.startswith("@"):
        if number[1:] not in aliases[key.name]:
            raise ConsumerFailed(reference)
        number = aliases[key.name][number[1:]]
    return f"{key.name} {number}"
