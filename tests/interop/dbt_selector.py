"""Run by the Python that has dbt: what dbt's own selector lists around each node of some manifests, as JSON.

    python dbt_selector.py MANIFEST...

A list for each manifest, of `[node, its ancestors, its descendants]`, as of `dbt ls --select +node` and `node+` with
`--indirect-selection empty --resource-type all`.
"""

import argparse
import json
import sys

from dbt.compilation import Linker
from dbt.contracts.graph.manifest import Manifest, WritableManifest
from dbt.flags import set_from_args
from dbt.graph import Graph, ResourceTypeSelector, SelectionCriteria
from dbt.node_types import NodeType


def listed(path: str) -> list[tuple[str, list[str], list[str]]]:
    manifest = Manifest.from_writable_manifest(WritableManifest.read_and_check_versions(path))
    linker = Linker()
    linker.link_graph(manifest)
    graph = Graph(linker.graph)
    selector = ResourceTypeSelector(
        graph=graph, manifest=manifest, previous_state=None, resource_types=list(NodeType), include_empty_nodes=True
    )
    above, below = SelectionCriteria.from_single_spec("+node"), SelectionCriteria.from_single_spec("node+")
    return [
        (
            node,
            sorted(selector.collect_specified_neighbors(above, {node}) - {node}),
            sorted(selector.collect_specified_neighbors(below, {node}) - {node}),
        )
        for node in sorted(graph.nodes())
    ]


if __name__ == "__main__":
    set_from_args(argparse.Namespace(indirect_selection="empty"), None)
    json.dump([listed(path) for path in sys.argv[1:]], sys.stdout)
