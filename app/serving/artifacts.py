"""Model artifacts, kept by the SHA-256 of their content: `artifact:sha256:<hex>`."""

import hashlib
import os
import re
import time
import uuid
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.http.answers import refusal
from app.identity import Role
from graph.errors import Conflict, InvalidInput, NotFound, quoted

FOLDER = "/api/v1/artifacts/"
"""Where requests may bring more than elsewhere."""

_SHA256 = re.compile("[0-9a-f]{64}")
_URI = re.compile("artifact:sha256:([0-9a-f]{64})")
_UNFINISHED = ".unfinished"
_UNFINISHED_SECONDS = 86_400
_WRITTEN_AT_ONCE = 1 << 20


class Artifacts:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def routes(self) -> list[BaseRoute]:
        return [Route(FOLDER + "{sha256}", self._put, methods=["PUT"])]

    def read(self, uri: str, digest: str) -> bytes:
        """The content, which has this digest. Raises InvalidInput, NotFound, and Conflict when it has another by now."""
        match = _URI.fullmatch(uri)
        if match is None:
            raise InvalidInput(
                f"the artifact {quoted(uri)} is not kept here; upload it with PUT {FOLDER}<sha256>, and register the uri"
                " that this answers",
                uri,
            )
        if digest != f"sha256:{match[1]}":
            raise Conflict(f"the artifact {uri} is registered with the digest {quoted(digest)}, which is another's")
        try:
            content = (self._folder / match[1]).read_bytes()
        except FileNotFoundError:
            raise NotFound(uri, f"is not uploaded here; send it with PUT {FOLDER}{match[1]}") from None
        except OSError as error:
            raise Conflict(f"the artifact {uri} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != match[1]:
            raise Conflict(f"the artifact {uri} was damaged since it was uploaded; send it with PUT {FOLDER}{match[1]}")
        return content

    async def _put(self, request: Request) -> Response:
        request.state.principal.require(Role.CONTRIBUTOR)
        in_thread = request.state.headwater.in_thread
        sha256 = request.path_params["sha256"]
        if not _SHA256.fullmatch(sha256):
            return refusal(
                400, f"{sha256[:100]!r} is not a SHA-256 in 64 lower-case hexadecimal digits", "INVALID_DIGEST"
            )
        try:
            upload = await in_thread(_Upload, self._folder)
        except OSError as error:
            return _not_kept(error)
        try:
            waiting = bytearray()
            async for chunk in request.stream():
                waiting += chunk
                if len(waiting) >= _WRITTEN_AT_ONCE:
                    await in_thread(upload.write, bytes(waiting))
                    waiting.clear()
            await in_thread(upload.write, bytes(waiting))
            if upload.sha256 != sha256:
                said = f"the {upload.size:,} bytes received have the SHA-256 {upload.sha256}, not {sha256}"
                return refusal(400, said, "DIGEST_MISMATCH")
            new = await in_thread(upload.keep, self._folder / sha256)
        except OSError as error:
            return _not_kept(error)
        finally:
            await in_thread(upload.discard)
        told = {"uri": f"artifact:sha256:{sha256}", "digest": f"sha256:{sha256}", "bytes": upload.size}
        return JSONResponse(told, 201 if new else 200)


class _Upload:
    """A file that becomes an artifact whole or not at all."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*" + _UNFINISHED):  # by a service that was killed
            if left.stat().st_mtime < time.time() - _UNFINISHED_SECONDS:
                left.unlink(missing_ok=True)
        self._path = folder / (uuid.uuid4().hex + _UNFINISHED)
        self._file = self._path.open("xb")
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def keep(self, path: Path) -> bool:
        """Durable once this returns. False: it was there already."""
        self._file.flush()
        os.fsync(self._file.fileno())
        new = not path.exists()
        self._path.replace(path)
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return new

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def _not_kept(error: OSError) -> Response:
    return refusal(507, f"the artifact could not be kept: {error.strerror}", "NOT_KEPT")
