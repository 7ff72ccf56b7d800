"""Models are uploaded, registered, deployed and called over HTTP, and the graph knows of it without further ado.

A: x → score, twice x. B: score → high, whether it is above 10. C prices what is low (3 x), D, a regression, what is
high (10 x).
"""

import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from tests.models import PATIENCE_SECONDS, Gateway, above, as_onnx, counting, elsewhere, fitted, multiplying, tensor
from tests.service import running_service

pytestmark = pytest.mark.timeout(300)

X, Y = [tensor("x")], [tensor("y")]
PREDICT_SECONDS = 1.5


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db"
    with running_service(store, predict_timeout_seconds=PREDICT_SECONDS, request_timeout_seconds=120) as address:
        yield address


@pytest.fixture
def gateway(address: str, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """A namespace for each test."""
    gateway = Gateway(address, request.node.name)
    yield gateway
    gateway.http.close()


def until(found: Callable[[], Any]) -> Any:
    """What `found` gives once it gives anything."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if (result := found()) is not None:
            return result
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE_SECONDS:g} s")


def children(pid: int) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found += [int(process.name)] if parent(int(process.name)) == pid else []
    return sorted(found)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def service(address: str) -> int:
    """The process that answers at this address."""
    mine = f"HEADWATER_PORT={address.rpartition(':')[2]}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mine in (process / "environ").read_bytes().split(b"\0"):
                return int(process.name)
    raise AssertionError(f"no service at {address}")


def nursery(address: str) -> int | None:
    for pid in children(service(address)):
        with suppress(OSError):
            if b"app.serving.nursery" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return None


def workers(address: str) -> list[int]:
    """The model processes of the service at this address."""
    forking = nursery(address)
    return [pid for pid in children(service(address)) if pid != forking] + (children(forking) if forking else [])


def rights(pid: int) -> list[str]:
    """Whose they are depends on who may read the interpreter's files."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [line for line in lines if line.startswith(("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp"))]


def lives(pid: int) -> bool:
    """One that ended and waits to be reaped, by whoever inherited it, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_registered_version_is_deployed_answers_and_stands_in_the_graph(gateway: Gateway) -> None:
    wine = load_wine()
    estimator: Any = make_pipeline(StandardScaler(), LogisticRegression())
    names = ["alcohol", "malic_acid", "ash"]
    archive = fitted(estimator, wine.data[:, :3], wine.target)
    outputs = [tensor("cultivar", "long"), tensor("probabilities", "double", -1, 3)]
    version = gateway.version("cultivar", "7", archive, [tensor(name) for name in names], outputs)
    key = gateway.deploy("cultivar", version=version, tier=1)

    body = {
        "id": "bottle-7",
        "inputs": [
            {"name": name, "shape": [5, 1], "datatype": "FP64", "data": [[value] for value in wine.data[:5, place]]}
            for place, name in enumerate(names)
        ],
        "outputs": [{"name": "probabilities"}],
    }
    for path in ("/v2/models/cultivar/infer", "/v2/models/cultivar/versions/7/infer", "/v2/models/%63ultivar/infer"):
        answer = gateway.http.post(path, json=body).json()
        [given] = answer.pop("outputs")
        assert answer == {"model_name": "cultivar", "model_version": "7", "id": "bottle-7"}
        assert (given["name"], given["datatype"], given["shape"]) == ("probabilities", "FP64", [5, 3])
        expected = estimator.predict_proba(wine.data[:5, :3])
        assert np.allclose(np.reshape(given["data"], (5, 3)), expected)

    assert gateway.http.get("/v2/models/cultivar").json() == {
        "name": "cultivar",
        "versions": ["7"],
        "platform": "sklearn_skops",
        "inputs": [{"name": name, "datatype": "FP64", "shape": [-1]} for name in names],
        "outputs": [
            {"name": "cultivar", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 3]},
        ],
    }
    assert gateway.http.get("/v2/models/cultivar/versions/7/ready").json() == {"name": "cultivar", "ready": True}
    for path in ("/v2/models/cultivar/versions/8", "/v2/models/cultivar-2/ready"):
        missing = gateway.http.get(path)
        assert missing.status_code == 404
        assert "cultivar" in missing.json()["error"]
    assert gateway.http.get("/v2/health/ready").json() == {"ready": True}
    assert gateway.http.get("/v2/health/live").json() == {"live": True}
    assert gateway.http.get("/v2").json()["name"] == "headwater"

    assert gateway.flows_in(key) == [version]
    found = gateway.ask("query ($key: ID!) { asset(key: $key) { tier ... on Deployment { url } } }", key=key)["asset"]
    assert found == {"tier": 1, "url": "/v2/models/cultivar/infer"}
    revision = gateway.tried("cultivar", version=version, tier=1)["revision"]
    assert revision == gateway.tried("cultivar", version=version, tier=1)["revision"], "deploying twice changes nothing"


def test_what_cannot_be_served_is_refused_with_the_reason_and_not_registered(gateway: Gateway, tmp_path: Path) -> None:
    wine = load_wine()
    forest = fitted(RandomForestClassifier(2, max_depth=2), wine.data[:, :1], wine.target)
    (tmp_path / "secret").write_bytes(b"\0" * 8)
    hostile = {
        "a pickle": (pickle.dumps(LinearRegression()), "it is a pickle"),
        "types that skops does not trust": (forest, "sklearn.tree._tree.Tree"),
        "a tensor in another file": (elsewhere(str(tmp_path / "secret")), "other files"),
        "a tensor in a file nearby": (elsewhere("proc/self/environ"), "other files"),
        "nothing known": (b"no model at all", "neither an archive of skops nor an ONNX model"),
    }
    for name, (artifact, says) in hostile.items():
        answer = gateway.tried(name, version=gateway.version(name, "1", artifact, X, Y))
        assert answer["__typename"] == "Refused", (name, answer)
        assert says in answer["message"], (name, answer)

    unfinished: dict[str, tuple[dict[str, object], str]] = {
        "no artifact": ({"artifact": None}, "has no artifact"),
        "no signature": ({"signature": None}, "has no signature"),
        "no outputs": ({"signature": {"inputs": X, "outputs": []}}, "names no outputs"),
        "strange type": ({"signature": {"inputs": [tensor("x", "quaternion")], "outputs": Y}}, "'quaternion'"),
        "elsewhere": ({"artifact": {"uri": "s3://models/7", "digest": "sha256:7"}}, "is not kept here"),
        "other output": ({"signature": {"inputs": X, "outputs": [tensor("z")]}}, "has no output 'z'; it has 'y'"),
        "other type": ({"signature": {"inputs": X, "outputs": [tensor("y", "long")]}}, "gives 'y' as FP64"),
    }
    for name, (stated, says) in unfinished.items():
        answer = gateway.tried(name, version=gateway.version(name, "1", multiplying(), X, Y, **stated))
        assert says in answer["message"], (name, answer)
    assert gateway.tried("none", version="model_version:tests/none#1")["__typename"] == "UnknownAsset"
    assert gateway.tried("none")["__typename"] == "InvalidInput"

    deployed = gateway.ask("{ assets(kinds: [DEPLOYMENT], first: 500) { edges { node { namespace } } } }")["assets"]
    assert gateway.namespace not in {edge["node"]["namespace"] for edge in deployed["edges"]}


def test_an_artifact_must_be_what_its_address_says(gateway: Gateway) -> None:
    artifact = multiplying(17)
    wrong = gateway.http.put(f"/api/v1/artifacts/{'0' * 64}", content=artifact)
    assert wrong.status_code == 400
    assert "SHA-256" in wrong.json()["errors"][0]["message"]
    assert gateway.http.put("/api/v1/artifacts/x", content=artifact).status_code == 400
    big = os.urandom(3 << 20)  # more than other requests may bring
    assert gateway.upload(big) == gateway.upload(big)


def test_rows_of_one_request_pass_the_steps_of_a_composition(gateway: Gateway) -> None:
    given, tenfold = [[0.0], [1.0], [2.0]], [0.0, 10.0, 20.0]
    price = [tensor("price")]
    models = {
        "A": (multiplying(gives="score"), X, [tensor("score")]),
        "B": (above(10.0, given="score", gives="high"), [tensor("score")], [tensor("high", "boolean")]),
        "C": (multiplying(3.0, gives="price"), X, price),
        "D": (as_onnx(LinearRegression(), given, tenfold, "price"), X, price),
    }
    keys = {name: gateway.deploy(name, version=gateway.version(name, "1", *model)) for name, model in models.items()}
    steps = [
        {"deployment": keys["A"]},
        {"deployment": keys["B"]},
        {"switch": [{"deployment": keys["C"], "output": "high", "equals": False}, {"deployment": keys["D"]}]},
    ]
    composite = gateway.deploy("prices", composition=steps)

    x = [1.0, 9.0, 2.0, 8.0, 3.0]
    assert gateway.outputs("prices", x=x)["price"] == pytest.approx([3.0, 90.0, 6.0, 80.0, 9.0], rel=1e-4)
    told = gateway.http.get("/v2/models/prices").json()
    assert told["inputs"] == [{"name": "x", "datatype": "FP64", "shape": [-1]}]
    assert [output["name"] for output in told["outputs"]] == ["price"]
    assert gateway.http.post("/v2/models/prices/infer", json={"inputs": []}).status_code == 400

    assert gateway.flows_in(composite) == [keys["C"], keys["D"]]
    assert keys["B"] in gateway.flows_in(keys["C"])
    assert keys["B"] in gateway.flows_in(keys["D"])
    assert keys["A"] in gateway.flows_in(keys["B"])
    assert gateway.tried("prices", composition=steps)["deployment"]["composition"] == steps

    refused = {
        "a step of itself": ("prices", [{"deployment": composite}]),
        "would be a step of itself": ("C", [{"deployment": composite}]),
        "stands in two steps": ("other", [{"deployment": keys["A"]}, {"deployment": keys["A"]}]),
        "is not served here": ("other", [{"deployment": "deployment:nobody/knows"}]),
        "uses what": ("other", [{"deployment": keys["A"]}, {"deployment": keys["C"]}]),
        "no earlier step gives": ("other", [{"switch": [{"deployment": keys["C"], "output": "g", "equals": 1}]}]),
        "never equals": (
            "other",
            [{"deployment": keys["A"]}, {"switch": [{"deployment": keys["C"], "output": "score", "equals": "x"}]}],
        ),
        "the same outputs": (
            "other",
            [
                {"deployment": keys["A"]},
                {"switch": [{"deployment": keys["C"], "output": "score", "equals": 1}, {"deployment": keys["B"]}]},
            ],
        ),
    }
    for says, (name, wanted) in refused.items():
        answer = gateway.tried(name, composition=wanted)
        assert answer["__typename"] != "Deployed"
        assert says in answer["message"], answer
    assert "is a step of" in gateway.undeploy(keys["D"])["message"]

    assert gateway.undeploy(composite)["__typename"] == "Deployed"
    assert gateway.infer("prices", x=x).status_code == 404
    assert keys["A"] not in gateway.flows_in(keys["B"])
    assert gateway.outputs("A", x=[4.0]) == {"score": pytest.approx([8.0])}


def test_a_name_is_served_once(gateway: Gateway) -> None:
    version = gateway.version("double", "1", multiplying(), X, Y)
    gateway.deploy("one name", version=version)
    other = Gateway(str(gateway.http.base_url), "elsewhere")
    answer = other.tried("one name", version=version)
    other.http.close()
    assert answer["__typename"] == "Refused"
    assert "one name" in answer["message"]
    assert gateway.outputs("one%20name", x=[1.0]) == {"y": pytest.approx([2.0])}


def test_requests_go_on_while_an_alias_moves_and_a_version_that_fails_does_not_take_over(gateway: Gateway) -> None:
    for version, by in (("1", 2.0), ("2", 3.0)):
        gateway.version("moving", version, multiplying(by), X, Y)
    gateway.version("moving", "broken", b"no model at all", X, Y)
    champion = gateway.alias("moving", "champion", "1")
    assert gateway.flows_in(gateway.deploy("moving", version=champion)) == [champion]
    [serves] = gateway.tried("moving", version=champion)["deployment"]["serves"]
    assert serves == {"alias": "champion", "asset": {"id": champion.replace("%40champion", "1")}}

    answers: list[httpx.Response] = []
    enough = threading.Event()

    def call() -> None:
        with httpx.Client(base_url=gateway.http.base_url, timeout=PATIENCE_SECONDS) as http:
            body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1]}]}
            while not enough.is_set():
                answers.append(http.post("/v2/models/moving/infer", json=body))

    caller = threading.Thread(target=call)
    caller.start()
    try:
        gateway.alias("moving", "champion", "2")
        until(lambda: (answers and answers[-1].json()["model_version"] == "2") or None)
        gateway.alias("moving", "champion", "broken")
        told = until(lambda: _trouble(gateway.http.get("/v2/models/moving/ready").json()))
    finally:
        enough.set()
        caller.join()
    assert {answer.status_code for answer in answers} == {200}
    assert "cannot be served" in told["trouble"]
    assert told["ready"]
    assert gateway.outputs("moving", x=[1.0]) == {"y": pytest.approx([3.0])}
    gateway.alias("moving", "champion", "1")
    until(lambda: gateway.infer("moving", x=[1.0]).json()["model_version"] == "1" or None)


def _trouble(told: dict[str, Any]) -> dict[str, Any] | None:
    return told if "trouble" in told else None


def test_a_model_that_takes_too_long_or_dies_is_replaced(gateway: Gateway, address: str) -> None:
    gateway.deploy("slow", version=gateway.version("slow", "1", counting(), X, Y))
    assert gateway.outputs("slow", x=[3.0, 2.0]) == {"y": [3.0, 2.0]}

    late = gateway.infer("slow", x=[1e15])
    assert late.status_code == 504
    assert f"{PREDICT_SECONDS:g} s" in late.json()["error"]
    until(lambda: gateway.infer("slow", x=[1.0]).status_code == 200 or None)

    for pid in workers(address):
        os.kill(pid, signal.SIGKILL)
    until(lambda: gateway.infer("slow", x=[1.0]).status_code == 200 or None)

    failed: list[httpx.Response] = []
    with httpx.Client(base_url=address, timeout=PATIENCE_SECONDS) as http:
        body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1e15]}]}
        caller = threading.Thread(target=lambda: failed.append(http.post("/v2/models/slow/infer", json=body)))
        caller.start()
        until(lambda: _computing(workers(address)))
        for pid in workers(address):
            os.kill(pid, signal.SIGKILL)
        caller.join()
    assert failed[0].status_code == 503
    assert failed[0].headers["Retry-After"] == "1"
    assert "send it again" in failed[0].json()["error"]


def _computing(pids: list[int]) -> list[int] | None:
    """Those that run just now, if any."""
    running = []
    for pid in pids:
        try:
            running += [pid] if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R" else []
        except OSError:
            continue
    return running or None


GIVEN = np.random.default_rng(0).normal(size=(60, 3))
WANTED = (GIVEN[:, 0] > 0).astype(int)


@pytest.mark.long
def test_estimators_share_one_import_and_all_come_again_when_that_process_dies(gateway: Gateway, address: str) -> None:
    """Ten of them, among them such as compute in parallel wherever they may."""
    estimators: list[Any] = [
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(PCA(2), Ridge()),
        *(KMeans(3, n_init=1, random_state=1), SVC(), KNeighborsClassifier(algorithm="brute", n_jobs=-1), LinearSVC()),
        *(GaussianNB(), MLPClassifier(solver="lbfgs", max_iter=20), LinearDiscriminantAnalysis(), SGDClassifier()),
    ]
    for place, estimator in enumerate(estimators):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            archive = fitted(estimator, GIVEN, WANTED)
        version = gateway.version(
            f"e{place}", "1", archive, [tensor(name) for name in "abc"], [{"name": "y", "shape": [-1]}]
        )
        gateway.deploy(f"e{place}", version=version)

    def answer() -> bool | None:
        given = dict(zip("abc", GIVEN.T.tolist(), strict=True))
        answers = [gateway.infer(f"e{place}", **given) for place in range(len(estimators))]
        if {each.status_code for each in answers} != {200}:
            return None
        found = [each.json()["outputs"][0]["data"] for each in answers]
        return all(
            np.allclose(each, estimator.predict(GIVEN)) for each, estimator in zip(found, estimators, strict=True)
        )

    assert answer()
    gateway.deploy("network", version=gateway.version("network", "1", multiplying(), X, Y))
    forking = nursery(address)
    assert forking is not None
    mine = children(forking)
    spawned = [pid for pid in workers(address) if pid not in mine]
    assert len(mine) >= len(estimators), "those of other tests are there too"
    assert len(list(Path(f"/proc/{forking}/task").iterdir())) == 1, (
        "a lock of another thread would stay locked in forks"
    )
    for pid in mine:
        limits = {
            line[:25].strip(): line[25:].split()[0] for line in Path(f"/proc/{pid}/limits").read_text().splitlines()
        }
        assert (limits["Max file size"], limits["Max open files"]) == ("0", "64")
        assert b"HEADWATER" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert os.getsid(pid) == pid
        assert len(list(Path(f"/proc/{pid}/fd").iterdir())) == 5, "its stdin, stdout, stderr and twice its frames"
        assert rights(pid) == rights(spawned[0])

    os.kill(forking, signal.SIGKILL)
    until(lambda: not any(map(lives, mine)) or None)
    assert until(answer)
    assert nursery(address) not in (None, forking)


@pytest.mark.long
def test_nothing_outlives_a_service_that_is_killed(tmp_path: Path) -> None:
    """Not even what is stopped, and so cannot see that nobody asks it any more."""
    started: list[int] = []
    with pytest.raises(AssertionError, match="ended with -9"):
        _kill_amid_models(f"sqlite:///{tmp_path}/store.db", started)
    assert len(started) == 3
    until(lambda: not any(map(lives, started)) or None)


def _kill_amid_models(store: str, started: list[int]) -> None:
    with running_service(store) as address:
        gateway = Gateway(address)
        gateway.deploy("network", version=gateway.version("network", "1", multiplying(), X, Y))
        line = fitted(LinearRegression(), GIVEN[:, :1], GIVEN[:, 1])
        gateway.deploy("line", version=gateway.version("line", "1", line, X, Y))
        gateway.http.close()
        forking = nursery(address)
        assert forking is not None
        started += [forking, *workers(address)]
        for pid in started:
            os.kill(pid, signal.SIGSTOP)
        os.kill(service(address), signal.SIGKILL)


def test_a_restart_restores_all_that_is_deployed(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    with running_service(store) as address:
        gateway = Gateway(address)
        single = gateway.deploy(
            "single", version=gateway.version("double", "1", multiplying(gives="x2"), X, [tensor("x2")])
        )
        follow = gateway.version("triple", "1", multiplying(3.0, given="x2"), [tensor("x2")], Y)
        second = gateway.deploy("second", version=follow)
        gateway.deploy("both", composition=[{"deployment": single}, {"deployment": second}])
        gone = gateway.deploy("gone", version=follow)
        gateway.undeploy(gone)
        gateway.register(deployments=[{"namespace": "tests", "name": "declared", "serves": [follow]}])
        gateway.http.close()
        before = until(lambda: found if len(found := workers(address)) == 2 else None)
    assert not [pid for pid in before if Path(f"/proc/{pid}").exists()]
    with running_service(store) as address:
        gateway = Gateway(address)
        assert until(lambda: gateway.http.get("/v2/health/ready").json()["ready"] or None)
        assert gateway.outputs("both", x=[1.0, 2.0]) == {"y": pytest.approx([6.0, 12.0])}
        assert gateway.infer("gone", x=[1.0]).status_code == 404
        assert gateway.infer("declared", x=[1.0]).status_code == 404
        gateway.http.close()
