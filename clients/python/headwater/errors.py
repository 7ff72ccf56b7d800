"""What can go wrong.

* HeadwaterError
  + Unreachable         no answer from the service, or it is not ready; the same call may be tried again
  + Refused             the service answered that it will not
    - AccessRefused     the token is missing, unknown, or allows less than this
  + SpoolFull           it could neither be sent nor kept: this is the one time that it is said
  + SpoolUnusable       the file on disk cannot be read or written
  + ManifestUnreadable  the file is no YAML that can be used
  + DocumentUnreadable  a file of another system is not there, or no JSON
  + CredentialsUnreadable  what `headwater login` keeps is not there as it was written
  + GitUnusable         git is missing, this is no repository, or the revision is unknown
"""

from __future__ import annotations


class HeadwaterError(Exception):
    """Base of all. `str(error)` is for people: what happened, and what to do."""


class Unreachable(HeadwaterError):
    pass


class Refused(HeadwaterError):
    """`code` names why, as the service does: `InvalidInput`, `UnknownAsset`, `TOO_COSTLY`, or the HTTP status."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class AccessRefused(Refused):
    pass


class SpoolFull(HeadwaterError):
    pass


class SpoolUnusable(HeadwaterError):
    pass


class ManifestUnreadable(HeadwaterError):
    pass


class DocumentUnreadable(HeadwaterError):
    pass


class GitUnusable(HeadwaterError):
    pass


class CredentialsUnreadable(HeadwaterError):
    pass
