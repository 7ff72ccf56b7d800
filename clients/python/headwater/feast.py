"""A Feast repository, or its registry → the document that the service imports.

A registry in a file is read as it is, without Feast; every other one is asked for with `feast registry-dump`, by the Feast that
the repository is worked on with.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Union

import yaml

from headwater.errors import DocumentUnreadable

STORE = "feature_store.yaml"
Json = dict[str, Any]


def document(target: Path, project: str | None) -> Json:
    """Of a repository (a folder with feature_store.yaml), a registry file, or a dump (`-`: standard input).

    Raises DocumentUnreadable.
    """
    if target.is_dir():
        return _repository(target, project)
    if re.match(r"[a-z0-9]+:/", str(target)):
        raise DocumentUnreadable(
            f"{target} is no file here; what reaches such a registry is Feast: feast registry-dump | headwater import feast -"
        )
    registry = _registry(_read(target), str(target))
    return {"registry": registry, **({"project": project} if project else {})}


def _repository(folder: Path, project: str | None) -> Json:
    store = folder / STORE
    try:
        given = yaml.safe_load(os.path.expandvars(_read(store).decode()))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DocumentUnreadable(f"{store}: {error}") from error
    given = given if isinstance(given, dict) else {}
    named = project or given.get("project")
    made: Json = {"repository": str(folder.resolve()), **({"project": str(named)} if named else {})}
    registry = given.get("registry")
    told = registry if isinstance(registry, dict) else {"path": registry}
    path = told.get("path") or "data/registry.db"
    if told.get("registry_type", "file") == "file" and "://" not in str(path):
        file = folder / str(path)
        return {"registry": _registry(_read(file), str(file)), **made}
    return {"registry": _dumped(folder), "fetched": datetime.now(timezone.utc).isoformat(), **made}


def _dumped(folder: Path) -> Json:
    command = shutil.which("feast")
    if command is None:
        raise DocumentUnreadable(
            f"the registry of {folder} is no file here, and there is no feast to ask for it; where there is one:"
            f" feast -c {folder} registry-dump | headwater import feast -"
        )
    asked = [command, "-c", str(folder), "registry-dump"]
    ended = subprocess.run(asked, capture_output=True, check=False)  # noqa: S603  a command of the one who asks
    if ended.returncode:
        told = ended.stderr.decode(errors="replace").strip().splitlines()
        raise DocumentUnreadable(f"feast -c {folder} registry-dump failed: {told[-1] if told else ended.returncode}")
    return _registry(ended.stdout, f"what feast -c {folder} registry-dump prints")


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise DocumentUnreadable(f"{file}: {error.strerror}") from error


def _registry(content: bytes, name: str) -> Json:
    if content.lstrip()[:1] == b"{":
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DocumentUnreadable(f"{name}: {error}") from error
        return dict(found)
    if content.startswith(b"SQLite format 3\0"):
        raise DocumentUnreadable(f"{name} is a database; ask Feast: feast registry-dump | headwater import feast -")
    try:
        return _message(content, "Registry")
    except (_NoMessage, IndexError, UnicodeDecodeError, OverflowError, RecursionError) as error:
        raise DocumentUnreadable(f"{name} is no registry of Feast: {error}") from error


# Protocol buffers, as far as a registry needs them: the fields by their numbers, and the JSON that protocol buffers have for them.
# Numbers never change their meaning; what is not listed is skipped.


class _NoMessage(Exception):
    pass


_Wire = Union[int, bytes]  # noqa: UP007


def _message(content: bytes, of: str) -> Json:
    fields = _FIELDS[of]
    found: Json = {}
    for number, value in _wire(content):
        if number in fields:
            name, kind = fields[number]
            if kind.endswith("{}"):
                entry = dict(_wire(_bytes(value)))
                key = _bytes(entry.get(1, b"")).decode()
                found.setdefault(name, {})[key] = _value(entry.get(2, b""), kind[:-2])
            elif kind.endswith("[]"):
                found.setdefault(name, []).append(_value(value, kind[:-2]))
            else:
                found[name] = _value(value, kind)
    return found


def _value(value: _Wire, kind: str) -> Any:
    if kind == "flag":
        return bool(value)
    if kind in _ENUMS:
        return _ENUMS[kind].get(int(value), int(value)) if isinstance(value, int) else None
    content = _bytes(value)
    if kind == "text":
        return content.decode()
    if kind == "bytes":
        return base64.b64encode(content).decode()
    if kind in {"instant", "duration"}:
        parts = dict(_wire(content))
        seconds, nanos = (_signed(parts.get(number, 0)) for number in (1, 2))
        if kind == "duration":
            return f"{seconds + nanos / 1e9:.9f}".rstrip("0").rstrip(".") + "s"
        at = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds, microseconds=nanos // 1000)
        return at.isoformat()
    return _message(content, kind)


def _wire(content: bytes) -> Iterator[tuple[int, _Wire]]:
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        number, form = tag >> 3, tag & 7
        value: _Wire
        if form == 0:
            value, at = _varint(content, at)
        elif form in {1, 5}:
            size = 8 if form == 1 else 4
            value, at = content[at : at + size], at + size
        elif form == 2:
            size, at = _varint(content, at)
            value, at = content[at : at + size], at + size
        else:
            raise _NoMessage(f"a field of the form {form} at byte {at}")
        if at > len(content) or number == 0:
            raise _NoMessage(f"it ends within a field at byte {len(content)}" if number else "a field of number 0")
        yield number, value


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise _NoMessage(f"a number without end at byte {at}")
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _bytes(value: _Wire) -> bytes:
    if isinstance(value, int):
        raise _NoMessage("a number where a text or a message belongs")
    return value


def _signed(value: _Wire) -> int:
    if not isinstance(value, int):
        raise _NoMessage("a text where a number belongs")
    return value - (1 << 64) if value >> 63 else value


_NAMED = {1: ("name", "text"), 2: ("project", "text")}
_META = {1: ("createdTimestamp", "instant"), 2: ("lastUpdatedTimestamp", "instant")}
_TABLE = {1: ("table", "text"), 2: ("query", "text")}
_TABLE_IN = {**_TABLE, 3: ("schema", "text"), 4: ("database", "text")}
_CODE = {1: ("name", "text"), 3: ("bodyText", "text"), 4: ("mode", "text")}  # 2, a pickle, is of no use


def _object(spec: str) -> dict[int, tuple[str, str]]:
    return {1: ("spec", spec), 2: ("meta", "Meta")}


_FIELDS: dict[str, dict[int, tuple[str, str]]] = {
    "Registry": {
        1: ("entities", "Entity[]"),
        5: ("lastUpdated", "instant"),
        6: ("featureViews", "FeatureView[]"),
        7: ("featureServices", "FeatureService[]"),
        8: ("onDemandFeatureViews", "OnDemandFeatureView[]"),
        11: ("savedDatasets", "SavedDataset[]"),
        12: ("dataSources", "DataSource[]"),
        14: ("streamFeatureViews", "StreamFeatureView[]"),
        17: ("projects", "Project[]"),
        19: ("labelViews", "LabelView[]"),
    },
    "Meta": _META,
    "Entity": _object("EntitySpec"),
    "EntitySpec": {
        1: ("name", "text"),
        2: ("valueType", "ValueType"),
        3: ("description", "text"),
        4: ("joinKey", "text"),
        8: ("tags", "text{}"),
        9: ("project", "text"),
        10: ("owner", "text"),
    },
    "Project": _object("ProjectSpec"),
    "ProjectSpec": {1: ("name", "text"), 2: ("description", "text"), 3: ("tags", "text{}"), 4: ("owner", "text")},
    "Field": {1: ("name", "text"), 2: ("valueType", "ValueType"), 3: ("tags", "text{}"), 4: ("description", "text")},
    "DataSource": {
        1: ("type", "SourceType"),
        2: ("fieldMapping", "text{}"),
        3: ("timestampField", "text"),
        5: ("createdTimestampColumn", "text"),
        11: ("fileOptions", "File"),
        12: ("bigqueryOptions", "Table"),
        13: ("kafkaOptions", "Kafka"),
        14: ("kinesisOptions", "Kinesis"),
        15: ("redshiftOptions", "TableIn"),
        16: ("customOptions", "Custom"),
        18: ("requestDataOptions", "Request"),
        19: ("snowflakeOptions", "TableIn"),
        20: ("name", "text"),
        21: ("project", "text"),
        23: ("description", "text"),
        24: ("tags", "text{}"),
        25: ("owner", "text"),
        26: ("batchSource", "DataSource"),
        27: ("sparkOptions", "Spark"),
        30: ("trinoOptions", "Table"),
        35: ("athenaOptions", "Athena"),
    },
    "File": {2: ("uri", "text")},
    "Table": _TABLE,
    "TableIn": _TABLE_IN,
    "Athena": {**_TABLE, 3: ("database", "text"), 4: ("dataSource", "text")},
    "Spark": {**_TABLE, 3: ("path", "text")},
    "Kafka": {1: ("kafkaBootstrapServers", "text"), 2: ("topic", "text")},
    "Kinesis": {1: ("region", "text"), 2: ("streamName", "text")},
    "Request": {3: ("schema", "Field[]")},
    "Custom": {1: ("configuration", "bytes")},
    "FeatureView": _object("FeatureViewSpec"),
    "FeatureViewSpec": {
        **_NAMED,
        3: ("entities", "text[]"),
        4: ("features", "Field[]"),
        5: ("tags", "text{}"),
        6: ("ttl", "duration"),
        7: ("batchSource", "DataSource"),
        8: ("online", "flag"),
        9: ("streamSource", "DataSource"),
        10: ("description", "text"),
        11: ("owner", "text"),
        12: ("entityColumns", "Field[]"),
        13: ("offline", "flag"),
        14: ("sourceViews", "FeatureViewSpec[]"),
        15: ("featureTransformation", "Transformation"),
        16: ("mode", "text"),
        18: ("version", "text"),
        20: ("disabled", "flag"),
    },
    "Transformation": {1: ("userDefinedFunction", "Code"), 2: ("substraitTransformation", "Substrait")},
    "Code": _CODE,
    "Substrait": {},
    "OnDemandFeatureView": _object("OnDemandFeatureViewSpec"),
    "OnDemandFeatureViewSpec": {
        **_NAMED,
        3: ("features", "Field[]"),
        4: ("sources", "OnDemandSource{}"),
        5: ("userDefinedFunction", "Code"),
        6: ("description", "text"),
        7: ("tags", "text{}"),
        8: ("owner", "text"),
        10: ("featureTransformation", "Transformation"),
        11: ("mode", "text"),
        12: ("writeToOnlineStore", "flag"),
        13: ("entities", "text[]"),
        14: ("entityColumns", "Field[]"),
        16: ("aggregations", "Aggregation[]"),
        17: ("version", "text"),
        19: ("disabled", "flag"),
    },
    "OnDemandSource": {
        1: ("featureView", "FeatureView"),
        2: ("requestDataSource", "DataSource"),
        3: ("featureViewProjection", "Projection"),
    },
    "Projection": {
        1: ("featureViewName", "text"),
        2: ("featureColumns", "Field[]"),
        3: ("featureViewNameAlias", "text"),
    },
    "Aggregation": {1: ("column", "text"), 2: ("function", "text"), 5: ("name", "text")},
    "StreamFeatureView": _object("StreamFeatureViewSpec"),
    "StreamFeatureViewSpec": {
        **_NAMED,
        3: ("entities", "text[]"),
        4: ("features", "Field[]"),
        5: ("entityColumns", "Field[]"),
        6: ("description", "text"),
        7: ("tags", "text{}"),
        8: ("owner", "text"),
        9: ("ttl", "duration"),
        10: ("batchSource", "DataSource"),
        11: ("streamSource", "DataSource"),
        12: ("online", "flag"),
        13: ("userDefinedFunction", "Code"),
        14: ("mode", "text"),
        15: ("aggregations", "Aggregation[]"),
        17: ("featureTransformation", "Transformation"),
        21: ("version", "text"),
        23: ("disabled", "flag"),
    },
    "FeatureService": _object("FeatureServiceSpec"),
    "FeatureServiceSpec": {
        **_NAMED,
        3: ("features", "Projection[]"),
        4: ("tags", "text{}"),
        5: ("description", "text"),
        6: ("owner", "text"),
    },
    "SavedDataset": _object("SavedDatasetSpec"),
    "SavedDatasetSpec": {
        **_NAMED,
        3: ("features", "text[]"),
        6: ("storage", "Storage"),
        7: ("tags", "text{}"),
        8: ("featureServiceName", "text"),
        11: ("description", "text"),
    },
    "Storage": {
        4: ("fileStorage", "File"),
        5: ("bigqueryStorage", "Table"),
        6: ("redshiftStorage", "TableIn"),
        7: ("snowflakeStorage", "TableIn"),
        8: ("trinoStorage", "Table"),
        9: ("sparkStorage", "Spark"),
        10: ("customStorage", "Custom"),
        11: ("athenaStorage", "Athena"),
    },
    "LabelView": _object("LabelViewSpec"),
    "LabelViewSpec": {
        **_NAMED,
        3: ("entities", "text[]"),
        4: ("features", "Field[]"),
        5: ("tags", "text{}"),
        6: ("ttl", "duration"),
        7: ("source", "DataSource"),
        8: ("online", "flag"),
        9: ("description", "text"),
        10: ("owner", "text"),
        11: ("entityColumns", "Field[]"),
    },
}

_VALUE_TYPES = (
    "INVALID BYTES STRING INT32 INT64 DOUBLE FLOAT BOOL UNIX_TIMESTAMP - - BYTES_LIST STRING_LIST INT32_LIST INT64_LIST"
    " DOUBLE_LIST FLOAT_LIST BOOL_LIST UNIX_TIMESTAMP_LIST NULL MAP MAP_LIST BYTES_SET STRING_SET INT32_SET INT64_SET DOUBLE_SET"
    " FLOAT_SET BOOL_SET UNIX_TIMESTAMP_SET - - JSON JSON_LIST STRUCT STRUCT_LIST UUID TIME_UUID UUID_LIST TIME_UUID_LIST"
    " UUID_SET TIME_UUID_SET VALUE_LIST VALUE_SET DECIMAL DECIMAL_LIST DECIMAL_SET SCALAR_MAP ZONED_TIMESTAMP"
)
_SOURCE_TYPES = (
    "INVALID BATCH_FILE BATCH_BIGQUERY STREAM_KAFKA STREAM_KINESIS BATCH_REDSHIFT CUSTOM_SOURCE REQUEST_SOURCE BATCH_SNOWFLAKE"
    " PUSH_SOURCE BATCH_TRINO BATCH_SPARK BATCH_ATHENA BATCH_ICEBERG"
)
_ENUMS = {
    "ValueType": {number: name for number, name in enumerate(_VALUE_TYPES.split()) if name != "-"},
    "SourceType": dict(enumerate(_SOURCE_TYPES.split())),
}
