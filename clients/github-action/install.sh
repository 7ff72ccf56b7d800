#!/usr/bin/env bash
# The client, and with an export to judge against also what judges.
set -euo pipefail

python -m pip install --quiet --disable-pip-version-check "$ACTION/../python${GRAPH:+[offline]}"
