"""A real Neo4j for tests, with no container: needs a JDK, 17 or later, and the jars of `make .neo4j/fetched`.

`python -m tests.neo4j_server` runs one in the foreground. With its address in HEADWATER_TEST_NEO4J, test runs
use that server and start none of their own.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from neo4j import GraphDatabase
from neo4j.exceptions import AuthError, DriverError, Neo4jError

RUNNING = "HEADWATER_TEST_NEO4J"
PATIENCE_SECONDS = 100.0  # a quiet machine needs 10, a loaded one 30; a test may take 120

_ROOT = Path(__file__).parents[1]
_JARS = _ROOT / ".neo4j" / "lib"
_LAUNCHER = _ROOT / "tools" / "neo4j" / "StartNeo4j.java"


class CannotStart(Exception):
    """Neo4j does not run here; the text says what is missing or ends with the server's own words."""


@contextmanager
def neo4j_server(home: Path, password: str | None = None, heap: str = "512m", page_cache: str = "64m") -> Iterator[str]:
    """A server's URL, `neo4j://neo4j:PASSWORD@127.0.0.1:PORT`; no credentials where `password` is None.

    The server that HEADWATER_TEST_NEO4J names is used as it is, with whatever it holds. Otherwise a new one
    keeps its data in `home` and ends with the block. Raises CannotStart.
    """
    if running := os.environ.get(RUNNING):
        yield running
        return
    _require_parts()
    home.mkdir(parents=True, exist_ok=True)
    log, port = home / "server.log", _free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(home, port, heap, page_cache),
            env=_environment(password),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_for_bolt(process, port, password, log)
        user = "" if password is None else f"neo4j:{quote(password, safe='')}@"
        yield f"neo4j://{user}127.0.0.1:{port}"
    finally:
        process.kill()  # an orderly stop takes 5 to 10 s, and what was committed is safe without
        process.communicate()


def _require_parts() -> None:
    if shutil.which("javac") is None:  # the launcher is a source file, so a runtime alone is not enough
        raise CannotStart("a Java development kit (17 or later) is missing: apt-get install openjdk-17-jdk-headless")
    if not (_JARS.parent / "fetched").exists():
        raise CannotStart("Neo4j's jars are missing: make .neo4j/fetched")


def _command(home: Path, port: int, heap: str, page_cache: str) -> list[str]:
    thrift = [f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
    opened = ["--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED"]
    return ["java", *thrift, *opened, "-cp", f"{_JARS}/*", str(_LAUNCHER), str(home), str(port), page_cache]


def _environment(password: str | None) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "NEO4J_PASSWORD"}
    return inherited if password is None else inherited | {"NEO4J_PASSWORD": password}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_bolt(process: subprocess.Popen[bytes], port: int, password: str | None, log: Path) -> None:
    """An open port is not enough: the database behind it comes up later."""
    auth = None if password is None else ("neo4j", password)
    deadline = time.monotonic() + PATIENCE_SECONDS
    with GraphDatabase.driver(f"bolt://127.0.0.1:{port}", auth=auth, connection_timeout=5) as driver:
        while True:
            try:
                with driver.session(database="neo4j") as session:
                    session.run("RETURN 1").consume()
                return
            except AuthError as refused:
                raise CannotStart(f"Neo4j refuses the password: {refused}") from refused
            except (DriverError, Neo4jError) as reason:
                if process.poll() is not None:
                    raise CannotStart(f"Neo4j ended with {process.returncode}:\n{_tail(log)}") from reason
                if time.monotonic() > deadline:
                    raise CannotStart(f"Neo4j is silent after {PATIENCE_SECONDS:.0f} s:\n{_tail(log)}") from reason
            time.sleep(0.2)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-40:])


def _main() -> None:
    with tempfile.TemporaryDirectory(prefix="headwater-neo4j-") as home, neo4j_server(Path(home)) as url:
        print(f"export {RUNNING}={url}", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    _main()
