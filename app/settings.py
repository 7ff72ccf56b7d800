"""What the service is told by its environment: one `HEADWATER_…` variable for each field of `Settings`.

`docs/operations.md` explains them all; a test holds the two together.
"""

import difflib
import re
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

PREFIX = "HEADWATER_"
_SQLITE = "sqlite:///"
_NEO4J = re.compile(r"(neo4j|bolt)(\+s|\+ssc)?")
_ORIGIN = re.compile(r"https?://[^/\s?#@]+")


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
    follow_seconds: float = Field(1, gt=0)
    operation_days: float = Field(30, gt=0)

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

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _origins_are_split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("allowed_origins")
    @classmethod
    def _origins_are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"is a list like https://one.example,https://two.example:8443, not {origin!r}")
        return origins

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
    def snapshot_path(self) -> Path | None:
        """Where the lineage index is kept between starts: beside a SQLite file. None: it is not kept."""
        return self.sqlite_path and self.sqlite_path.with_name(self.sqlite_path.name + "-index")

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
