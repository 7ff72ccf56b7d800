"""Trainings and scikit-learn's fits, as the graph then knows them: against a real service."""

import asyncio
import contextvars
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import headwater
import numpy as np
import pandas as pd
import pytest
from headwater import AsyncClient, Client, Refused, TrainingRun, autolog, current_run
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.clients.small_graph import AMOUNT, FEATURE, small_graph
from tests.service import free_port

ROWS = pd.DataFrame({"amount": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "customer": [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]})
TARGET = [0, 0, 0, 1, 1, 1]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with small_graph(tmp_path_factory.mktemp("small_graph")) as url:
        yield url


@pytest.fixture
def client(url: str, tmp_path: Path) -> Iterator[Client]:
    with Client(url, spool=tmp_path / "spool.db") as client:
        yield client
    autolog(disable=True)


def attributes(client: Client, key: str) -> dict[str, Any]:
    asset = client.asset(key)
    assert asset is not None, f"{key} is not known"
    return {each.name: each.value for each in asset.attributes}


def test_a_training_is_told_with_all_that_it_read_and_made(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "payments.csv"
    file.write_text("amount\n1.5\n")
    with client.training_run("risk/told", "1", job="risk/nightly", parameters={"trees": 10}) as run:
        client.get_batch_features(["payments:mean_30d"], {"customer": [7]})
        digest = run.log_dataset("warehouse/payments", ROWS, digest_of=file)
        run.log_dataset("warehouse/refunds", file)
        run.log_metrics(auc=0.9)
        run.log_artifact(b"model", inputs=[{"name": "amount", "type": "FP64", "feature": FEATURE}])
    assert run.told
    assert digest == headwater.digest(file)
    told = attributes(client, run.key)
    assert told["status"] == "FINISHED"
    assert told["datasets"]["dataset:warehouse/payments"] == {"digest": digest, "rows": 6}
    version = attributes(client, run.version_key)
    assert version["hyperparameters"] == {"trees": 10}
    assert version["metrics"] == {"auc": 0.9}
    assert version["artifact"]["digest"].startswith("sha256:9372c470")
    assert version["signature"]["inputs"][0]["feature"] == FEATURE
    read = client.lineage(run.key, "UPSTREAM", depth=1).keys()
    assert {FEATURE, AMOUNT, "column:warehouse/payments#customer", "dataset:warehouse/refunds"} <= set(read)
    assert client.impact(AMOUNT).filter(key=run.version_key)


def test_a_block_that_fails_records_a_failed_run_and_no_version(client: Client) -> None:
    run = client.training_run("risk/failing", "1")
    with pytest.raises(ZeroDivisionError, match="division"), run:
        run.log_metrics(mean=sum([]) / len([]))
    assert attributes(client, run.key)["status"] == "FAILED"
    assert attributes(client, run.key)["error"] == "ZeroDivisionError: division by zero"
    assert client.asset(run.version_key) is None


def test_a_run_told_again_under_its_id_is_the_same_run(client: Client) -> None:
    run_id = "0197a2b4-0000-7000-8000-0000000000ff"
    runs = [client.training_run("risk/again", "1", run_id=run_id) for _ in range(2)]
    for run, auc in zip(runs, (0.8, 0.9), strict=True):
        with run:
            run.log_metrics(auc=auc)
    run = runs[-1]
    assert attributes(client, run.version_key)["metrics"] == {"auc": 0.9}
    parts = client.ask("query($key: ID!) { asset(key: $key) { parts { nodes { id } } } }", key=run.job)["asset"]
    assert [node["id"] for node in parts["parts"]["nodes"]] == [run.key]
    revision = client.ask("{ head { revision } }")["head"]["revision"]
    run._tell()
    assert client.ask("{ head { revision } }")["head"]["revision"] == revision


def test_runs_within_runs_and_beside_them_are_told_apart(client: Client) -> None:
    def train(name: str) -> TrainingRun:
        with client.training_run(f"risk/{name}", "1") as run:
            assert current_run() is run
            client.get_batch_features(["payments:mean_30d"], {"customer": [7]})
        return run

    with client.training_run("risk/outer", "1") as outer:
        inner = train("inner")
        with ThreadPoolExecutor(3) as pool:
            beside = [*pool.map(train, "abc")]
        assert current_run() is outer
    for run in (inner, *beside):
        assert client.lineage(run.key, "UPSTREAM", depth=1).filter(key=FEATURE)
    assert client.lineage(outer.key, "UPSTREAM", depth=1).keys() == []


def test_what_is_refused_is_raised_at_the_end(client: Client) -> None:
    with pytest.raises(Refused), client.training_run("risk/refused", "1") as run:
        run.log_artifact(b"model", profile={"no": "profile"})


def test_a_training_without_a_service_waits_on_disk(url: str, tmp_path: Path) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    with Client(away, spool=tmp_path / "away.db") as client:
        with client.training_run("risk/away", "1") as run:
            run.log_artifact(b"made while away")
        assert run.told is False
    with Client(url, spool=tmp_path / "away.db") as client:
        assert client.flush().waiting == 0
        assert attributes(client, run.version_key)["artifact"]["uri"].startswith("artifact:sha256:")


def test_a_fit_in_a_training_says_what_the_model_uses(client: Client) -> None:
    autolog(client)
    data = ROWS.rename(columns={"customer": "nothing"}).assign(nothing=0.0)
    with client.training_run("risk/fitted", "1") as run:
        run.log_dataset("warehouse/payments", data[["amount"]])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(data, TARGET)
        score = model.score(data, TARGET)
    version = attributes(client, run.version_key)
    assert version["hyperparameters"]["logisticregression__C"] == 0.5
    assert version["metrics"] == {"score": score}
    assert [each["name"] for each in version["signature"]["inputs"]] == ["amount", "nothing"]
    assert version["estimator"] == "sklearn.pipeline.Pipeline"
    assert client.lineage(run.key, "UPSTREAM", depth=1).filter(key=AMOUNT)


def test_features_that_were_read_are_those_of_the_signature(client: Client) -> None:
    autolog(client)
    with client.training_run("risk/on_features", "1") as run:
        read = client.get_batch_features(["payments:mean_30d"], {"customer": [7, 8]}).to_df()
        LinearRegression().fit(read[["payments:mean_30d"]], [1.0, 2.0])
    assert attributes(client, run.version_key)["signature"]["inputs"][0]["feature"] == FEATURE


def own_runs(client: Client, model: str) -> list[str]:
    asset = client.ask("query($key: ID!) { asset(key: $key) { parts { nodes { id } } } }", key=model)["asset"]
    return [] if asset is None else [node["id"] for node in asset["parts"]["nodes"]]


def test_a_fit_by_itself_is_a_run_of_its_own_and_its_score_follows(client: Client) -> None:
    autolog(client, model="risk/alone")
    model = Ridge(alpha=2.0).fit(ROWS, TARGET)
    score = model.score(ROWS, TARGET)
    autolog(disable=True)
    Ridge().fit(ROWS, TARGET)
    (version,) = own_runs(client, "model:risk/alone")
    assert attributes(client, version)["hyperparameters"]["alpha"] == 2.0
    assert attributes(client, version)["metrics"] == {"score": score}


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_only_the_outermost_fit_is_recorded_also_where_scikit_learn_works_in_threads(
    client: Client, backend: str
) -> None:
    from joblib import parallel_config

    autolog(client, model=f"risk/outermost_{backend}")
    members: list[Any] = [("r", RandomForestClassifier(3, n_jobs=2)), ("l", LogisticRegression())]
    with parallel_config(backend=backend, n_jobs=2):
        GridSearchCV(VotingClassifier(members), {"l__C": [0.1, 1.0]}, cv=2).fit(ROWS, TARGET)
    assert len(own_runs(client, f"model:risk/outermost_{backend}")) == 1


def test_fits_in_threads_are_recorded_each(client: Client) -> None:
    autolog(client, model="risk/threads")
    with ThreadPoolExecutor(4) as pool:
        fitted = [*pool.map(lambda alpha: Ridge(alpha).fit(ROWS, TARGET), [1.0, 2.0, 3.0, 4.0])]
    assert [each.alpha for each in fitted] == [1.0, 2.0, 3.0, 4.0]
    assert len(own_runs(client, "model:risk/threads")) == 4
    with client.training_run("risk/threads_of_a_run", "1") as run:
        within = contextvars.copy_context()
        thread = threading.Thread(target=within.run, args=(Ridge(5.0).fit, ROWS, TARGET))
        thread.start()
        thread.join()
    assert attributes(client, run.version_key)["hyperparameters"]["alpha"] == 5.0


def test_a_fit_is_the_same_with_and_without(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    plain = LogisticRegression().fit(ROWS, TARGET)
    autolog(Client(f"http://127.0.0.1:{free_port()}", spool="/proc/nowhere/spool.db"))
    watched = LogisticRegression().fit(ROWS, TARGET)
    assert "is not recorded" in caplog.text, "neither sent nor kept: that is said, and the fit goes on"
    assert np.array_equal(plain.coef_, watched.coef_)
    assert isinstance(pickle.loads(pickle.dumps(watched)), LogisticRegression)
    assert clone(watched).get_params() == plain.get_params()
    assert watched.fit(ROWS, TARGET) is watched
    assert LogisticRegression.fit.__name__ == "fit"
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        watched.fit(ROWS, TARGET[:2])
    assert len(KMeans(2, n_init=1).fit_predict(ROWS)) == 6
    assert not hasattr(GridSearchCV(KMeans(2), {}), "nothing")
    autolog(disable=True)
    assert "_Watched" not in {type(vars(each).get("fit")).__name__ for each in LogisticRegression.__mro__}


def test_the_same_calls_can_be_awaited(url: str, tmp_path: Path) -> None:
    async def reached() -> tuple[list[str], int, bool]:
        async with AsyncClient(url, spool=tmp_path / "spool.db") as client:
            lineages = await asyncio.gather(*(client.impact(AMOUNT, kinds=["consumer"]) for _ in range(5)))
            told: list[dict[str, Any]] = []
            lines = ({"asset": f"dataset:shop/async_{n}"} for n in range(2_000))
            done = await client.bulk(lines, origin="async", tell=told.append)
            recorded = await client.record({"datasets": [{"namespace": "shop", "name": "async"}]})
            with pytest.raises(Refused, match="is not registered"):
                await client.impact("dataset:shop/nothing")
            return [each[0].key for each in lineages], done["committed"], recorded.sent

    assert asyncio.run(reached()) == (["consumer:shop/checkout"] * 5, 2_000, True)


def test_both_clients_have_the_same_methods() -> None:
    def methods(client: type) -> set[str]:
        return {name for name in dir(client) if not name.startswith("_")}

    assert methods(Client) - methods(AsyncClient) == {"training_run"}
    assert methods(AsyncClient) - methods(Client) == set()
