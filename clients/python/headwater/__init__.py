"""The client of Headwater, the lineage service of an ML platform."""

from headwater.autologging import autolog
from headwater.client import AsyncClient, Client, training_run
from headwater.digests import digest
from headwater.errors import (
    AccessRefused,
    GitUnusable,
    HeadwaterError,
    ManifestUnreadable,
    Refused,
    SpoolFull,
    SpoolUnusable,
    Unreachable,
)
from headwater.estimators import sklearn_document
from headwater.features import FeatureResult
from headwater.profiles import profile
from headwater.results import Consumers, Hits, Lineage, Paths
from headwater.runs import TrainingRun, current_run
from headwater.spool import Spool

__all__ = [
    "AccessRefused",
    "AsyncClient",
    "Client",
    "Consumers",
    "FeatureResult",
    "GitUnusable",
    "HeadwaterError",
    "Hits",
    "Lineage",
    "ManifestUnreadable",
    "Paths",
    "Refused",
    "Spool",
    "SpoolFull",
    "SpoolUnusable",
    "TrainingRun",
    "Unreachable",
    "autolog",
    "current_run",
    "digest",
    "profile",
    "sklearn_document",
    "training_run",
]
