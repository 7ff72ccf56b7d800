# Completion of headwater for fish. To have it: headwater completion fish | source
function __headwater_complete
    set -l words (commandline -cp | string collect)
    set -l found (env _HEADWATER_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=$words headwater 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete --command headwater --no-files --arguments '(__headwater_complete)'
