"""Manifests of real dbt projects, which lie beside the repository."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("HEADWATER_TEST_DBT_MANIFESTS", Path(__file__).parents[2] / "shared/data/dbt"))
"""Of `*manifest*.json`."""


def real_manifests() -> list[Path]:
    """Skips the test where there are none, but for CI, where it fails: elsewhere nobody need have them."""
    found = sorted(FOLDER.glob("*manifest*.json"))
    if not found:
        missing = f"there are no dbt manifests in {FOLDER}; HEADWATER_TEST_DBT_MANIFESTS names another folder"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
