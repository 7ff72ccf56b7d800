#!/usr/bin/env bash
# Makes the check, and leaves what it found: Markdown in the job's summary, files, and the step's outputs. It never fails: the
# last step decides, once the comment is written.
set -uo pipefail

# The checkout of a pull request is shallow; its base may have to be fetched.
if [ -n "$BASE" ] && ! git rev-parse --quiet --verify "$BASE^{commit}" >/dev/null; then
    git fetch --quiet --no-tags --depth=1 origin "$BASE" || echo "::warning::git could not fetch the base $BASE"
fi

folder=$(mktemp -d "${RUNNER_TEMP:-/tmp}/headwater.XXXXXX")
options=(${FILE:+--file "$FILE"} --markdown "$folder/report.md" --json "$folder/report.json")
options+=(${BASE:+--base "$BASE"} ${POLICY:+--policy "$POLICY"} ${GRAPH:+--graph "$GRAPH"})
options+=(${SARIF:+--sarif "$SARIF"} ${JUNIT:+--junit "$JUNIT"})
case $ON_UNREACHABLE in
    open) options+=(--fail-open) ;;
    closed) options+=(--fail-closed) ;;
    *) echo "::error::on-unreachable is open or closed, not '$ON_UNREACHABLE'" ;;
esac
if [ "$ACKNOWLEDGE" = true ]; then
    options+=(--acknowledge)
fi

python -m headwater check "${options[@]}" 2>"$folder/errors"
code=$?
cat "$folder/errors" >&2
case $ON_UNREACHABLE in open | closed) ;; *) code=2 ;; esac

if [ -s "$folder/report.md" ]; then
    cat "$folder/report.md" >>"$GITHUB_STEP_SUMMARY"
else
    {
        echo "## Headwater: the check could not be made"
        echo
        sed 's/^/    /' "$folder/errors"
    } >>"$GITHUB_STEP_SUMMARY"
fi

outcome=
if [ -s "$folder/report.json" ]; then
    outcome=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["outcome"] or "")' "$folder/report.json")
fi
written() { if [ -n "$1" ] && [ -s "$1" ]; then echo "$1"; fi; }
{
    echo "outcome=$outcome"
    echo "exit-code=$code"
    echo "sarif=$(written "$SARIF")"
    echo "junit=$(written "$JUNIT")"
    echo "json=$(written "$folder/report.json")"
} >>"$GITHUB_OUTPUT"
