"""Asset keys: one value, one text form, stable for ever.

    kind:namespace/name          dataset:warehouse/orders
    kind:namespace/name#part     column:warehouse/orders#amount

RFC 3986 unreserved characters stand as they are, every other byte of the UTF-8 is %XX in upper case, and only this
form is accepted. OpenLineage namespaces and names hold `/` and `:`, which is why all parts are escaped.
"""

import re
import unicodedata
import uuid
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Self
from urllib.parse import quote, unquote_to_bytes

from graph.errors import InvalidKey, quoted

MAX_KEY_BYTES = 1024
"""Limit on namespace, name and part together, in bytes of UTF-8 before escaping."""


class AssetKind(StrEnum):
    DATASET = "dataset"
    COLUMN = "column"
    FEATURE_VIEW = "feature_view"
    FEATURE = "feature"
    JOB = "job"
    RUN = "run"
    MODEL = "model"
    MODEL_VERSION = "model_version"
    DEPLOYMENT = "deployment"
    CONSUMER = "consumer"
    ALERT = "alert"
    """Something that went wrong at an asset. Nothing flows through it, so no walk meets it."""


CONTAINER_OF = {
    AssetKind.COLUMN: AssetKind.DATASET,
    AssetKind.FEATURE: AssetKind.FEATURE_VIEW,
    AssetKind.RUN: AssetKind.JOB,
    AssetKind.MODEL_VERSION: AssetKind.MODEL,
}
"""The kind of container each kind of part stands in."""

PART_OF = {container: part for part, container in CONTAINER_OF.items()}

_KINDS = {kind.value: kind for kind in AssetKind}


class AssetKey(NamedTuple):
    """AssetKey.parse("column:warehouse/orders#amount") == AssetKey.of(COLUMN, "warehouse", "orders", "amount")

    Build with `of` or `parse`, which check; the bare constructor trusts its caller. `path` is empty for containers,
    deployments and consumers, the field path for a (nested) column, and one step for every other part.
    """

    kind: AssetKind
    namespace: str
    name: str
    path: tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: AssetKind, namespace: str, name: str, *path: str) -> Self:
        """The key in NFC form. Raises InvalidKey, which shows the offending part."""
        if kind in CONTAINER_OF:
            if not path or (len(path) > 1 and kind is not AssetKind.COLUMN):
                raise InvalidKey(f"a {kind} key names one part of its {CONTAINER_OF[kind]}, not {len(path)}", path)
        elif path:
            raise InvalidKey(f"a {kind} has no parts, yet the key names {quoted('.'.join(path))}", path)
        namespace, name = _checked("namespace", namespace), _checked("name", name)
        path = tuple(_checked(f"{kind} part", step) for step in path)
        size = len("".join((namespace, name, ".".join(path))).encode())
        if size > MAX_KEY_BYTES:
            raise InvalidKey(
                f"a key's namespace, name and part may take {MAX_KEY_BYTES} bytes together, these take {size}", name
            )
        if kind is AssetKind.RUN and not _is_run_id(path[0]):
            raise InvalidKey(f"a run id is a lower-case UUID with dashes, not {quoted(path[0])}", path[0])
        return cls(kind, namespace, name, path)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that `text` writes. Raises InvalidKey for any but the one canonical form."""
        plain = _PLAIN.fullmatch(text)
        if plain is not None and len(text) <= MAX_KEY_BYTES:
            # Nothing is escaped and nothing needs to be, so this is the canonical form. Most keys are such.
            of, namespace, name, step = _KINDS[plain[1]], *plain.group(2, 3, 4)
            path = () if step is None else tuple(step.split(".")) if of is AssetKind.COLUMN else (step,)
            if (step is not None) is (of in CONTAINER_OF) and of is not AssetKind.RUN and all(path):
                return cls(of, namespace, name, path)
        match = _FORM.fullmatch(text)
        if match is None:
            raise InvalidKey(
                f"{quoted(text)} is not an asset key: write kind:namespace/name or kind:namespace/name#part,"
                " each part percent-escaped",
                text,
            )
        kind = _KINDS.get(match["kind"])
        if kind is None:
            raise InvalidKey(
                f"{quoted(match['kind'])} in {quoted(text)} is not a kind of asset; the kinds are {', '.join(_KINDS)}",
                text,
            )
        part = match["part"]
        steps = () if part is None else tuple(part.split(".")) if kind is AssetKind.COLUMN else (part,)
        key = cls.of(kind, *(_unescaped(step, text) for step in (match["namespace"], match["name"], *steps)))
        if str(key) != text:
            raise InvalidKey(f"{quoted(text)} is not in canonical form; write {str(key)!r}", text)
        return key

    def __str__(self) -> str:
        return _text(self)

    @property
    def container(self) -> "AssetKey | None":
        """The key of what this is a part of; None for what stands alone."""
        kind = CONTAINER_OF.get(self.kind)
        return None if kind is None else AssetKey(kind, self.namespace, self.name)

    @property
    def part(self) -> str | None:
        """The part as the key writes it: for columns the field path joined by `.`; None without one."""
        if not self.path:
            return None
        return ".".join(_escaped(step, dots=True) for step in self.path) if len(self.path) > 1 else self.path[0]

    @property
    def title(self) -> str:
        """A short name for people."""
        return self.part or self.name

    @property
    def is_alias(self) -> bool:
        """True for `models:/name@alias`, which resolves to a version by time and is no asset of its own."""
        return self.kind is AssetKind.MODEL_VERSION and self.path[0].startswith("@")

    def part_key(self, *path: str) -> "AssetKey":
        """The key of a part of this container. Raises InvalidKey where this kind has no parts."""
        kind = PART_OF.get(self.kind)
        if kind is None:
            raise InvalidKey(f"a {self.kind} has no parts", self)
        return AssetKey.of(kind, self.namespace, self.name, *path)


def alias_key(model: AssetKey, alias: str) -> AssetKey:
    """The key that a flow given by alias is stored with: `model_version:risk/fraud#%40champion`. Raises InvalidKey."""
    if not alias:
        raise InvalidKey(f"an alias of {model} has no name", alias)
    return model.part_key("@" + alias)


def refuse_outer_space(*texts: str) -> None:
    """Typed mutations and manifests refuse leading and trailing space; documents of other systems may hold it."""
    for text in texts:
        if text != text.strip():
            raise InvalidKey(f"{quoted(text)} begins or ends with space", text)


def is_legible(text: str) -> bool:
    """Outer space, or characters that do not show, would make two names look like one."""
    return text.isprintable() and text == text.strip()


_FORM = re.compile(r"(?P<kind>[^:/#]*):(?P<namespace>[^:/#]*)/(?P<name>[^:/#]*)(?:#(?P<part>[^:/#]*))?", re.DOTALL)
_PLAIN = re.compile(rf"({'|'.join(_KINDS)}):([A-Za-z0-9._~-]+)/([A-Za-z0-9._~-]+)(?:#([A-Za-z0-9._~-]+))?")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")


def _checked(what: str, text: str) -> str:
    if not text:
        raise InvalidKey(f"the {what} of a key is empty", text)
    if text.isascii() and text.isprintable():
        return text
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cs"}:
            raise InvalidKey(f"the {what} {quoted(text)} holds the control character U+{ord(character):04X}", text)
    return unicodedata.normalize("NFC", text)


def _escaped(text: str, dots: bool) -> str:
    escaped = text if _UNRESERVED.fullmatch(text) else quote(text, safe="")
    return escaped.replace(".", "%2E") if dots else escaped


def _unescaped(text: str, whole: str) -> str:
    try:
        return unquote_to_bytes(text).decode() if "%" in text else text
    except UnicodeDecodeError as error:
        raise InvalidKey(f"{quoted(text)} in {quoted(whole)} is not UTF-8 when unescaped", whole) from error


@lru_cache(maxsize=65536)
def _text(key: AssetKey) -> str:
    dots = key.kind is AssetKind.COLUMN
    part = "#" + ".".join(_escaped(step, dots) for step in key.path) if key.path else ""
    return f"{key.kind.value}:{_escaped(key.namespace, False)}/{_escaped(key.name, False)}{part}"


def _is_run_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
