"""The official client at work, unchanged, in an environment of its own; tests start it.

    python openlineage_client.py TRANSPORT TASK ARGUMENT

TRANSPORT is the JSON of the client's own configuration. Tasks: `facets RUN` emits one event of each sort with the facets that
lineage is read from; `runs NUMBER` a START and a COMPLETE of so many runs, a little while apart; `write NUMBER` prints events
as the client writes them. Prints the id of each run of which the client says that its event was taken.
"""

import json
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import (
    Dataset,
    DatasetEvent,
    InputDataset,
    Job,
    JobEvent,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
)
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    data_quality_assertions_dataset,
    data_quality_metrics_input_dataset,
    dataset_type_dataset,
    dataset_version_dataset,
    documentation_dataset,
    job_type_job,
    lifecycle_state_change_dataset,
    output_statistics_output_dataset,
    ownership_dataset,
    parent_run,
    schema_dataset,
    symlinks_dataset,
)
from openlineage.client.serde import Serde

PRODUCER = "https://example.org/official"
WRITERS = 4
APART_SECONDS = 0.05


def job(name: str, facets: dict[str, Any] | None = None) -> Job:
    return Job(namespace="etl", name=name, facets=facets or {})


def orders() -> InputDataset:
    return InputDataset(
        namespace="postgres://db:5432",
        name="shop.public.orders",
        facets={
            "schema": schema_dataset.SchemaDatasetFacet(
                fields=[schema_dataset.SchemaDatasetFacetFields(name="amount", type="numeric")]
            ),
            "symlinks": symlinks_dataset.SymlinksDatasetFacet(
                identifiers=[symlinks_dataset.Identifier(namespace="hive://meta", name="shop.orders", type="TABLE")]
            ),
            "ownership": ownership_dataset.OwnershipDatasetFacet(
                owners=[ownership_dataset.Owner(name="team:shop", type="MAINTAINER")]
            ),
            "version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion="42"),
        },
        inputFacets={
            "dataQualityMetrics": data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet(
                rowCount=7, bytes=70, columnMetrics={}
            ),
            "dataQualityAssertions": data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
                assertions=[
                    data_quality_assertions_dataset.Assertion(assertion="not_null", success=True, column="amount")
                ]
            ),
        },
    )


def totals() -> OutputDataset:
    derived = column_lineage_dataset.Fields(
        inputFields=[
            column_lineage_dataset.InputField(
                namespace="postgres://db:5432",
                name="shop.public.orders",
                field="amount",
                transformations=[
                    column_lineage_dataset.Transformation(
                        type="DIRECT", subtype="AGGREGATION", description="", masking=True
                    )
                ],
            )
        ]
    )
    return OutputDataset(
        namespace="s3://lake",
        name="totals",
        facets={
            "columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(fields={"total": derived}),
            "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(datasetType="TABLE", subType=""),
            "lifecycleStateChange": lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
                lifecycleStateChange=lifecycle_state_change_dataset.LifecycleStateChange.OVERWRITE
            ),
        },
        outputFacets={
            "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=3)
        },
    )


def facets(run_id: str) -> list[Any]:
    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=str(uuid.uuid4())), job=parent_run.Job(namespace="airflow", name="nightly")
    )
    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="SPARK", jobType="JOB")
    run = Run(runId=run_id, facets={"parent": parent})
    view = Dataset(
        namespace="postgres://db:5432",
        name="shop.public.view",
        facets={"documentation": documentation_dataset.DocumentationDatasetFacet(description="a view")},
    )
    return [
        RunEvent(
            eventTime="2026-01-01T00:00:00Z", eventType=RunState.START, run=run, job=job("load"), producer=PRODUCER
        ),
        RunEvent(
            eventTime="2026-01-01T00:01:00Z",
            eventType=RunState.COMPLETE,
            run=run,
            job=job("load", {"jobType": kind}),
            producer=PRODUCER,
            inputs=[orders()],
            outputs=[totals()],
        ),
        JobEvent(
            eventTime="2026-01-01T00:02:00Z", job=job("planned"), producer=PRODUCER, inputs=[orders()], outputs=[]
        ),
        DatasetEvent(eventTime="2026-01-01T00:03:00Z", dataset=view, producer=PRODUCER),
    ]


def of_run(number: int, run_id: str) -> Iterator[RunEvent]:
    for second, state in enumerate((RunState.START, RunState.COMPLETE)):
        yield RunEvent(
            eventTime=f"2026-01-02T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.{second}Z",
            eventType=state,
            run=Run(runId=run_id),
            job=job(f"job-{number % 5}"),
            producer=PRODUCER,
            inputs=[InputDataset(namespace="wh", name=f"in-{number}")],
            outputs=[OutputDataset(namespace="wh", name=f"out-{number % 5}")],
        )


def main(transport: str, task: str, argument: str) -> None:
    client = OpenLineageClient(config={"transport": json.loads(transport)})
    if task == "write":
        events = [event for number in range(int(argument)) for event in of_run(number, str(uuid.uuid4()))]
        print("[" + ",".join(map(Serde.to_json, events)) + "]")
        return
    if task == "facets":
        for event in facets(argument):
            client.emit(event)
        print(argument)
    else:

        def some(first: int) -> None:
            for number in range(first, int(argument), WRITERS):
                run_id = str(uuid.uuid4())
                try:
                    for event in of_run(number, run_id):
                        client.emit(event)
                        time.sleep(APART_SECONDS)
                except OSError as error:
                    print(f"run {run_id} was not taken: {error}", file=sys.stderr)
                else:
                    sys.stdout.write(f"{run_id}\n")  # in one piece: others write too

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(some, range(WRITERS)))
    if not client.close(60):
        sys.exit("not everything was sent")
    if hasattr(client.transport, "get_stats"):
        stats = client.transport.get_stats()
        print(json.dumps(stats), file=sys.stderr)
        if stats["failed"]:
            sys.exit(f"{stats['failed']} events were not taken")


main(*sys.argv[1:])
