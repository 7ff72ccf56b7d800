"""The commands `headwater import …`: what other systems hold is fetched here, and what it means is the service's to say."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from headwater import documents, feast, mlflow
from headwater.errors import Refused
from headwater.forms import write
from headwater.terminal import Output, TextOrJson, Token, Url, connected, console, sums, telling
from headwater.texts import plain

EXIT_CODES = (
    "Exit codes: 0 done, or all of it held already; 2 the document is refused, or wrong usage; 4 the service "
    "cannot be reached; 70 a fault of this program."
)

Namespace = Annotated[Optional[str], typer.Option(help="The warehouse, as OpenLineage names it: postgres://host:5432.", show_default="the origin, but for BigQuery")]  # fmt: skip  # noqa: UP045
ProjectOrigin = Annotated[Optional[str], typer.Option("--origin", help="The source that says so.", show_default="dbt: and the project")]  # fmt: skip  # noqa: UP045
KubernetesNamespace = Annotated[Optional[str], typer.Option("--namespace", "-n", help="Of resources that name none.", show_default="default")]  # fmt: skip  # noqa: UP045
ClusterOrigin = Annotated[Optional[str], typer.Option("--origin", help="The source that says so.", show_default="kserve: and the namespace")]  # fmt: skip  # noqa: UP045
FeastOrigin = Annotated[Optional[str], typer.Option("--origin", help="The source that says so.", show_default="feast: and the project")]  # fmt: skip  # noqa: UP045
Project = Annotated[Optional[str], typer.Option(help="Which of the registry's.", show_default="that of the repository, or the only one")]  # fmt: skip  # noqa: UP045
RegistryOrigin = Annotated[Optional[str], typer.Option("--origin", help="The source that says so.", show_default="mlflow: and the host")]  # fmt: skip  # noqa: UP045
RegistryNamespace = Annotated[Optional[str], typer.Option("--namespace", help="Of models and experiments.", show_default="default")]  # fmt: skip  # noqa: UP045
Force = Annotated[bool, typer.Option("--force", help="Even if a later state of it was imported before.")]
DatabaseNamespace = Annotated[Optional[str], typer.Option("--namespace", help="The database, as OpenLineage names it: postgres://host:5432.", show_default="bigquery for BigQuery")]  # fmt: skip  # noqa: UP045
DefaultDatabase = Annotated[Optional[str], typer.Option("--database", help="The database of tables that name none.")]  # noqa: UP045
DefaultSchema = Annotated[Optional[str], typer.Option(help="The schema of tables that name none.")]  # noqa: UP045
KnownColumns = Annotated[Optional[Path], typer.Option("--schema", help='Columns of tables, as JSON: {"shop.orders": ["id", "total"]}.')]  # fmt: skip  # noqa: UP045
SqlOrigin = Annotated[Optional[str], typer.Option("--origin", help="The source that says so.", show_default="sql: and the namespace")]  # fmt: skip  # noqa: UP045
ModelName = Annotated[Optional[str], typer.Option("--model", help="The model.", show_default="as the document says")]  # fmt: skip  # noqa: UP045
ModelVersion = Annotated[Optional[str], typer.Option("--version", help="Its version.", show_default="as the document says")]  # fmt: skip  # noqa: UP045
ModelNamespace = Annotated[Optional[str], typer.Option("--namespace", help="Of the model.", show_default="default")]  # fmt: skip  # noqa: UP045
TrainingRun = Annotated[Optional[str], typer.Option("--run", help="The key of the training run.")]  # noqa: UP045
TrainingData = Annotated[Optional[str], typer.Option("--source", help="The key of the dataset whose columns it was fitted on.")]  # fmt: skip  # noqa: UP045
EstimatorOrigin = Annotated[Optional[str], typer.Option("--origin", help="The source that says so.", show_default="sklearn: and the version")]  # fmt: skip  # noqa: UP045
Timeout = Annotated[float, typer.Option(min=1, help="How many seconds an answer may take.")]

app = typer.Typer(name="import", help="Bring in dbt, Feast, MLflow, KServe, SQL, scikit-learn.", no_args_is_help=True)

_RESOURCE = re.compile(r"^resources\[(\d+)\]")


@app.command(epilog=EXIT_CODES)
def dbt(
    target: Annotated[
        Path, typer.Argument(help="The folder with manifest.json and, if it is there, catalog.json; or a manifest.")
    ] = Path("target"),
    namespace: Namespace = None,
    origin: ProjectOrigin = None,
    url: Url = None,
    token: Token = None,
    force: Force = False,
    timeout: Timeout = 300,
    output: TextOrJson = Output.TEXT,
) -> None:
    """Import a dbt project: what it said before and does not say now is withdrawn."""
    with telling(target), connected(url, token, timeout) as client:
        _tell_import(client.import_document("dbt", documents.dbt(target), origin, namespace, force), output)


@app.command(epilog=EXIT_CODES)
def kserve(
    files: Annotated[list[Path], typer.Argument(help="YAML of KServe or Seldon; - is standard input.")],
    namespace: KubernetesNamespace = None,
    origin: ClusterOrigin = None,
    url: Url = None,
    token: Token = None,
    timeout: Timeout = 300,
    output: TextOrJson = Output.TEXT,
) -> None:
    """Import what serves what: what the origin said before and does not say now is withdrawn."""
    with telling(), connected(url, token, timeout) as client:
        document, places = documents.kserve(files)
        try:
            done = client.import_document("kserve", document, origin, namespace)
        except Refused as error:
            lines = (_RESOURCE.sub(lambda found: places[int(found[1])], line) for line in str(error).splitlines())
            raise Refused("\n".join(lines), error.code) from error
        _tell_import(done, output)


@app.command("feast", epilog=EXIT_CODES)
def feast_(
    target: Annotated[
        Path,
        typer.Argument(
            help="The repository, a registry file, or what `feast registry-dump` prints; - is standard input."
        ),
    ] = Path(),
    namespace: Namespace = None,
    project: Project = None,
    origin: FeastOrigin = None,
    url: Url = None,
    token: Token = None,
    force: Force = False,
    timeout: Timeout = 300,
    output: TextOrJson = Output.TEXT,
) -> None:
    """Import a Feast registry: what it said before and does not say now is withdrawn."""
    with telling(), connected(url, token, timeout) as client:
        _tell_import(client.import_document("feast", feast.document(target, project), origin, namespace, force), output)


@app.command("mlflow", epilog=EXIT_CODES)
def mlflow_(
    server: Annotated[
        str, typer.Argument(envvar="MLFLOW_TRACKING_URI", help="The tracking server, as http://host:5000.")
    ],
    namespace: RegistryNamespace = None,
    origin: RegistryOrigin = None,
    url: Url = None,
    token: Token = None,
    force: Force = False,
    timeout: Timeout = 300,
    output: TextOrJson = Output.TEXT,
) -> None:
    """Import MLflow's registered models, and what they were trained on: what is gone from there is withdrawn.

    Credentials are those of MLflow's own client: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or
    MLFLOW_TRACKING_TOKEN.
    """
    with telling(), connected(url, token, timeout) as client:
        _tell_import(
            client.import_document("mlflow", mlflow.fetched(server, timeout, _tell), origin, namespace, force), output
        )


@app.command(epilog=EXIT_CODES)
def sql(
    files: Annotated[list[Path], typer.Argument(help="Files of SQL, and folders: all *.sql in them.")],
    dialect: Annotated[str, typer.Option(help="Which SQL it is: postgres, snowflake, bigquery, spark, duckdb …")],
    namespace: DatabaseNamespace = None,
    database: DefaultDatabase = None,
    default_schema: DefaultSchema = None,
    schema: KnownColumns = None,
    origin: SqlOrigin = None,
    url: Url = None,
    token: Token = None,
    timeout: Timeout = 300,
    output: TextOrJson = Output.TEXT,
) -> None:
    """Import which column comes from which: what the origin said before and does not say now is withdrawn."""
    with telling(), connected(url, token, timeout) as client:
        document = documents.sql(files, dialect, database, default_schema, schema)
        _tell_import(client.import_document("sql", document, origin, namespace), output)


@app.command(epilog=EXIT_CODES)
def sklearn(
    file: Annotated[Path, typer.Argument(help="What sklearn_document made, in a file .json; or an estimator, .skops.")],
    model: ModelName = None,
    version: ModelVersion = None,
    namespace: ModelNamespace = None,
    run: TrainingRun = None,
    source: TrainingData = None,
    origin: EstimatorOrigin = None,
    url: Url = None,
    token: Token = None,
    timeout: Timeout = 300,
    output: TextOrJson = Output.TEXT,
) -> None:
    """Import which of its inputs a fitted estimator uses. Pickles are never loaded."""
    with telling(file), connected(url, token, timeout) as client:
        document = documents.sklearn(file, model=model, version=version, run=run, source=source)
        _tell_import(client.import_document("sklearn", document, origin, namespace), output)


def _tell(progress: str) -> None:
    if sys.stderr.isatty():
        typer.echo(progress, err=True)


def _tell_import(done: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        write(done, output)
        return
    for warning in done["warnings"]:
        left_out = "left out: " if warning["left_out"] else ""
        typer.echo(plain(f"{warning['place']}: {left_out}{warning['message']}"), err=True)
    if done["warned"] > len(done["warnings"]):
        typer.echo(f"and {done['warned'] - len(done['warnings']):,} warnings more", err=True)
    held = f"{done['origin']} holds {done['assets']:,} assets and {done['flows']:,} flows"
    what = sums(done, "added", "changed", "withdrawn") if done["changed"] else "nothing changed"
    console().print(f"{held}: {what}; revision {done['revision']}.", soft_wrap=True)
