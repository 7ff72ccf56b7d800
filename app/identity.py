"""Who calls, and what they may do. A source of identities is a `Tokens`; the rest of the service sees `Principal`.

* AccessRefused
  + Unauthenticated     no token, or none that is known
  + Forbidden           known, but the role is too low
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Protocol

import structlog

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX = "hw_"
_SECRET_DIGITS, _CHECK_DIGITS = 43, 6
"""43 digits to base 62 hold 256 bits, 6 hold a CRC-32."""
_SHA256 = re.compile("[0-9a-f]{64}")
_MAX_NAME = 200

log = structlog.get_logger(__name__)


class AccessRefused(Exception):
    """`str(error)` is for the caller, and holds nothing of the token."""


class Unauthenticated(AccessRefused):
    pass


class Forbidden(AccessRefused):
    pass


class Role(IntEnum):
    """Each may do what those below it may."""

    NOBODY = 0
    """Not known yet, so may nothing: a WebSocket before its first message. No token has it."""
    READER = 1
    CONTRIBUTOR = 2
    OPERATOR = 3

    def __str__(self) -> str:
        return self.name.lower()


ROLES = {str(role): role for role in Role if role}
"""What tokens may have, by the word in the file."""


class Kind(StrEnum):
    PERSON = "person"
    CONSUMER = "consumer"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Principal:
    name: str
    kind: Kind
    role: Role

    def require(self, role: Role) -> None:
        """Raises Forbidden."""
        if self.role < role:
            raise Forbidden(f"this needs the role {role}; {self.name} has the role {self.role}")


ANONYMOUS_OPERATOR = Principal("anonymous", Kind.ANONYMOUS, Role.OPERATOR)
UNIDENTIFIED = Principal("unidentified", Kind.ANONYMOUS, Role.NOBODY)


class Tokens(Protocol):
    """Where identities come from."""

    @property
    def anonymous(self) -> Principal | None:
        """Who a caller without a token is; None: nobody, a token is needed."""
        ...

    def principal(self, token: str) -> Principal | None:
        """Whose token this is; None when it is unknown, revoked or expired. Fast: it runs on the event loop."""
        ...


class OpenTokens:
    """No tokens: everybody who can reach the service may do everything. For loopback only."""

    anonymous: Principal | None = ANONYMOUS_OPERATOR

    def principal(self, token: str) -> Principal | None:
        return self.anonymous


class TokensUnreadable(Exception):
    """The file of tokens is missing or malformed; `str(error)` says where."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What the file keeps of a token: never the token itself."""

    id: str
    """The start of `sha256`, to name it by."""
    name: str
    kind: Kind
    role: Role
    sha256: str
    created: datetime
    expires: datetime | None = None

    @property
    def principal(self) -> Principal:
        return Principal(self.name, self.kind, self.role)

    def expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires


class FileTokens:
    """The tokens of a JSON file, read again when it changes. Raises TokensUnreadable if it cannot be read at first.

    If it cannot be read later, the last readable state stays in force and the log says so: an edit that went wrong
    must not lock everybody out.
    """

    anonymous: Principal | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _version(path)
        self._records = read_tokens(path)

    def principal(self, token: str) -> Principal | None:
        if not well_formed(token):
            return None
        self._reread()
        digest = _digest(token)
        found = None
        for record in self._records:  # all of them, so that the time taken tells nothing
            if hmac.compare_digest(record.sha256, digest):
                found = record
        return None if found is None or found.expired(datetime.now(UTC)) else found.principal

    def _reread(self) -> None:
        version = _version(self._path)
        if version == self._seen:
            return
        self._seen = version
        try:
            self._records = read_tokens(self._path)
        except TokensUnreadable as error:
            log.error("tokens not reloaded; those read before stay in force", reason=str(error))
        else:
            log.info("tokens reloaded", tokens=len(self._records))


def identify(tokens: Tokens, token: str | None) -> Principal:
    """Raises Unauthenticated."""
    if token is None:
        if tokens.anonymous is None:
            raise Unauthenticated("this needs a token; send it as `Authorization: Bearer hw_…`")
        return tokens.anonymous
    principal = tokens.principal(token)
    if principal is None:
        if token.startswith(_PREFIX) and not well_formed(token):
            raise Unauthenticated("the token is incomplete or mistyped: its checksum does not fit")
        raise Unauthenticated("the token is unknown, revoked or expired")
    return principal


# Making and keeping tokens


def new_token() -> str:
    """`hw_`, 256 random bits, and a checksum by which typing errors and scanners of leaked secrets know it at once."""
    secret = _PREFIX + _base62(int.from_bytes(secrets.token_bytes(32)), _SECRET_DIGITS)
    return secret + _checksum(secret)


def well_formed(token: str) -> bool:
    if len(token) != len(_PREFIX) + _SECRET_DIGITS + _CHECK_DIGITS or not token.startswith(_PREFIX):
        return False
    return token.isascii() and _checksum(token[:-_CHECK_DIGITS]) == token[-_CHECK_DIGITS:]


def create_token(
    path: Path, name: str, role: Role, kind: Kind, *, expires: datetime | None = None, if_missing: bool = False
) -> str | None:
    """The new token, which nothing keeps; None if `if_missing` and a token of that name is in force.

    Raises TokensUnreadable when the file exists and is not one of tokens, ValueError for an unusable name.
    """
    if not name or name != name.strip() or len(name) > _MAX_NAME or not name.isprintable():
        raise ValueError(f"a name has 1 to {_MAX_NAME} printable characters and no space at its ends, not {name!r}")
    now = datetime.now(UTC)
    with _alone(path):
        records = read_tokens(path) if path.exists() else []
        if if_missing and any(record.name == name and not record.expired(now) for record in records):
            return None
        token = new_token()
        digest = _digest(token)
        _write(path, [*records, TokenRecord(digest[:8], name, kind, role, digest, now.replace(microsecond=0), expires)])
    return token


def revoke_tokens(path: Path, name_or_id: str) -> list[TokenRecord]:
    """Those removed: all of that name, or the one of that id. Raises TokensUnreadable."""
    with _alone(path):
        records = read_tokens(path)
        revoked = [record for record in records if name_or_id in (record.name, record.id)]
        if revoked:
            _write(path, [record for record in records if record not in revoked])
    return revoked


def read_tokens(path: Path) -> list[TokenRecord]:
    """Raises TokensUnreadable."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise TokensUnreadable(f"the tokens file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise TokensUnreadable(f"the tokens file {path} is not JSON: {error}") from error
    entries = document.get("tokens") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise TokensUnreadable(f'the tokens file {path} has no list "tokens"')
    return [_record(entry, f"token {place} of {path}") for place, entry in enumerate(entries, 1)]


def _record(entry: Any, place: str) -> TokenRecord:
    try:
        record = TokenRecord(
            id=entry["sha256"][:8],
            name=entry["name"],
            kind=Kind(entry["kind"]),
            role=ROLES[entry["role"]],
            sha256=entry["sha256"],
            created=datetime.fromisoformat(entry["created"]),
            expires=None if entry.get("expires") is None else datetime.fromisoformat(entry["expires"]),
        )
        if not isinstance(entry["name"], str) or not _SHA256.fullmatch(record.sha256):
            raise ValueError("name is text, and sha256 has 64 lower-case hexadecimal digits")
        if record.expires is not None and record.expires.tzinfo is None:
            raise ValueError("expires has no time zone")
    except KeyError as error:
        raise TokensUnreadable(f"{place}: {error} is missing, or not a role; roles are {', '.join(ROLES)}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise TokensUnreadable(f"{place} is malformed: {error}") from error
    return record


def _write(path: Path, records: Sequence[TokenRecord]) -> None:
    """Replaces the file in one step, readable by its owner alone."""
    entries = [
        {
            "name": record.name,
            "kind": record.kind,
            "role": str(record.role),
            "sha256": record.sha256,
            "created": record.created.isoformat(),
            "expires": record.expires and record.expires.isoformat(),
        }
        for record in records
    ]
    text = json.dumps({"tokens": entries}, indent=2, ensure_ascii=False)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two commands at once must not lose one's token. The lock is on the folder, since the file is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl  # noqa: PLC0415 (not on Windows)
    except ImportError:
        yield
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECK_DIGITS)


def _base62(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        text = _DIGITS[digit] + text
    return text
