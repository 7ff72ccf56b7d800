"""What the service is told by its environment: one `HEADWATER_…` variable for each field of `Settings`.

`docs/operations.md` explains them all; a test holds the two together.
"""

import base64
import binascii
import difflib
import hashlib
import re
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from graph.usage import KEPT_DAYS

PREFIX = "HEADWATER_"
_SQLITE = "sqlite:///"
_NEO4J = re.compile(r"(neo4j|bolt)(\+s|\+ssc)?")
_SECRET_PREFIX = "whsec_"  # noqa: S105 (what every such secret begins with)
_WEBHOOK = re.compile(r"(?P<scheme>https?)://([\w.-]+|\[[0-9a-fA-F:.]+\])(:(?P<port>\d{1,5}))?([/?][^\s#]*)?")
_ORIGIN = re.compile(r"https?://[^/\s?#@]+")


TRACE_TARGETS = frozenset({"deployment", "feature_view", "dataset"})
"""What groups of a pattern of addresses may name."""


class SettingsInvalid(Exception):
    """`str(error)` is one sentence a variable, for people, without secrets."""


class LogFormat(StrEnum):
    AUTO = "auto"
    """`console` on a terminal, else `json`."""
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class DetectorName(StrEnum):
    BUILTIN = "builtin"
    ALIBI = "alibi"
    """alibi-detect's TabularDrift, from the extra `alibi`: not for production."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    store: str = Field("sqlite:///headwater.db", repr=False)
    """Holds a password when it names a Neo4j: print `store_redacted` instead."""
    host: str = "127.0.0.1"
    port: int = Field(8321, ge=0, le=65_535)
    """0 takes any free port; the start line names it."""
    tokens_file: Path | None = None
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    log_format: LogFormat = LogFormat.AUTO
    log_level: LogLevel = LogLevel.INFO
    request_timeout_seconds: float = Field(30, gt=0)
    receive_timeout_seconds: float = Field(15, gt=0)
    shutdown_seconds: int = Field(10, ge=1)
    max_body_bytes: int = Field(1_048_576, gt=0)
    max_graphql_bytes: int = Field(16_777_216, gt=0)
    follow_seconds: float = Field(1, gt=0)
    operation_days: float = Field(30, gt=0)
    event_days: float = Field(400, gt=0)
    stale_days: float = Field(30, gt=0)
    data: Path | None = None
    max_artifact_bytes: int = Field(1_073_741_824, gt=0)
    max_bulk_bytes: int = Field(8_589_934_592, gt=0)
    max_import_bytes: int = Field(134_217_728, gt=0)
    predict_timeout_seconds: float = Field(10, gt=0)
    prediction_queue: int = Field(10_000, ge=1)
    prediction_flush_seconds: float = Field(2, gt=0)
    dormant_days: int = Field(90, ge=1, le=KEPT_DAYS)
    consumer_agents: Annotated[tuple[str, ...], NoDecode] = ()
    consumer_rules: Path | None = None
    policy: Path | None = None
    trace_targets: Annotated[tuple[str, ...], NoDecode] = ()
    trace_gateways: Annotated[tuple[str, ...], NoDecode] = ()
    trace_hours: float = Field(48, gt=0, le=24 * 30)
    monitor_seconds: float = Field(60, gt=0)
    monitor_rows: int = Field(500, ge=100)
    detector: DetectorName = DetectorName.BUILTIN
    webhook_url: str | None = Field(None, repr=False)
    webhook_secret: str | None = Field(None, repr=False)
    webhook_internal: bool = False

    @field_validator("store")
    @classmethod
    def _store_is_known(cls, url: str) -> str:
        if url.startswith(_SQLITE) and url.removeprefix(_SQLITE).strip("/"):
            return url
        scheme, separator, _ = url.partition("://")
        if separator and _NEO4J.fullmatch(scheme):
            try:
                parts = urlsplit(url)
                if parts.hostname and parts.port != 0:
                    return url
            except ValueError:
                pass
            raise ValueError(
                "is neo4j://user:password@host:port/database; a password's characters other than letters and digits"
                " are written as %XX"
            )
        raise ValueError(
            "is sqlite:///file.db (below the current folder), sqlite:////folder/file.db (anywhere),"
            " or neo4j://user:password@host:port/database"
        )

    @field_validator("allowed_origins", "consumer_agents", "trace_targets", "trace_gateways", mode="before")
    @classmethod
    def _lists_are_split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("allowed_origins")
    @classmethod
    def _origins_are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"is a list like https://one.example,https://two.example:8443, not {origin!r}")
        return origins

    @field_validator("consumer_agents")
    @classmethod
    def _agents_are_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                named = "name" in re.compile(pattern).groupindex
            except re.error as error:
                raise ValueError(
                    f"is a list of regular expressions without commas, and {pattern!r} is none: {error}"
                ) from error
            if not named:
                raise ValueError(
                    f"is a list of patterns that each say which part of a User-Agent is the consumer's name, and"
                    f" {pattern!r} has no group `name`; write it like (?P<name>[a-z-]+)/.*"
                )
        return patterns

    @field_validator("trace_targets")
    @classmethod
    def _targets_are_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                groups = re.compile(pattern).groupindex.keys()
            except re.error as error:
                raise ValueError(
                    f"is a list of regular expressions without commas, and {pattern!r} is none: {error}"
                ) from error
            if not groups & TRACE_TARGETS or groups - TRACE_TARGETS - {"namespace"}:
                raise ValueError(
                    f"is a list of patterns that each say which part of an address names a deployment, and {pattern!r}"
                    f" has no group `deployment` (or {' or '.join(sorted(TRACE_TARGETS - {'deployment'}))}), or others"
                    r" than these and `namespace`; write it like https?://models\.example/(?P<deployment>[^/]+)/score"
                )
            if "dataset" in groups and "namespace" not in groups:
                raise ValueError(f"has the pattern {pattern!r} of a dataset, which needs a group `namespace` too")
        return patterns

    @field_validator("webhook_secret")
    @classmethod
    def _secret_is_one(cls, secret: str | None) -> str | None:
        if secret is None:
            return None
        try:
            key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not secret.startswith(_SECRET_PREFIX) or not 24 <= len(key) <= 64:
            raise ValueError(f"is {_SECRET_PREFIX} and the base64 of 24 to 64 random bytes")
        return secret

    @model_validator(mode="after")
    def _webhook_is_whole(self) -> Self:
        if self.webhook_url is None:
            return self
        if (match := _WEBHOOK.fullmatch(self.webhook_url)) is None:
            raise ValueError("HEADWATER_WEBHOOK_URL is a URL like https://hooks.example/headwater, without a user")
        if not self.webhook_internal and (match["scheme"] != "https" or match["port"] not in {None, "443"}):
            raise ValueError("HEADWATER_WEBHOOK_URL speaks https at port 443, unless HEADWATER_WEBHOOK_INTERNAL=true")
        if self.webhook_secret is None:
            raise ValueError("HEADWATER_WEBHOOK_URL needs HEADWATER_WEBHOOK_SECRET, to sign what is sent")
        return self

    @model_validator(mode="after")
    def _beyond_loopback_needs_tokens(self) -> Self:
        if self.tokens_file is None and not is_loopback(self.host):
            raise ValueError(
                f"HEADWATER_HOST={self.host} can be reached from other machines, so HEADWATER_TOKENS_FILE must name a"
                " file of tokens; make one with `python -m app token create --file tokens.json --name you --role"
                " operator`, or listen on 127.0.0.1 alone"
            )
        return self

    @property
    def sqlite_path(self) -> Path | None:
        """The file of a SQLite store; None for other stores."""
        return Path(unquote(self.store.removeprefix(_SQLITE))) if self.store.startswith(_SQLITE) else None

    @property
    def data_path(self) -> Path:
        """The folder for what is no lineage: artifacts, sources of features, logged predictions. Made when needed."""
        if self.data is not None:
            return self.data
        return Path("headwater-data") if self.sqlite_path is None else self.sqlite_path.with_suffix(".data")

    @property
    def snapshot_path(self) -> Path:
        """Where the lineage index is kept between starts: beside a SQLite file, else in the data folder by its store."""
        if self.sqlite_path is not None:
            return self.sqlite_path.with_name(self.sqlite_path.name + "-index")
        store = hashlib.sha256(self.store_redacted.encode()).hexdigest()
        return self.data_path / f"lineage-{store[:16]}-index"

    @property
    def webhook_key(self) -> bytes:
        """What messages are signed with; empty without a webhook."""
        return base64.b64decode((self.webhook_secret or "").removeprefix(_SECRET_PREFIX))

    @property
    def store_redacted(self) -> str:
        """The store without its password, for people and logs."""
        # Up to the last "@": a password that was not escaped may hold one itself.
        return re.sub(r"(?<=://)([^:/@]*):.*@", r"\1:***@", self.store.partition("?")[0], flags=re.DOTALL)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`, a name or an address."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def read_settings() -> Settings:
    """From the environment. Raises SettingsInvalid."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsInvalid(
            "\n".join(_sentence(problem["loc"], problem["msg"]) for problem in error.errors())
        ) from None
    except SettingsError as error:
        raise SettingsInvalid(str(error)) from None


def misspelt(environment: Mapping[str, str]) -> list[str]:
    """One sentence for each variable that is nearly, but not quite, the name of a setting."""
    known = [variable(name) for name in Settings.model_fields]
    sentences = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.83)
            sentences += [f"{name} is not a setting and has no effect; did you mean {near[0]}?"] if near else []
    return sentences


def variable(field: str) -> str:
    return PREFIX + field.upper()


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    message = message.replace("Input should be", "must be")
    return f"{variable(str(location[0]))} {message}"
