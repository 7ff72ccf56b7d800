"""The serving gateway where it is hard to reach from outside: the protocol's refusals, who is told of what, and limits."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC
from starlette.applications import Starlette

from app.compose import furnish, now
from app.events import Caller, Columns, Prediction, Sighting
from app.hosting import Hosted
from app.identity import FileTokens, Kind, OpenTokens, Role, Tokens, create_token
from app.main import create_app
from app.metrics import Metrics
from app.service import Headwater
from app.serving import starting, worker
from app.serving.artifacts import Artifacts
from app.serving.composition import Branch
from app.serving.deployments import Spec
from app.serving.frames import FrameBroken, decoded, encoded
from app.serving.gateway import Serving
from app.serving.models import Datatype, Signature, Tensor
from app.serving.processes import MAX_WAITING
from app.settings import Settings
from graph.changes import AssetStatement, Registration
from graph.errors import Conflict, InvalidInput
from graph.index import LineageIndex
from graph.keys import AssetKey
from graph.model import Basis
from graph.stores.sqlite import SqliteStore
from tests.models import counting, multiplying, tensor

pytestmark = pytest.mark.anyio

SHOP = Caller(AssetKey.parse("consumer:tests/shop"), verified=True)
VIEW = "feature:cellar/bottles"


class Gateway:
    """The gateway in this process, with a caller, a log and features of the test's own."""

    def __init__(self, folder: Path, store: SqliteStore, tokens: Tokens | None = None) -> None:
        self.seen: list[Sighting] = []
        self.logged: list[Prediction] = []
        self.readers: list[Caller] = []
        index = LineageIndex(store)
        index.load()
        self.headwater = Headwater(store, index, now)
        settings = Settings(store=f"sqlite:///{folder}/x.db", max_artifact_bytes=100_000)
        self.artifacts = Artifacts(folder / "x.data" / "artifacts")
        self.serving = Serving(
            self.artifacts,
            now,
            1.0,
            lambda _: SHOP,
            self.seen.append,
            self.logged.append,
            self._look_up,
            self._entities,
        )
        rooms = replace(furnish(settings, now, Metrics()), serving=self.serving)
        self.app: Starlette = create_app(Hosted(self.headwater), tokens or OpenTokens(), settings, rooms)
        transport = httpx.ASGITransport(app=self.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://localhost:8321", timeout=30)

    async def deploy(
        self, name: str, artifact: bytes, inputs: Sequence[object], outputs: Sequence[object], **attributes: str
    ) -> AssetKey:
        import hashlib

        sha256 = hashlib.sha256(artifact).hexdigest()
        assert (await self.http.put(f"/api/v1/artifacts/{sha256}", content=artifact)).status_code in (200, 201)
        version = AssetKey.parse(f"model_version:tests/{name}#1")
        stated: dict[str, Any] = {
            "artifact": {"uri": f"artifact:sha256:{sha256}", "digest": f"sha256:{sha256}"},
            "signature": {"inputs": inputs, "outputs": outputs},
        }
        assert version.container is not None
        assets = (AssetStatement(version.container), AssetStatement(version, stated))
        await self.headwater.register(Registration("tests", Basis.DECLARED, assets), None, "tests")
        key = AssetKey.parse(f"deployment:tests/{name}")
        await self.serving.deploy(self.headwater, key, Spec(version), attributes, None, "tests")
        return key

    async def compose(self, name: str, *steps: tuple[Branch, ...]) -> AssetKey:
        key = AssetKey.parse(f"deployment:tests/{name}")
        await self.serving.deploy(self.headwater, key, Spec(steps=steps), {}, None, "tests")
        return key

    async def infer(self, name: str, id: str | None = None, **columns: Sequence[float]) -> httpx.Response:
        inputs = [fp64(column, *values) for column, values in columns.items()]
        return await self.http.post(f"/v2/models/{name}/infer", json={"id": id, "inputs": inputs})

    async def _entities(self, _: Headwater, features: Sequence[AssetKey]) -> Sequence[str]:
        return ["bottle"]

    async def _look_up(self, _: Headwater, caller: Caller, features: Sequence[AssetKey], entities: Columns) -> Columns:
        """Ten times the bottle's number; of the thirteenth nothing is known, and 99 is no bottle."""
        self.readers.append(caller)
        bottles = entities["bottle"].astype(float)
        if 99 in bottles:
            raise InvalidInput("99 is no bottle", 99)
        return {str(feature): np.where(bottles == 13, np.nan, 10 * bottles) for feature in features}


@asynccontextmanager
async def serving(folder: Path, tokens: Tokens | None = None) -> AsyncIterator[Gateway]:
    store = SqliteStore(folder / "x.db")
    gateway = Gateway(folder, store, tokens)
    running = asyncio.create_task(gateway.serving.run(gateway.headwater))
    try:
        yield gateway
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await gateway.http.aclose()
        store.close()


def fp64(name: str, *values: object, shape: Sequence[int] | None = None) -> dict[str, object]:
    return {"name": name, "shape": shape or [len(values)], "datatype": "FP64", "data": [*values]}


X, Y = [tensor("x")], [tensor("y")]


async def test_what_the_protocol_does_not_allow_is_refused_with_the_reason(tmp_path: Path) -> None:
    x = fp64("x", 1.0)
    cases: list[tuple[object, int, str]] = [
        (b"{", 400, "not JSON"),
        (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [NaN]}]}', 400, "written null"),
        ([], 400, "not a JSON object"),
        ({}, 400, "inputs is missing"),
        ({"inputs": [7]}, 400, "inputs[0] is not of the form"),
        ({"id": 7, "inputs": [x]}, 400, "id is '7'"),
        ({"inputs": [x, x]}, 400, "'x' is there twice"),
        ({"inputs": [fp64("z", 1.0)]}, 400, "'strict' does not have: 'z'"),
        ({"inputs": [{**x, "name": "X"}]}, 400, "'strict' takes 'x' (FP64 [-1])"),
        ({"inputs": [x, fp64("z", 1.0)]}, 400, "does not have: 'z'"),
        ({"inputs": [{**x, "datatype": "BYTES", "data": ["1"]}]}, 400, "is BYTES; accepted are UINT8"),
        ({"inputs": [{**x, "datatype": "FP65"}]}, 400, "none of BOOL"),
        ({"inputs": [{**x, "shape": [1, 3], "data": [1, 2, 3]}]}, 400, "shape [1, 3], where [-1] is taken"),
        ({"inputs": [{**x, "shape": [2]}]}, 400, "has 1 values, and its shape [2] makes 2"),
        ({"inputs": [{**x, "shape": [-1]}]}, 400, "it is a list of sizes"),
        ({"inputs": [{**x, "shape": [True]}]}, 400, "it is a list of sizes"),
        ({"inputs": [{**x, "shape": []}]}, 400, "it is a list of sizes"),
        ({"inputs": [fp64("x", [1.0], [2.0, 3.0], shape=[2, 1])]}, 400, "is ragged: 2 values stand where"),
        ({"inputs": [fp64("x", [1.0], 2.0, shape=[2, 1])]}, 400, "is ragged: one value"),
        ({"inputs": [fp64("x", [[1.0]], shape=[1, 1])]}, 400, "nested deeper"),
        ({"inputs": [fp64("x", "1.0")]}, 400, "value 0 of the input 'x' is \"1.0\"; FP64 is a number, or null"),
        ({"inputs": [fp64("x", 1.0, True)]}, 400, "value 1 of the input 'x' is true"),
        ({"inputs": [{**x, "datatype": "INT64", "data": [1.5]}]}, 400, "INT64 is a whole number"),
        ({"inputs": [{**x, "datatype": "INT8", "data": [300]}]}, 400, "300 in the input 'x' is beyond INT8"),
        ({"inputs": [{**x, "datatype": "INT8", "data": [None]}]}, 400, "is null; INT8 is a whole number"),
        ({"inputs": [fp64("x")]}, 400, "no rows"),
        ({"inputs": [{**x, "data": None}]}, 400, "has no data"),
        ({"inputs": [{**x, "data": None, "parameters": 5}]}, 400, "has no data"),
        ({"inputs": [{**x, "data": None, "parameters": {"binary_data_size": 8}}]}, 400, "binary tensors are not taken"),
        ({"inputs": [x], "outputs": [{"name": "z"}]}, 400, "has no output 'z'; it gives 'y'"),
        ({"inputs": [x], "outputs": ["y"]}, 400, "outputs is not a list"),
        ({"inputs": [fp64("x", *[0] * 100_001)]}, 413, "100001 rows; at most 100000"),
    ]
    async with serving(tmp_path) as gateway:
        await gateway.deploy("strict", multiplying(), X, Y)
        for body, status, says in cases:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = await gateway.http.post("/v2/models/strict/infer", content=content)
            assert (answer.status_code, says in answer.json()["error"]) == (status, True), (body, answer.text)
        assert [(seen.source.name, seen.failed) for seen in gateway.seen] == [("strict", True)] * len(cases)
        assert gateway.logged == []

        two = await gateway.deploy("two", multiplying(given="x"), X, Y)
        unequal = {"inputs": [fp64("x", 1.0), fp64("x", 1.0)]}
        assert (await gateway.http.post(f"/v2/models/{two.name}/infer", json=unequal)).status_code == 400
        binary = {"Inference-Header-Content-Length": "10"}
        refused = await gateway.http.post("/v2/models/strict/infer", json={"inputs": [x]}, headers=binary)
        assert "JSON alone" in refused.json()["error"]
        wrong = await gateway.http.get("/v2/models/strict/infer")
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST")

        fine = {"inputs": [{**x, "datatype": "INT64", "data": [[2], [3]], "shape": [2, 1], "parameters": {"a": 1}}]}
        answer = await gateway.http.post("/v2/models/strict/infer", json=fine)
        assert answer.json()["outputs"] == [{"name": "y", "shape": [2], "datatype": "FP64", "data": [4.0, 6.0]}]
        missing = await gateway.http.post("/v2/models/strict/infer", json={"inputs": [fp64("x", None, 1)]})
        assert missing.json()["outputs"][0]["data"] == [None, 2.0]


async def test_whoever_listens_is_told_of_each_request_and_of_each_hop(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        a = await gateway.deploy("a", multiplying(gives="u"), X, [tensor("u")])
        b = await gateway.deploy("b", multiplying(1.0, given="u", gives="v"), [tensor("u")], [tensor("v")])
        c = await gateway.deploy("c", multiplying(5.0), X, Y)
        d = await gateway.deploy("d", multiplying(7.0), X, Y)
        key = await gateway.compose("all", (Branch(a),), (Branch(b),), (Branch(c, "v", 4), Branch(d)))
        answer = await gateway.infer("all", "the-id", x=[1.0, 2.0, 3.0])
        assert answer.json()["outputs"][0]["data"] == [7.0, 10.0, 21.0]
        assert answer.json()["id"] == "the-id"
        assert "model_version" not in answer.json()

        hops = [(str(seen.source.name), seen.caller.key, seen.caller.verified) for seen in gateway.seen]
        assert hops == [
            ("a", b, True),
            ("b", c, True),
            ("b", d, True),
            ("c", key, True),
            ("d", key, True),
            ("all", SHOP.key, True),
        ]
        assert not any(seen.failed for seen in gateway.seen)
        logged = [
            (each.deployment.name, each.caller.key, each.rows, {n: v.tolist() for n, v in each.outputs.items()})
            for each in gateway.logged
        ]
        assert logged == [
            ("a", b, 3, {"u": [2.0, 4.0, 6.0]}),
            ("b", c, 1, {"v": [4.0]}),
            ("b", d, 2, {"v": [2.0, 6.0]}),
            ("c", key, 1, {"y": [10.0]}),
            ("d", key, 2, {"y": [7.0, 21.0]}),
            ("all", SHOP.key, 3, {"y": [7.0, 10.0, 21.0]}),
        ]
        assert {each.id for each in gateway.logged} == {"the-id"}
        versions = {each.deployment.name: str(each.version) for each in gateway.logged}
        assert versions["c"] == "model_version:tests/c#1"
        assert versions["all"] == "deployment:tests/all"

        gateway.seen.clear()
        await gateway.compose("gap", (Branch(a),), (Branch(c, "u", 4),))
        stuck = await gateway.infer("gap", x=[2.0, 3.0])
        assert stuck.status_code == 500
        assert "no branch of deployment:tests/gap takes row 1, where 'u' is 6.0" in stuck.json()["error"]
        assert [seen.failed for seen in gateway.seen if seen.source.name == "gap"] == [True]


async def test_features_that_a_request_leaves_out_are_looked_up_for_its_entities(tmp_path: Path) -> None:
    inputs = [tensor("x", feature=f"{VIEW}#sugar")]
    async with serving(tmp_path) as gateway:
        key = await gateway.deploy("sweet", multiplying(), inputs, Y)
        found = await gateway.infer("sweet", bottle=[1, 13])
        assert found.json()["outputs"][0]["data"] == [20.0, None]
        [logged] = gateway.logged
        assert {name: values.tolist() for name, values in logged.inputs.items()} == {"bottle": [1.0, 13.0]}
        assert logged.features["x"][0] == 10.0
        assert gateway.readers == [Caller(key, verified=True)]

        carried = await gateway.infer("sweet", x=[3.0], bottle=[1])
        assert carried.json()["outputs"][0]["data"] == [6.0]
        assert len(gateway.readers) == 1
        assert not gateway.logged[-1].features

        assert "99 is no bottle" in (await gateway.infer("sweet", bottle=[99])).json()["error"]
        neither = await gateway.infer("sweet", cork=[1])
        assert neither.status_code == 400
        assert "instead of features the entities 'bottle'" in neither.json()["error"]

        whole = await gateway.deploy("more", multiplying(1.0, given="y", gives="z"), Y, [tensor("z")])
        await gateway.compose("chain", (Branch(key),), (Branch(whole),))
        chained = await gateway.infer("chain", bottle=[2])
        assert chained.json()["outputs"] == [{"name": "z", "shape": [1], "datatype": "FP64", "data": [40.0]}]

        await gateway.deploy("carried", multiplying(), inputs, Y, features_from="request")
        refused = await gateway.infer("carried", bottle=[1])
        assert "does not have: 'bottle'" in refused.json()["error"]


async def test_whole_numbers_that_a_look_up_does_not_find_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        inputs = [tensor("x", "long", feature=f"{VIEW}#sugar")]
        await gateway.deploy("whole", multiplying(), inputs, Y)
        assert (await gateway.infer("whole", bottle=[1])).status_code == 200
        missing = await gateway.infer("whole", bottle=[1, 13])
        assert missing.status_code == 400
        assert "no value for 'x' in row 1" in missing.json()["error"]


async def test_too_many_requests_for_one_model_are_told_to_come_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await gateway.deploy("slow", counting(), X, Y)
        asked = [gateway.infer("slow", x=[1e15]), *(gateway.infer("slow", x=[1.0]) for _ in range(MAX_WAITING + 5))]
        answers = await asyncio.gather(*asked)
        assert answers[0].status_code == 504
        assert {answer.status_code for answer in answers[1:]} == {503}
        assert {answer.headers["Retry-After"] for answer in answers[1:]} == {"1"}
        said = [answer.json()["error"] for answer in answers[1:]]
        assert any(f"{MAX_WAITING} requests wait" in each for each in said)
        async with asyncio.timeout(30):
            while (await gateway.infer("slow", x=[1.0])).status_code != 200:  # noqa: ASYNC110 (asked from outside)
                await asyncio.sleep(0.05)


async def test_a_deployment_repeated_after_it_was_undone_has_no_second_effect(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await gateway.deploy("twice", multiplying(), X, Y)
        key, spec = AssetKey.parse("deployment:tests/once"), Spec(AssetKey.parse("model_version:tests/twice#1"))
        revision = await gateway.serving.deploy(gateway.headwater, key, spec, {}, "first", "tests")
        assert (await gateway.infer("once", x=[1.0])).status_code == 200
        await gateway.serving.undeploy(gateway.headwater, key, "second", "tests")
        assert await gateway.serving.deploy(gateway.headwater, key, spec, {}, "first", "tests") == revision
        assert (await gateway.infer("once", x=[1.0])).status_code == 404
        await gateway.serving.deploy(gateway.headwater, key, spec, {}, "third", "tests")
        await gateway.serving.undeploy(gateway.headwater, key, "second", "tests")
        assert (await gateway.infer("once", x=[1.0])).status_code == 200


async def test_who_leaves_while_asking_has_not_called(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        await gateway.deploy("left", multiplying(), X, Y)
        path = "/v2/models/left/infer"
        headers = [(b"host", b"localhost:8321")]
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
        said = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
        answers: list[Any] = []

        async def receive() -> Any:
            return next(said)

        async def send(message: Any) -> None:
            answers.append(message)

        await gateway.app(scope, receive, send)
        assert answers[0]["status"] == 400
        assert gateway.seen == []


async def test_artifacts_have_a_limit_of_their_own_and_need_a_contributor(tmp_path: Path) -> None:
    token = create_token(tmp_path / "tokens.json", "ada", Role.READER, Kind.PERSON)
    async with serving(tmp_path, FileTokens(tmp_path / "tokens.json")) as gateway:
        headers = {"Authorization": f"Bearer {token}"}
        reader = await gateway.http.put(f"/api/v1/artifacts/{'0' * 64}", content=b"x", headers=headers)
        assert reader.status_code == 403
        large = await gateway.http.put(f"/api/v1/artifacts/{'0' * 64}", content=b"x" * 100_001, headers=headers)
        assert large.status_code == 413
        assert (await gateway.http.get("/v2")).status_code == 401
        assert (await gateway.http.get("/v2/health/live")).json() == {"live": True}
        deploy = {"query": 'mutation { undeploy(id: "deployment:a/b") { __typename } }'}
        forbidden = await gateway.http.post("/graphql", json=deploy, headers=headers)
        assert forbidden.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_an_artifact_that_changed_on_disk_is_not_served(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        key = await gateway.deploy("kept", multiplying(), X, Y)
        [kept] = (tmp_path / "x.data" / "artifacts").iterdir()
        kept.write_bytes(multiplying(3.0))
        with pytest.raises(Exception, match="was damaged since it was uploaded"):
            gateway.artifacts.read(f"artifact:sha256:{kept.name}", f"sha256:{kept.name}")
        with pytest.raises(InvalidInput, match="is not kept here"):
            gateway.artifacts.read("artifact:sha256:../../x.db", f"sha256:{kept.name}")
        assert gateway.serving.ready(key)


THREADED = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
NO_FORK = {
    "no pidfds": ("_has_pidfds", lambda: False),
    "a thread": ("_NURSERY", ("-P", "-c", THREADED + "from app.serving.nursery import main; main()")),
    "a nursery that cannot start": ("_NURSERY", ("-P", "-c", "raise SystemExit('no skops')")),
}


@pytest.mark.long
@pytest.mark.parametrize("reason", NO_FORK)
async def test_where_forking_is_not_safe_an_estimator_has_an_interpreter_of_its_own(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, *NO_FORK[reason])
    async with serving(tmp_path) as gateway:
        archive = skops.io.dumps(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]))
        if reason == "a nursery that cannot start":
            with pytest.raises(Conflict, match="the nursery ended; its last words: no skops"):
                await gateway.deploy("line", archive, X, Y)
            return
        await gateway.deploy("line", archive, X, Y)
        assert (await gateway.infer("line", x=[3.0])).json()["outputs"][0]["data"] == [pytest.approx(6.0)]
        assert _started_by(os.getpid()) == ["app.serving.worker"]


def _started_by(pid: int) -> list[str]:
    """The modules that run in the processes below this one, which began as interpreters of their own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found += [
                    module for module in (process / "cmdline").read_text().split("\0") if "app.serving." in module
                ]
                found += _started_by(int(process.name))
    return [module for module in found if not module.startswith("import threading")]


# Estimators

GIVEN = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 0.0], [2.0, 1.0]])
CLASSES = ["a", "a", "b", "b", "c", "c"]
COLUMNS = (Tensor("p", Datatype.FP64), Tensor("q", Datatype.FP64))
MATRIX = (Tensor("m", Datatype.FP32, (2,)),)
LABEL, PROBABILITIES = Tensor("label", None), Tensor("probabilities", Datatype.FP64, (3,))
SCALARS = tuple(Tensor(name, Datatype.FP64) for name in "abc")


def estimator(model: Any, wanted: object = CLASSES) -> tuple[Any, bytes]:
    model.fit(GIVEN, wanted)
    return model, skops.io.dumps(model)


def answers(archive: bytes, inputs: tuple[Tensor, ...], *outputs: Tensor) -> dict[str, Any]:
    signature = Signature(inputs, outputs)
    model = worker.load(archive, signature)
    given = {"m": GIVEN.astype("float32")} if inputs == MATRIX else {"p": GIVEN[:, 0], "q": GIVEN[:, 1]}
    return worker._checked(model, signature, given)


def test_what_an_estimator_answers_follows_from_the_signature() -> None:
    model, archive = estimator(GaussianNB())
    labels, probabilities = model.predict(GIVEN).tolist(), model.predict_proba(GIVEN)
    for inputs in (COLUMNS, MATRIX):
        assert answers(archive, inputs, LABEL)["label"].tolist() == labels
        found = answers(archive, inputs, LABEL, PROBABILITIES)
        assert found["label"].tolist() == labels
        assert np.allclose(found["probabilities"], probabilities)
        assert np.allclose(answers(archive, inputs, PROBABILITIES)["probabilities"], probabilities)
        columns = answers(archive, inputs, *SCALARS)
        assert np.allclose(np.stack([columns[name] for name in "abc"], axis=1), probabilities)
        both = answers(archive, inputs, LABEL, *SCALARS)
        assert both["label"].tolist() == labels
        assert np.allclose(both["c"], probabilities[:, 2])
    binary, archive = estimator(LogisticRegression(), [0, 0, 0, 0, 1, 1])
    found = answers(archive, COLUMNS, Tensor("no", Datatype.FP64), Tensor("yes", Datatype.FP64))
    assert np.allclose(found["yes"], binary.predict_proba(GIVEN)[:, 1])
    several, archive = estimator(Ridge(), GIVEN * 2)
    found = answers(archive, COLUMNS, Tensor("u", Datatype.FP64), Tensor("v", Datatype.FP64))
    assert np.allclose(found["v"], several.predict(GIVEN)[:, 1])
    whole = answers(archive, COLUMNS, Tensor("w", Datatype.FP64, (2,)))
    assert np.allclose(whole["w"], several.predict(GIVEN))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_estimator_that_does_not_fit_its_signature_is_refused() -> None:
    import pandas as pd

    _, classifier = estimator(GaussianNB())
    _, regressor = estimator(LinearRegression(), [*range(6)])
    _, machine = estimator(SVC())
    named = skops.io.dumps(LinearRegression().fit(pd.DataFrame(GIVEN, columns=["q", "p"]), [*range(6)]))
    three = (*COLUMNS, Tensor("r", Datatype.FP64))
    text = (COLUMNS[0], Tensor("q", Datatype.BYTES))
    refused: list[tuple[bytes, tuple[Tensor, ...], tuple[Tensor, ...], str]] = [
        (classifier, COLUMNS, SCALARS[:2], "is a classifier of 3 classes"),
        (classifier, COLUMNS, (Tensor("p", Datatype.FP64, (2,)),), "is a classifier of 3 classes"),
        (machine, COLUMNS, (PROBABILITIES,), r"shape \[6\], where the signature says \[-1, 3\]"),
        (regressor, COLUMNS, SCALARS[:2], "the signature has 2"),
        (classifier, COLUMNS, (Tensor("l", Datatype.INT64),), "gives 'l' as BYTES, where the signature says INT64"),
        (regressor, COLUMNS, (Tensor("l", Datatype.BYTES),), "gives 'l' as FP64, where the signature says BYTES"),
        (regressor, three, (LABEL,), "fitted on 2 columns, and the signature's inputs make 3"),
        (regressor, text, (LABEL,), "is text; export the pipeline as ONNX"),
        (regressor, (*MATRIX, COLUMNS[0]), (LABEL,), "one matrix"),
        (named, COLUMNS, (LABEL,), r"on the columns \['q', 'p'\], and the signature has them as \['p', 'q'\]"),
        (regressor[:-100], COLUMNS, (LABEL,), "damaged zip archive"),
        (b"PK\x05\x06" + b"\0" * 18, COLUMNS, (LABEL,), r"without schema\.json"),
    ]
    for archive, inputs, outputs, says in refused:
        with pytest.raises(worker.Unfit, match=says):
            answers(archive, inputs, *outputs)


def test_frames_carry_arrays_and_nothing_that_runs() -> None:
    arrays: Mapping[str, Any] = {
        "numbers": np.arange(6, dtype="int16").reshape(2, 3),
        "text": np.array(["ä", "", "c"], object),
        "flags": np.array([True, False]),
    }
    _, head, *body = encoded({"a": 1}, arrays, b"rest")
    frame = decoded(head, b"".join(body))
    assert frame.header == {"a": 1}
    assert frame.rest == b"rest"
    assert {name: array.tolist() for name, array in frame.arrays.items()} == {
        name: array.tolist() for name, array in arrays.items()
    }
    for dtype in ("|O", "<U4", "object", "V8"):
        told = json.dumps({"arrays": [{"name": "x", "dtype": dtype, "shape": [1], "size": 8}]}).encode()
        with pytest.raises(FrameBroken):
            decoded(told, b"\0" * 8)
