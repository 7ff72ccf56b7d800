"""How subjects are named inside Neo4j."""

import hashlib
from functools import lru_cache

from graph.keys import AssetKey
from graph.model import Subject


@lru_cache(maxsize=32_768)
def subject_id(subject: Subject) -> str:
    """An asset's is its key. A flow's text may exceed what an index takes, so its id is the SHA-256 of that."""
    return str(subject) if isinstance(subject, AssetKey) else hashlib.sha256(str(subject).encode()).hexdigest()
