# Completion of headwater for bash. To have it: eval "$(headwater completion bash)"
_headwater_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" current tail reply
    # Bash takes ":", "=" and "@" for ends of words, and keys hold them: what it replaces begins after the last of these.
    current="${line##* }"
    tail="$current"
    for mark in : = @; do
        [[ "$COMP_WORDBREAKS" == *"$mark"* ]] && tail="${tail##*"$mark"}"
    done
    COMPREPLY=()
    while IFS=$'\t' read -r reply _; do
        [[ "$reply" == *: ]] && compopt -o nospace 2>/dev/null
        COMPREPLY+=("${reply#"${current%"$tail"}"}")
    done < <(_HEADWATER_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS="$line" "$1" 2>/dev/null)
}
complete -o bashdefault -o default -F _headwater_complete headwater
