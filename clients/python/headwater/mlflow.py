"""An MLflow tracking server → the document that the service imports, read over the REST API as MLflow's own client reads it.

Who signs in stands where MLflow's client looks for it: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or
`~/.mlflow/credentials`), or MLFLOW_TRACKING_TOKEN; MLFLOW_TRACKING_INSECURE_TLS, MLFLOW_TRACKING_SERVER_CERT_PATH,
MLFLOW_TRACKING_CLIENT_CERT_PATH and MLFLOW_WORKSPACE count too.
"""

from __future__ import annotations

import configparser
import json
import os
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from headwater import manifests
from headwater.errors import AccessRefused, DocumentUnreadable, ManifestUnreadable, Refused, Unreachable

API = "/api/2.0/mlflow"
AT_ONCE = 8
"""Requests."""
ATTEMPTS, FIRST_WAIT_SECONDS = 4, 1.0
MODELS_A_PAGE, VERSIONS_A_PAGE = 1000, 10_000
CUT = "..."
"""How Feast ends a tag that MLflow would not hold; the whole list is then an artifact."""

Json = dict[str, Any]
Tell = Callable[[str], None]


def fetched(address: str, timeout: float, tell: Tell) -> Json:
    """`tell` is called with how far it is. Raises Unreachable, Refused, DocumentUnreadable."""
    if not address.startswith(("http://", "https://")):
        raise DocumentUnreadable(
            f"{address!r} is not the address of a tracking server, as http://host:5000; to read a folder or a database,"
            f" start one on it: mlflow server --backend-store-uri {address}"
        )
    with _Server(address, timeout) as server:
        return server.document(tell)


class _Server:
    def __init__(self, address: str, timeout: float) -> None:
        self._address = address.rstrip("/")
        try:
            self._http = httpx.Client(
                base_url=self._address,
                timeout=timeout,
                follow_redirects=True,
                verify=_verify(),
                cert=os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
                auth=_auth(),
                headers={"X-MLFLOW-WORKSPACE": workspace} if (workspace := os.environ.get("MLFLOW_WORKSPACE")) else {},
                limits=httpx.Limits(max_connections=AT_ONCE),
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise DocumentUnreadable(f"{address} is not the address of a server: {error}") from error
        self.name = str(self._http.base_url.copy_with(username=None, password=None)).rstrip("/")
        self._date: str | None = None

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def document(self, tell: Tell) -> Json:
        models = list(self._pages("registered-models/search", "registered_models", MODELS_A_PAGE))
        date = self._date  # the first answer's: what it tells was so then, or later
        versions = list(
            self._pages(
                "model-versions/search", "model_versions", VERSIONS_A_PAGE, order_by=["name ASC", "version_number ASC"]
            )
        )
        # A page may repeat what the one before had: meanwhile something was deleted before it.
        models = list({each.get("name"): each for each in models}.values())
        versions = list({(each.get("name"), each.get("version")): each for each in versions}.values())
        tell(f"{len(models):,} models, {len(versions):,} versions")
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            logged = _each("logged models", pool, self._logged_model, filter(None, map(_model_id, versions)), tell)
            infos = [each.get("info", {}) for each in logged]
            by_model = {each.get("model_id"): each.get("source_run_id") for each in infos}
            made_by = (each.get("run_id") or by_model.get(_model_id(each)) for each in versions)
            runs = _each("runs", pool, self._run, filter(None, made_by), tell)
            named = (str(run.get("info", {}).get("experiment_id")) for run in runs)
            experiments = _each("experiments", pool, self._experiment, named, tell)
            signatures = zip(versions, pool.map(self._signature, versions), strict=True)
            for done, (version, signature) in enumerate(signatures, 1):
                version.update({"signature": signature} if signature else {})
                _tell_some(done, len(versions), "signatures", tell)
        finally:
            pool.shutdown(cancel_futures=True)  # one failed: the others are of no use
        return {
            "server": self.name,
            **({"fetched": date} if date else {}),
            "registered_models": models,
            "model_versions": versions,
            "experiments": experiments,
            "runs": runs,
            "logged_models": logged,
        }

    def _run(self, run_id: str) -> Json | None:
        run = self._one("runs/get", "run", run_id=run_id)
        if run is None:
            return None
        data = run.get("data")
        tags = data.get("tags") if isinstance(data, dict) else None
        named = (tag for tag in tags or () if isinstance(tag, dict) and tag.get("key") == "feast.feature_refs")
        if any(str(tag.get("value")).endswith(CUT) for tag in named):
            answer = self._get("/get-artifact", {"run_id": run_id, "path": "feast_features.json"})
            features = _loaded(answer.content) if answer.is_success else None
            if isinstance(features, list):
                run["feast_features"] = features
        return run

    def _logged_model(self, model_id: str) -> Json | None:
        return self._one(f"logged-models/{quote(model_id, safe='')}", "model")

    def _experiment(self, experiment_id: str) -> Json | None:
        return self._one("experiments/get", "experiment", experiment_id=experiment_id)

    def _signature(self, version: Json) -> Json | None:
        """As its MLmodel file has it; None where the server cannot hand that out."""
        named = {"name": str(version.get("name")), "version": str(version.get("version")), "path": "MLmodel"}
        try:
            answer = self._get("/model-versions/get-artifact", named, attempts=1)
            described = manifests.parsed(answer.content, "MLmodel") if answer.is_success else {}
        except (Unreachable, ManifestUnreadable):
            return None
        signature = described.get("signature")
        if not isinstance(signature, dict):
            return None
        return {side: signature[side] for side in ("inputs", "outputs") if isinstance(signature.get(side), str)}

    def _pages(self, path: str, name: str, most: int, **parameters: Any) -> Iterator[Json]:
        token: str | None = None
        while True:
            given = {**parameters, "max_results": most, **({"page_token": token} if token else {})}
            page = self._checked(self._get(f"{API}/{path}", given))
            items = page.get(name, [])
            if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
                raise self._no_mlflow(path)
            yield from items
            token = page.get("next_page_token")
            if not token:
                return

    def _one(self, path: str, name: str, **parameters: str) -> Json | None:
        """None for what is not there: deleted for good, maybe since it was listed."""
        answer = self._get(f"{API}/{path}", parameters)
        if answer.status_code == 404:
            return None
        found = self._checked(answer).get(name)
        if not isinstance(found, dict) or not isinstance(found.get("info", {}), dict):
            raise self._no_mlflow(path)
        return found

    def _get(self, path: str, parameters: Mapping[str, Any], attempts: int = ATTEMPTS) -> httpx.Response:
        failure = ""
        for attempt in range(attempts):
            if attempt:
                time.sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
            try:
                answer = self._http.get(path, params=parameters)
            except (httpx.ConnectError, httpx.InvalidURL) as error:
                failure = f"cannot reach MLflow at {self.name}: {error}"
            except httpx.TransportError as error:
                failure = f"no answer from MLflow at {self.name}: {str(error) or type(error).__name__}"
            else:
                if answer.status_code not in {429, 500, 502, 503, 504}:
                    if self._date is None and "date" in answer.headers:
                        self._date = _instant(answer.headers["date"])
                    return answer
                failure = f"MLflow at {self.name} answers {answer.status_code}: {_message(answer)}"
        raise Unreachable(failure)

    def _no_mlflow(self, path: str) -> DocumentUnreadable:
        return DocumentUnreadable(f"{self.name} does not answer as MLflow does when asked for {path}")

    def _checked(self, answer: httpx.Response) -> Json:
        if answer.status_code in {401, 403}:
            raise AccessRefused(
                f"MLflow at {self.name} refuses: {_message(answer)}; set MLFLOW_TRACKING_USERNAME and"
                " MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
                str(answer.status_code),
            )
        found = _loaded(answer.content)
        if not isinstance(found, dict) or (answer.status_code == 404 and "error_code" not in found):
            raise self._no_mlflow(answer.url.path)
        if answer.is_error:
            raise Refused(f"MLflow at {self.name} refuses: {_message(answer)}", str(answer.status_code))
        return found


def _each(
    what: str, pool: ThreadPoolExecutor, get: Callable[[str], Json | None], ids: Iterable[str], tell: Tell
) -> list[Json]:
    """Those that are there, each once."""
    wanted = list(dict.fromkeys(ids))
    found = []
    for number, one in enumerate(pool.map(get, wanted), 1):
        if one is not None:
            found.append(one)
        _tell_some(number, len(wanted), what, tell)
    return found


def _tell_some(number: int, total: int, what: str, tell: Tell) -> None:
    if number % 100 == 0 or number == total:
        tell(f"{number:,} of {total:,} {what}")


def _model_id(version: Json) -> str | None:
    source = str(version.get("source") or "")
    given = version.get("model_id")
    return str(given) if given else source[len("models:/") :] if source.startswith("models:/m-") else None


def _loaded(content: bytes) -> Any:
    """None for what is no JSON."""
    try:
        return json.loads(content, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def _message(answer: httpx.Response) -> str:
    found = _loaded(answer.content)
    told = found.get("message") if isinstance(found, dict) else None
    return str(told or answer.reason_phrase or answer.text[:200])


def _instant(date: str) -> str | None:
    try:
        return parsedate_to_datetime(date).isoformat()
    except ValueError:
        return None


def _auth() -> httpx.Auth | None:
    username, password = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))
    kept = configparser.ConfigParser(interpolation=None)
    try:
        kept.read(Path.home() / ".mlflow/credentials")
    except (configparser.Error, OSError, RuntimeError, UnicodeDecodeError) as error:
        raise DocumentUnreadable(f"~/.mlflow/credentials: {error}") from error
    username = username or kept.get("mlflow", "mlflow_tracking_username", fallback=None)
    password = password or kept.get("mlflow", "mlflow_tracking_password", fallback=None)
    if username and password:
        return httpx.BasicAuth(username, password)
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return _Bearer(token) if token else None


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]  # nothing is sent back
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _verify() -> bool | ssl.SSLContext:
    authority = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    if authority:
        try:
            return ssl.create_default_context(cafile=authority)
        except (OSError, ssl.SSLError) as error:
            raise DocumentUnreadable(f"MLFLOW_TRACKING_SERVER_CERT_PATH, {authority}: {error}") from error
    return os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() not in {"true", "1"}
