"""Where a dataset lies, as OpenLineage names it: what two systems name alike is one dataset here."""

import re
from typing import NamedTuple


class Place(NamedTuple):
    namespace: str
    name: str


_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[^/?#]*)(?P<path>[^?#]*)")
_ON_A_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_ONE_SCHEME = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
_ROOTED = {"hdfs", "dbfs"}
"""Names of their files begin with /."""
_CONTAINER_AT_ACCOUNT = {"abfs", "abfss", "wasb", "wasbs"}


def place_of(uri: str) -> Place | None:
    """`s3://bucket/key` is ("s3://bucket", "key"), a file ("file", "/path"). None for what names no place by itself.

    What follows ? or # is left out, and so is who signs in: both may be secrets.
    """
    if uri.startswith("/") or _ON_A_DRIVE.match(uri):
        return Place("file", _trimmed(uri))
    if uri.startswith("file:"):
        path = uri.removeprefix("file:").removeprefix("//")
        return place_of(path.removeprefix("localhost")) if path else None
    found = _URI.match(uri)
    if found is None:
        return None
    scheme, host, path = found["scheme"].lower(), found["host"], _trimmed(found["path"])
    if scheme not in _CONTAINER_AT_ACCOUNT:
        host = host.rpartition("@")[2]
    if scheme not in _ROOTED:
        path = path.lstrip("/")
    scheme = _ONE_SCHEME.get(scheme, scheme)
    return Place(f"{scheme}://{host}", path or "/") if host else Place(scheme, f"/{path.lstrip('/')}") if path else None


def _trimmed(path: str) -> str:
    return path.rstrip("/") or "/"
