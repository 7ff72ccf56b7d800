"""A service that uses a model, in a process of its own: `python -m demo.caller`. It has never heard of lineage.

All that tells who it is, is what any instrumented service sends: its `service.name`, in W3C baggage.
"""

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

_AT_ONCE = 50


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.caller", description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--model", required=True, help="the deployment to ask")
    parser.add_argument("--rows", type=Path, required=True, help="a JSON file of the rows to draw from, by column")
    parser.add_argument("--columns", required=True, help="what to send, separated by commas")
    parser.add_argument("--count", type=int, default=100, help="how many rows to send")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--service", help="namespace/name of this service; without it, it does not say who it is")
    parser.add_argument("--shift", help="column=amount: a device that measures differently")
    parser.add_argument("--token")
    options = parser.parse_args()
    table: dict[str, list[float]] = json.loads(options.rows.read_text())
    draw = random.Random(options.seed)
    length = len(next(iter(table.values())))
    chosen = [draw.randrange(length) for _ in range(options.count)]
    shifted, _, amount = (options.shift or "").partition("=")
    rows = {
        name: [table[name][row] + (float(amount) if name == shifted else 0) for row in chosen]
        for name in options.columns.split(",")
    }
    with httpx.Client(base_url=options.address, headers=_headers(options.service, options.token)) as http:
        for start in range(0, options.count, _AT_ONCE):
            part = {name: column[start : start + _AT_ONCE] for name, column in rows.items()}
            answer = http.post(f"/v2/models/{options.model}/infer", json={"inputs": _tensors(part)}, timeout=30)
            if answer.status_code != 200:
                print(f"{options.model} answered {answer.status_code}: {answer.text}", file=sys.stderr)
                return 1
    return 0


def _headers(service: str | None, token: str | None) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if service:
        namespace, _, name = service.rpartition("/")
        baggage = f"service.name={name}" + (f",service.namespace={namespace}" if namespace else "")
        headers |= {"User-Agent": f"{name}/1.0", "baggage": baggage}
    return headers


def _tensors(columns: Mapping[str, Sequence[float]]) -> list[dict[str, object]]:
    """As the Open Inference Protocol has them."""
    return [
        {
            "name": name,
            "shape": [len(values)],
            "datatype": "INT64" if all(isinstance(value, int) for value in values) else "FP64",
            "data": list(values),
        }
        for name, values in columns.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
