"""The service with something real in it: `make run`, or `python -m demo`.

Starts the service, trains models, registers them through the public API, and prints the answers to three questions.
Settings come from the environment, as for the service; without HEADWATER_STORE the store is .headwater/demo.db.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

from demo.client import Client, Refused
from demo.story import DEPLOYMENT, FEATURE, MODEL, sources
from demo.training import train, write

FOLDER = Path(".headwater")
READY_WITHIN_SECONDS = 120.0


class CannotStart(Exception):
    """`str(error)` says what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Headwater with a live demonstration.")
    parser.add_argument("--once", action="store_true", help="end after the answers instead of serving on")
    parser.add_argument("--token", help="a contributor's token, where HEADWATER_TOKENS_FILE is set")
    options = parser.parse_args()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    store = os.environ.get("HEADWATER_STORE") or f"sqlite:///{FOLDER}/demo.db"
    try:
        with service(store) as address, closing(Client(address, options.token)) as client:
            print(f"Headwater runs at {address}\n  store      {_without_password(store)}")
            load(client, artifacts_beside(store))
            answer(client)
            print(f"Ask more:  {address}/graphql\nOverview:  {address}/", flush=True)
            if not options.once:
                print("\nCtrl-C ends the service.", flush=True)
                signal.pause()
    except KeyboardInterrupt:
        print("\nThe service has ended; the store keeps what it knows.")
    except (CannotStart, Refused) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


@contextmanager
def service(store: str) -> Iterator[str]:
    """Runs the service as a process of its own; its address, once it is ready. Raises CannotStart."""
    host = os.environ.get("HEADWATER_HOST") or "127.0.0.1"
    port = _free_port(host, int(os.environ.get("HEADWATER_PORT") or 8321))
    near = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    address = f"http://{near}:{port}"
    if store.startswith("sqlite:///"):
        _file(store).parent.mkdir(parents=True, exist_ok=True)
    settings = {"HEADWATER_LOG_LEVEL": "warning"} | os.environ
    settings |= {"HEADWATER_STORE": store, "HEADWATER_HOST": host, "HEADWATER_PORT": str(port)}
    # A session of its own: Ctrl-C reaches this process alone, which then ends the service in good order.
    process = subprocess.Popen([sys.executable, "-m", "app", "serve"], env=settings, start_new_session=True)
    try:
        _wait_until_ready(process, address)
        yield address
    finally:
        process.terminate()
        process.wait()


def load(client: Client, artifacts: Path) -> None:
    """Trains and registers everything. What the service knows already stays as it is."""
    begin = time.monotonic()
    versions = train()
    write(versions, artifacts)
    print(
        f"  artifacts  {artifacts}\n\nTrained {len(versions)} versions in {time.monotonic() - begin:.1f} s, measured on held-out rows:"
    )
    print_table([(f"{v.plan.model} {v.plan.version}", *(f"{k} {x:g}" for k, x in v.metrics.items())) for v in versions])
    results = [client.register(*source) for source in sources(versions)]
    if any(result["changed"] for result in results):
        sums = (sum(result[verb] for result in results) for verb in ("added", "updated", "withdrawn"))
        print(
            "Registered: {} facts added, {} updated, {} withdrawn; revision {}.\n".format(
                *sums, results[-1]["revision"]
            )
        )
    else:
        print(f"Nothing changed: all of it was known at revision {results[-1]['revision']}.\n")


def answer(client: Client) -> None:
    answers = client.ask(THREE_QUESTIONS, feature=FEATURE, model=MODEL, deployment=DEPLOYMENT)
    print("1. Which deployed models use the feature flavanoid_share?")
    used = answers["feature"]["deployments"]["edges"]
    print_table(
        [("deployment", "serves", "a change is felt", "owner"), *(_row(edge, _served(edge["node"])) for edge in used)]
    )
    print("2. Which models feed the model proline?")
    feeding = answers["model"]["upstreamModels"]["edges"]
    print_table(
        [
            ("model", "version", "a change is felt", "owner"),
            *(_row(edge, _feeding(edge["node"], answers)) for edge in feeding),
        ]
    )
    print("3. Which services use the output of cultivar-api?")
    using = answers["deployment"]["consumers"]["edges"]
    print_table(
        [("consumer", "is a", "a change is felt", "owner"), *(_row(edge, _type(edge["node"])) for edge in using)]
    )


THREE_QUESTIONS = """
query ThreeQuestions($feature: ID!, $model: ID!, $deployment: ID!) {
  feature: asset(key: $feature) {
    deployments(first: 20) {
      edges {
        ...row
        node {
          ... on Deployment { serves { alias asset { name title } } }
          flowsIn(first: 20) { nodes { source { kind title } } }
        }
      }
    }
  }
  model: asset(key: $model) {
    upstreamModels(first: 20) { edges { ...row node { id } } }
  }
  versions: lineage(start: $model, direction: UPSTREAM, select: { kinds: [MODEL_VERSION] }) {
    ... on Lineage { assets(first: 20) { nodes { title container { id } } } }
  }
  deployment: asset(key: $deployment) {
    consumers(first: 20) { edges { ...row node { ... on Consumer { consumerType } } } }
  }
}

fragment row on LineageEdge { when node { title owners { name contact } } }
"""


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("   " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()


def artifacts_beside(store: str) -> Path:
    return (_file(store).parent if store.startswith("sqlite:///") else FOLDER) / "artifacts"


def _row(edge: dict[str, Any], what: str) -> tuple[str, ...]:
    node = edge["node"]
    owners = ", ".join(f"{owner['name']} ({owner['contact']})" for owner in node["owners"])
    return node["title"], what, edge["when"].lower().replace("next_", "at the next "), owners


def _served(deployment: dict[str, Any]) -> str:
    served = [
        f"{each['asset']['name']} {each['asset']['title']}" + (f" (@{each['alias']})" if each["alias"] else "")
        for each in deployment["serves"]
    ]
    called = [
        flow["source"]["title"] for flow in deployment["flowsIn"]["nodes"] if flow["source"]["kind"] == "DEPLOYMENT"
    ]
    return ", ".join(served) or "calls " + ", ".join(called)


def _feeding(model: dict[str, Any], answers: dict[str, Any]) -> str:
    versions = answers["versions"]["assets"]["nodes"]
    return ", ".join(version["title"] for version in versions if version["container"]["id"] == model["id"])


def _type(consumer: dict[str, Any]) -> str:
    return str(consumer["consumerType"]).replace("_", " ")


def _without_password(store: str) -> str:
    return re.sub(r"(//[^:/@]*):.*@", r"\1:***@", store)


def _file(store: str) -> Path:
    return Path(unquote(store.removeprefix("sqlite:///")))


def _free_port(host: str, port: int) -> int:
    """`port`, or any free one for 0. Raises CannotStart: else another service at that port might be taken for ours."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotStart(
                f"Cannot listen at {host}:{port}: {error.strerror}. For another port: HEADWATER_PORT=8322 make run"
            ) from error
        free: int = probe.getsockname()[1]
        return free


def _wait_until_ready(process: subprocess.Popen[bytes], address: str) -> None:
    end, reason = time.monotonic() + READY_WITHIN_SECONDS, "it does not answer"
    while time.monotonic() < end:
        if process.poll() is not None:
            raise CannotStart(f"The service ended with exit code {process.returncode}.")
        try:
            answer = httpx.get(f"{address}/readyz", timeout=5)
            if answer.status_code == 200:
                return
            reason = answer.json()["reason"]
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise CannotStart(f"The service was not ready after {READY_WITHIN_SECONDS:g} s: {reason}.")


if __name__ == "__main__":
    sys.exit(main())
