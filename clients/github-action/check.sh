#!/usr/bin/env bash
# The one step of the action that decides: Markdown into the job's summary, the outcome into the step's outputs, and the
# exit code of `headwater check`.
set -uo pipefail

# The checkout of a pull request is shallow; its base may have to be fetched.
if [ -n "$BASE" ] && ! git rev-parse --quiet --verify "$BASE^{commit}" >/dev/null; then
    git fetch --quiet --no-tags --depth=1 origin "$BASE" || echo "::warning::git could not fetch the base $BASE"
fi

options=(--file "$FILE" ${BASE:+--base "$BASE"})
if [ "$ACKNOWLEDGE" = true ]; then
    options+=(--acknowledge)
fi

errors=$(mktemp)
report=$(python -m headwater check "${options[@]}" --output markdown 2>"$errors")
code=$?

if [ -n "$report" ]; then
    printf '%s\n' "$report" | tee -a "$GITHUB_STEP_SUMMARY"
else
    cat "$errors" >&2
    { echo "## Headwater: the check could not be made"; echo; echo '```text'; cat "$errors"; echo '```'; } >>"$GITHUB_STEP_SUMMARY"
fi

case $code in
    0) outcome=$([[ $report == "## Headwater: needs"* ]] && echo NEEDS_ACKNOWLEDGEMENT || echo CLEAN) ;;
    1) outcome=${report:+BLOCKED} ;; # without a report, Python itself failed
    3) outcome=NEEDS_ACKNOWLEDGEMENT ;;
    *) outcome= ;;
esac
{ echo "outcome=$outcome"; echo "exit-code=$code"; } >>"$GITHUB_OUTPUT"
exit $code
