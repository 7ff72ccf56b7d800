"""The GraphQL clients that web pages use, and the audits of the GraphQL-over-HTTP specification, against the service."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import running_service

NODE = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("node") is None:
        pytest.fail("node is missing: apt-get install nodejs, 20.19 or later")
    if not (NODE / "node_modules").is_dir():
        pytest.fail("the clients are missing: make tests/interop/node/node_modules/.package-lock.json")
    with running_service(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db") as address:
        yield address


def run(script: str, address: str) -> str:
    ended = subprocess.run(
        ["node", script, address], cwd=NODE, capture_output=True, text=True, timeout=110, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_all_audits_of_graphql_over_http_pass(address: str) -> None:
    assert "61 of 61 audits passed" in run("audit.mjs", address)


def test_urql_graphql_ws_and_graphql_sse_work(address: str) -> None:
    assert "9 of 9 checks passed" in run("clients.mjs", address)
