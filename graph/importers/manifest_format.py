"""What a headwater.yaml may hold: its shape, and the JSON Schema of it for editors."""

from graph.importers.shapes import (
    Anything,
    Duration,
    Field,
    Flag,
    Many,
    Mapped,
    Record,
    Schema,
    Text,
    TextOr,
    Whole,
    document_schema,
)

VERSION = 1

SAID_BY_READERS = ("default", "cast", "alias", "by", "fields", "optional")
"""What a reader says of the flow that it refers to; attributes of that flow, by the same names."""


def manifest_schema() -> Schema:
    """For editors. What it accepts may still be refused: references, duplicates and the form of names are beyond it."""
    return document_schema(MANIFEST, "headwater.yaml")


_TEXTS = Many(Text())
_REFERENCE = Record(
    "reference",
    "Something that is read: its key or name alone, or with what its reader says of it.",
    {
        "asset": Field(Text(), "Its key, or its name in this document.", required=True),
        "default": Field(
            Anything(),
            "What is taken when it is missing or null; so its reader runs without it.",
            not_null="null is no default; to say that it runs without, write optional: true",
        ),
        "optional": Field(Flag(), "true: its reader runs without it."),
        "cast": Field(Text(), "The type that whatever comes is turned into."),
        "alias": Field(Text(), "Another name that it is found by, too."),
        "by": Field(
            Text(("name", "position")), "How its parts are told apart: name, in whatever order they come, or position."
        ),
        "fields": Field(_TEXTS, "The fields of it that are used, and no others."),
    },
    short="asset",
)
_REFERENCES = Many(_REFERENCE, or_one=True)
_OWNER = Record(
    "owner",
    "A person or team: the name alone, or with a way to reach them.",
    {
        "name": Field(Text(), "The person or team.", required=True),
        "contact": Field(Text(), "How to reach them: a mail address, a channel."),
    },
    short="name",
)
_COMMON = {
    "description": Field(Text(), "What it is, for people."),
    "owners": Field(Many(_OWNER), "Who answers for it."),
    "tags": Field(_TEXTS, "Free words to find and select it by."),
    "tier": Field(Whole(1, 4), "How critical it is, from 1 (most) to 4."),
    "environment": Field(Text(), "Where it runs, e.g. production."),
    "source_link": Field(Text(), "Where its source can be read."),
    "deprecated": Field(
        Record(
            "deprecation",
            "It goes away, and its users are told.",
            {
                "since": Field(Text(), "The day from which it is not to be used, e.g. 2026-12-01."),
                "until": Field(Text(), "The day from which it may be gone."),
                "replacement": Field(Text(), "What to use instead: an asset key, or words."),
                "reason": Field(Text(), "Why."),
            },
        ),
        "It goes away, and its users are told.",
    ),
    "attributes": Field(Mapped(Anything()), "Further attributes, by name; kept as they are."),
}
_NAMED = {
    "name": Field(Text(), "Its name, verbatim as the source system writes it.", required=True),
    "namespace": Field(Text(), "Its namespace; absent: the document's."),
    **_COMMON,
}


def _named(name: str, about: str, **fields: Field) -> Field:
    return Field(Many(Record(name, about, {**_NAMED, **fields})), about)


def _references(about: str) -> Field:
    return Field(_REFERENCES, about + " References are asset keys, or names of what this document declares.")


_VALUE = {
    "type": Field(Text(), "Its type, as the source system writes it."),
    "unit": Field(Text(), "What its values are counted in, as EUR or ms."),
    "default": Field(Anything(), "What stands there when nothing is known."),
    "aliases": Field(_TEXTS, "Old names that still answer, with the same value."),
}
_FILE = Field(Text(), "A file of this repository, by its path from this one.")
_DIALECT = Field(Text(), "The dialect of its SQL, as sqlglot names it.")
_DEFINITION = TextOr(
    Record(
        "definition",
        "How something is computed: SQL or Python, here or in a file.",
        {
            "file": _FILE,
            "function": Field(Text(), "Of Python: the function that computes it."),
            "sql": Field(Text(), "Its SQL."),
            "python": Field(Text(), "Its Python source, with the function and all it needs."),
            "dialect": _DIALECT,
        },
    )
)
_CONTRACT = Record(
    "contract",
    "What a request or response looks like; one of file and json_schema.",
    {
        "file": Field(Text(), "A JSON Schema or a .proto of this repository, by its path from this file."),
        "message": Field(Text(), "Of a .proto: the message."),
        "json_schema": Field(Mapped(Anything()), "A JSON Schema."),
    },
)
_OPENAPI = Record(
    "openapi",
    "An OpenAPI document that says what request and response look like.",
    {
        "file": Field(Text(), "The document, by its path from this file.", required=True),
        "path": Field(Text(), "The path in it, as /score.", required=True),
        "method": Field(
            Text(("get", "put", "post", "delete", "options", "head", "patch", "trace")), "The method; absent: post."
        ),
    },
)
_COLUMN = Record(
    "column",
    "A column of a dataset.",
    {
        "name": Field(Text(), "Its name; for one that is nested, give `path` instead."),
        "path": Field(_TEXTS, "The field path of a nested column."),
        "nullable": Field(Flag(), "Whether it may hold nulls."),
        **_VALUE,
        "derived_from": _references("The columns or datasets it is computed from."),
        **_COMMON,
    },
)
_FEATURE = Record(
    "feature",
    "A feature of a view.",
    {
        "name": Field(Text(), "Its name.", required=True),
        **_VALUE,
        "definition": Field(_DEFINITION, "How it is computed."),
        "derived_from": _references("The columns, datasets or features it is computed from."),
        **_COMMON,
    },
)
_DERIVED = Record(
    "derived",
    "One column is computed from another.",
    {
        "source": Field(_REFERENCE, "The column or dataset read.", required=True),
        "target": Field(
            Text(), "The column or feature computed; a dataset when all its rows are affected.", required=True
        ),
    },
)
_TENSOR = Record(
    "tensor",
    "What a model takes or gives.",
    {
        "name": Field(Text(), "Its name.", required=True),
        "type": Field(Text(), "Its type."),
        "shape": Field(Many(Whole(-1, 2**31)), "Its shape; -1 is any length."),
        "unit": _VALUE["unit"],
        "default": Field(Anything(), "What is taken where a request does not give it."),
        "optional": Field(Flag(), "true: a request may leave it out."),
        "feature": Field(Text(), "The feature (or view) that this input is; serving the version depends on it."),
    },
)
_SIGNATURE = Record(
    "signature",
    "What a model takes and gives: inputs and outputs, or the file that says so.",
    {
        "inputs": Field(Many(_TENSOR), "What each request needs."),
        "outputs": Field(Many(_TENSOR), "What it answers."),
        "file": Field(Text(), "An MLmodel file of this repository, by its path from this one."),
    },
)
_ARTIFACT = Record(
    "artifact",
    "The file of a version.",
    {
        "uri": Field(Text(), "Where it is.", required=True),
        "digest": Field(Text(), "sha256:… of its bytes.", required=True),
    },
)
_SOURCE = Record(
    "source",
    "Other files of this repository that say what it holds.",
    {
        "format": Field(
            Text(("sql", "dbt", "feast")), "How they are read; Feast definitions are never run.", required=True
        ),
        "files": Field(
            Many(Text(), or_one=True),
            "Their paths from this file, with * and ** for many; a folder for Feast.",
            required=True,
        ),
        "dialect": _DIALECT,
        "namespace": Field(Text(), "The namespace of what they name; absent: the document's."),
        "database": Field(Text(), "The database of tables that do not name theirs."),
        "schema": Field(Text(), "The schema of tables that do not name theirs."),
        "columns": Field(Text(), "Of SQL: a JSON file, tables to columns to types."),
        "origin": Field(Text(), "Who says what they say; absent: as the format has it."),
    },
)
MANIFEST = Record(
    "manifest",
    "What a repository declares: all that its origin says.",
    {
        "version": Field(Whole(VERSION, VERSION), f"The version of this format, {VERSION}.", required=True),
        "origin": Field(Text(), "Who speaks; absent: `manifest:` and the namespace."),
        "namespace": Field(Text(), "The namespace of all that does not say its own."),
        "sources": Field(Many(_SOURCE), "Other files of this repository that say what it holds."),
        "datasets": _named(
            "dataset",
            "Tables, files and topics.",
            columns=Field(Many(_COLUMN), "Its columns."),
            derived_from=_references("The datasets and columns that feed it without a known job: a view, a copy."),
        ),
        "feature_views": _named(
            "feature_view",
            "Features that share entities and source.",
            entities=Field(_TEXTS, "The keys that its features are looked up by."),
            source=_references("The datasets or columns that it is computed from."),
            ttl=Field(Duration(), "How long a value holds: seconds, or an ISO 8601 duration as P1D."),
            online=Field(Flag(), "Whether its features are served online."),
            features=Field(Many(_FEATURE), "Its features."),
        ),
        "jobs": _named(
            "job",
            "Transformations and trainings.",
            definition=Field(_DEFINITION, "What it does."),
            inputs=_references("What it reads."),
            outputs=_references("What it writes."),
            column_lineage=Field(Many(_DERIVED), "Which column it computes from which."),
        ),
        "models": _named(
            "model",
            "Registered models.",
            aliases=Field(Mapped(Text()), "Names for versions, as champion: the version each means."),
        ),
        "model_versions": Field(
            Many(
                Record(
                    "model_version",
                    "A version of a model.",
                    {
                        "model": Field(Text(), "The model: its key, or name in this document.", required=True),
                        "version": Field(Text(), "The version, as text.", required=True),
                        "run": Field(Text(), "The key of the training run that produced it."),
                        "signature": Field(_SIGNATURE, "What it takes and gives."),
                        "hyperparameters": Field(Mapped(Anything()), "How it was trained."),
                        "metrics": Field(Mapped(Anything()), "Held-out metrics: names to numbers."),
                        "artifact": Field(_ARTIFACT, "Its file."),
                        "profile": Field(Mapped(Anything()), "The reference profile of its inputs and outputs."),
                        **_COMMON,
                    },
                )
            ),
            "Versions of models.",
        ),
        "deployments": _named(
            "deployment",
            "Addresses that answer predictions, or compositions of others.",
            url=Field(Text(), "Its address."),
            features_from=Field(
                Text(("store", "request")), "request: requests carry the features, so serving does not read them."
            ),
            request=Field(_CONTRACT, "What a request looks like."),
            response=Field(_CONTRACT, "What it answers."),
            openapi=Field(_OPENAPI, "Where request and response are described at once."),
            serves=_references("The versions, aliases or models it serves."),
            calls=_references("The deployments whose outputs it uses."),
            reads=_references("The features or data it reads."),
            logs_to=_references("The datasets that hold its predictions."),
        ),
        "consumers": _named(
            "consumer",
            "Services, applications, dashboards, notebooks and batch jobs that use an output.",
            type=Field(Text(("service", "application", "dashboard", "notebook", "batch_job")), "What it is."),
            uses=_references("What it uses."),
            writes=_references("The datasets it writes."),
        ),
    },
)
