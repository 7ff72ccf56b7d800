"""The service with something real in it: `make run`, or `python -m demo`.

Starts the service, trains and deploys models, lets other processes call them, injects a drift, proposes a change, and
prints what the service made of it, with links.
Settings come from the environment, as for the service; without HEADWATER_STORE the store is .headwater/demo.db.
"""

import argparse
import io
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pyarrow
from headwater import Client, HeadwaterError
from pyarrow import parquet

from demo.river import (
    Commands,
    WentWrong,
    alert_about,
    apply_manifest,
    keep_manifest,
    let_a_device_drift,
    let_callers_call,
    link,
    propose_a_change,
    read_features,
)
from demo.story import ASSAYS_FILE, COLUMN, DEPLOYMENT, FEATURE, MODEL, data, deployments, serving, training
from demo.training import Table, Trained, train

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
        with service(store) as address, Client(address, options.token) as client:
            print(f"Headwater runs at {address}\n  store      {_without_password(store)}")
            commands = Commands(address, options.token, folder_beside(store))
            trained = load(client, commands)
            live(client, commands, trained)
            answer(client)
            print(
                f"Look around:  {address}/\n"
                f"One column:   {link(address, 'n', COLUMN)}\n"
                f"Alerts:       {address}/alerts\n"
                f"Ask more:     {address}/graphql",
                flush=True,
            )
            if not options.once:
                print("\nCtrl-C ends the service.", flush=True)
                signal.pause()
    except KeyboardInterrupt:
        print("\nThe service has ended; the store keeps what it knows.")
    except (CannotStart, WentWrong, HeadwaterError) as error:
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
    settings = {"HEADWATER_LOG_LEVEL": "warning", "HEADWATER_MONITOR_SECONDS": "1"} | os.environ
    settings |= {"HEADWATER_STORE": store, "HEADWATER_HOST": host, "HEADWATER_PORT": str(port)}
    # A session of its own: Ctrl-C reaches this process alone, which then ends the service in good order.
    process = subprocess.Popen([sys.executable, "-m", "app", "serve"], env=settings, start_new_session=True)
    try:
        _wait_until_ready(process, address)
        yield address
    finally:
        process.terminate()
        process.wait()


def load(client: Client, commands: Commands) -> Trained:
    """Trains, registers and deploys everything. What the service knows already stays as it is."""
    begin = time.monotonic()
    trained = train()
    print(f"\nTrained {len(trained.versions)} versions in {time.monotonic() - begin:.1f} s, measured on held-out rows:")
    print_table(
        [(f"{v.plan.model} {v.plan.version}", *(f"{k} {x:g}" for k, x in v.metrics.items())) for v in trained.versions]
    )
    before = revision(client)
    artifacts = {version.digest: str(client.upload_artifact(version.artifact)["uri"]) for version in trained.versions}
    upload_assays(commands, trained.assays)
    keep_manifest(commands, data())
    apply_manifest(commands)
    client.register(training(trained.versions, artifacts), origin="training:cellar", basis="OBSERVED", complete=True)
    for deployment in deployments():
        deployed = client.ask(DEPLOY, input=deployment)["deploy"]
        if "message" in deployed:
            raise WentWrong(deployed["message"])
    client.register(serving(), origin="manifest:cellar/serving", basis="DECLARED", complete=True)
    after = revision(client)
    print(
        f"Registered and deployed; revision {after}.\n"
        if after > before
        else f"Nothing changed: all of it was known at revision {after}.\n"
    )
    return trained


def live(client: Client, commands: Commands, trained: Trained) -> None:
    """The story, once; later runs find its alert open."""
    if alert_about(client, FEATURE) is None:
        let_callers_call(commands, trained.bottles)
        read_features(commands.address, commands.token)
        let_a_device_drift(client, commands, trained.bottles)
    tell_of_callers(client)
    tell_of_the_alert(client, commands.address)
    print("A pull request drops lab.assays.flavanoids. `headwater check --base main` says:\n")
    checked = propose_a_change(commands, data())
    print(textwrap.indent((checked.stdout + checked.stderr).strip(), "   "))
    print(f"\n   It ends with exit code {checked.returncode}, so that the pipeline stops.\n")


def tell_of_callers(client: Client) -> None:
    found = client.ask(CALLERS, key=DEPLOYMENT)["asset"]
    print("Who calls cultivar-api, as the gateway saw it:")
    rows = [("consumer", "calls", "identity", "declared")]
    for edge in found["consumers"]["edges"]:
        node = edge["node"]
        identity = {True: "verified", False: "claimed", None: "never seen"}[node["verified"]]
        declared = any(assertion["basis"] == "DECLARED" for assertion in node["assertions"])
        rows.append((node["title"], str(node["usage"]["calls"]), identity, "yes" if declared else "no"))
    rows.append(("(unidentified)", str(found["unidentified"]["calls"]), "none", ""))
    print_table(rows)


def tell_of_the_alert(client: Client, address: str) -> None:
    alert = alert_about(client, FEATURE)
    if alert is None:
        raise WentWrong(f"There is no alert about {FEATURE}.")
    print(f"Alert: {alert['title']}")
    told = ", ".join(node["title"] for node in alert["consumers"]["nodes"])
    rows = [
        ("served by", ", ".join(node["title"] for node in alert["deployments"]["nodes"])),
        ("likely causes", "; ".join(cause["asset"]["id"] for cause in alert["causes"][:3])),
        ("hits", told),
        ("see it", link(address, "alerts", alert["id"])),
    ]
    print_table(rows)


def revision(client: Client) -> int:
    return int(client.ask("query Head { head { revision } }")["head"]["revision"])


def upload_assays(commands: Commands, assays: Table) -> None:
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(dict(assays)), file)
    address = f"{commands.address}/api/v1/sources/{ASSAYS_FILE}"
    httpx.put(address, content=file.getvalue(), headers=commands.authorization, timeout=60).raise_for_status()


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


DEPLOY = """
mutation Deploy($input: DeployInput!) {
  deploy(input: $input) { ... on Deployed { revision } ... on Problem { message } }
}
"""

CALLERS = """
query Callers($key: ID!) {
  asset(key: $key) {
    unidentified { calls }
    consumers(first: 20) {
      edges { node { title verified usage { calls } assertions { basis } } }
    }
  }
}
"""

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


def folder_beside(store: str) -> Path:
    """For what the story's people keep: a repository, the rows that callers draw from."""
    folder = (_file(store).parent if store.startswith("sqlite:///") else FOLDER) / "cellar"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
