"""Who sent a request: told by a credential, else claimed by the request itself, else unidentified.

A claim is only ever a name to show and to count by. It never authorises, and is never mixed with what is verified.
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote

from starlette.requests import HTTPConnection

from app.events import Caller
from app.identity import Kind, Principal
from app.spans import DEFAULT_NAMESPACE, Service
from graph.errors import InvalidKey
from graph.keys import AssetKey, AssetKind, is_legible

_MAX_BAGGAGE = 8_192
"""Characters of all `baggage` headers together, as W3C Baggage says; longer ones are not looked at."""
_MAX_AGENT = 512
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")

_LIBRARY = "a library: it names no service, and all services that use it would be one"
_BROWSER = "a browser: a person, or anybody"
_PROBE = "a probe: it asks whether the answer comes, and uses nothing of it"
NOBODY = {
    **dict.fromkeys(
        (
            *("python-httpx", "python-requests", "python-urllib", "python-urllib3", "python", "aiohttp", "urllib3"),
            *("curl", "libcurl", "wget", "httpie", "postmanruntime", "insomnia", "go-http-client", "go-resty"),
            *("okhttp", "java", "java-http-client", "apache-httpclient", "apache-httpasyncclient", "jakarta"),
            *("reactornetty", "netty", "vert.x-webclient", "axios", "node", "node-fetch", "node.js", "undici", "got"),
            *("deno", "bun", "dart", "ruby", "faraday", "libwww-perl", "guzzlehttp", "reqwest", "hyper", "dotnet"),
            *("restsharp", "tritonclient", "geventhttpclient", "grpc-python", "grpc-go", "grpc-java"),
        ),
        _LIBRARY,
    ),
    **dict.fromkeys(("mozilla", "opera", "safari", "chrome", "firefox"), _BROWSER),
    **dict.fromkeys(
        (
            *("kube-probe", "googlehc", "elb-healthchecker", "prometheus", "blackbox-exporter", "blackbox"),
            *("envoy", "consul", "uptimerobot", "pingdom", "datadog", "datadogsynthetics", "statuscake", "site24x7"),
            *("updown.io", "betteruptime", "traefik", "haproxy", "k6", "locust", "apachebench", "wrk"),
        ),
        _PROBE,
    ),
}
"""Products, in lower case, whose `User-Agent` names no consumer whatever the patterns say, and why."""


def caller_of(connection: HTTPConnection, agents: Sequence[re.Pattern[str]]) -> Caller:
    """`agents` are patterns of whole `User-Agent` headers with a group `name`, perhaps a group `namespace`.

    Headers are anybody's to write: whatever they hold, this answers.
    """
    principal = getattr(connection.state, "principal", None)
    if isinstance(principal, Principal) and principal.kind is Kind.CONSUMER:
        bound = bound_consumer(principal.name)
        return Caller(bound, verified=bound is not None)
    claimed = _by_baggage(connection.headers.getlist("baggage")) or _by_agent(
        connection.headers.get("user-agent", ""), agents
    )
    if claimed is not None:
        return Caller(claimed)
    return Caller(None, span=_span(connection.headers.getlist("traceparent")))


def bound_consumer(name: str) -> AssetKey | None:
    """The consumer that a token of this name is bound to: `namespace/name`, or a name in `default`."""
    namespace, slash, rest = name.partition("/")
    return _consumer(namespace, rest) if slash else _consumer(DEFAULT_NAMESPACE, name)


def claimed_consumer(name: str | None, namespace: str | None) -> AssetKey | None:
    """The consumer that calls itself so; None for what names no service, or could be mistaken for another."""
    return _consumer(namespace or DEFAULT_NAMESPACE, name) if name and Service(namespace, name).is_named else None


def _consumer(namespace: str, name: str) -> AssetKey | None:
    if not is_legible(namespace) or not is_legible(name):
        return None
    try:
        return AssetKey.of(AssetKind.CONSUMER, namespace, name)
    except InvalidKey:
        return None


def _by_baggage(headers: Sequence[str]) -> AssetKey | None:
    if sum(map(len, headers)) > _MAX_BAGGAGE:
        return None
    named: dict[str, str | None] = {}
    for member in ",".join(headers).split(","):
        name, equals, value = member.partition(";")[0].partition("=")
        if equals and name.strip() in ("service.name", "service.namespace"):
            named[name.strip()] = _decoded(value.strip(" \t"))
    if None in named.values():  # half a name would be another's
        return None
    return claimed_consumer(named.get("service.name"), named.get("service.namespace"))


def _decoded(value: str) -> str | None:
    """None for what is not percent-encoded UTF-8 in ASCII."""
    try:
        return unquote(value, errors="strict") if value.isascii() else None
    except UnicodeDecodeError:
        return None


def _by_agent(header: str, agents: Sequence[re.Pattern[str]]) -> AssetKey | None:
    if not header or len(header) > _MAX_AGENT or _product(header) in NOBODY:
        return None
    for pattern in agents:
        found = pattern.fullmatch(header)
        if found is not None:
            named = found.groupdict()
            name = named["name"] or ""
            return None if _product(name) in NOBODY else claimed_consumer(name, named.get("namespace"))
    return None


def _product(agent: str) -> str:
    """The first product of a `User-Agent`, without its version: `mozilla` of `Mozilla/5.0 (X11; …)`."""
    return re.split(r"[/\s(;]", agent.strip(), maxsplit=1)[0].lower()


def _span(headers: Sequence[str]) -> tuple[str, str] | None:
    found = _TRACEPARENT.fullmatch(headers[0]) if len(headers) == 1 else None
    if found is None or (headers[0].startswith("00") and len(headers[0]) != 55):
        return None
    return found[1], found[2]
