"""What a running service holds, asked as anybody could."""

from typing import Any

import httpx


class Holding:
    def __init__(self, service: str) -> None:
        self.service = service

    def held(self, *kinds: str) -> dict[str, dict[str, Any]]:
        """The attributes of all assets of these kinds, by key."""
        found: dict[str, dict[str, Any]] = {}
        after = None
        query = """query ($kinds: [AssetKind!], $after: String) {
          assets(kinds: $kinds, first: 100, after: $after) {
            nodes { id attributes { name value } } pageInfo { endCursor hasNextPage } } }"""
        while True:
            page = self.asked(query, kinds=list(kinds), after=after)["assets"]
            for node in page["nodes"]:
                found[node["id"]] = {each["name"]: each["value"] for each in node["attributes"]}
            if not page["pageInfo"]["hasNextPage"]:
                return found
            after = page["pageInfo"]["endCursor"]

    def into(self, asset: str) -> set[str]:
        """What flows into it straight."""
        query = "query ($key: ID!) { asset(key: $key) { flowsIn(first: 100) { nodes { source { id } } } } }"
        return {each["source"]["id"] for each in self.asked(query, key=asset)["asset"]["flowsIn"]["nodes"]}

    def around(self, asset: str, direction: str) -> set[str]:
        """All that is upstream or downstream of it."""
        asked = {"start": asset, "direction": direction}
        answer = httpx.get(f"{self.service}/api/v1/lineage.json", params=asked, timeout=60)
        assert answer.status_code == 200, answer.text
        return set(answer.json()["columns"]["key"])

    def asked(self, query: str, **variables: Any) -> dict[str, Any]:
        body = {"query": query, "variables": variables}
        answer = httpx.post(f"{self.service}/graphql", json=body, timeout=60).json()
        assert "data" in answer, answer
        data: dict[str, Any] = answer["data"]
        return data
