#compdef headwater
# Completion of headwater for zsh. To have it, after compinit: eval "$(headwater completion zsh)"
_headwater() {
    local -a lines values shown
    lines=("${(@f)$(_HEADWATER_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args \
        _TYPER_COMPLETE_ARGS="${(j: :)words[1,CURRENT]}" ${words[1]} 2>/dev/null)}")
    lines=(${lines:#})
    if (( ! $#lines )); then
        _files
        return
    fi
    values=("${(@)lines%%$'\t'*}")
    shown=("${(@)lines/$'\t'/  -- }")
    if [[ ${values[1]} == *: ]]; then
        compadd -S '' -l -d shown -- $values
    else
        compadd -l -d shown -- $values
    fi
}
if [[ ${funcstack[1]} == _headwater ]]; then
    _headwater "$@"
else
    compdef _headwater headwater
fi
