#!/usr/bin/env bash
# The one comment of the pull request: made when there is something to say, then updated in place. A comment that cannot be
# written is a warning: pull requests of forks may not write, and the job's summary says it all.
set -uo pipefail

if [ "$COMMENT" != true ] || [ -z "$REPORT" ]; then
    exit 0
fi
where="${GITHUB_SERVER_URL:-https://github.com}/$GITHUB_REPOSITORY/actions/runs/${GITHUB_RUN_ID:-}"
if ! told=$(python -m headwater comment "$REPORT" --name "$NAME" --elsewhere "[the job's summary]($where)" 2>&1); then
    echo "::warning::the comment was not written: ${told//$'\n'/%0A}"
    exit 0
fi
echo "$told"
