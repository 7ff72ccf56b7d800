"""The client of Headwater, the lineage service of an ML platform."""

from headwater.client import AsyncClient, Client
from headwater.errors import (
    AccessRefused,
    GitUnusable,
    HeadwaterError,
    ManifestUnreadable,
    Refused,
    Unreachable,
)
from headwater.estimators import sklearn_document
from headwater.features import FeatureResult
from headwater.profiles import profile

__all__ = [
    "AccessRefused",
    "AsyncClient",
    "Client",
    "FeatureResult",
    "GitUnusable",
    "HeadwaterError",
    "ManifestUnreadable",
    "Refused",
    "Unreachable",
    "profile",
    "sklearn_document",
]
