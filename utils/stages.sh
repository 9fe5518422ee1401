# shellcheck disable=SC2154  # stages, stage, stop_stage and remake come from the script that sources it
# Numbered and named stages with stamps. Source it after options.sh; it needs the variables
# stage, stop_stage (number or name), remake, and the array stages (the one list of names).
#
#   run_stage NAME "INPUT FILES" "OUTPUTS" "SETTINGS" function [whole]
#
# A stage that is done and whose inputs and settings are unchanged is skipped. If they changed, the
# run stops and says what changed; --remake true removes the outputs and makes them anew. An input
# that came or went (a set) changes no output of the others; with `whole` all outputs are made from
# all inputs together, in their order, and one that went is a change.
#
# Whoever runs a stage holds ${stamp_dir}/.lock (espnet_entropy/launch/lock.py) until it comes to
# another stamp_dir or ends, so that two runs do not write the same outputs.
stamp_dir=exp/stamps
lock_of="" # the stamp_dir whose lock is open under descriptor 9

stage_number() { # number or name -> number
    local i
    for i in "${!stages[@]}"; do
        if [ "$1" = "${stages[${i}]}" ] || [ "$1" = "$((i + 1))" ]; then
            echo "$((i + 1))"
            return
        fi
    done
    echo "error: no stage '$1'; stages: $(list_stages)" >&2
    return 1
}

list_stages() {
    local i
    for i in "${!stages[@]}"; do printf '%d %s%s' "$((i + 1))" "${stages[${i}]}" "${1:-, }"; done | sed 's/, $//'
}

log() { echo "$(date '+%Y-%m-%dT%H:%M:%S') $*" >&2; }

brief() { # FILES... -> the files, or their folders if there are many
    if [ $# -le 3 ]; then
        echo "$*"
    else
        printf '%s\n' "${@%/*}" | sort -u | tr '\n' ' '
    fi
}

selected() { # NAME: is this stage among those asked for?
    local number
    number=$(stage_number "$1") || exit 2
    [ "${number}" -ge "${first_stage}" ] && [ "${number}" -le "${last_stage}" ]
}

open_lock() { # of stamp_dir, as descriptor 9; who may not write there finds all done, or cannot run
    if [ "${lock_of}" = "${stamp_dir}" ]; then return 0; fi
    exec 9>&-
    lock_of=""
    if { mkdir -p "${stamp_dir}" && exec 9>> "${stamp_dir}/.lock"; } 2> /dev/null; then lock_of=${stamp_dir}; fi
}

run_stage() {
    local name=$1 inputs=$2 outputs=$3 settings=$4 body=$5 whole=${6:+true} number state
    number=$(stage_number "${name}") || exit 2
    if ! selected "${name}"; then return 0; fi
    open_lock
    # shellcheck disable=SC2086  # lists of paths without spaces, split on purpose
    state=$("${python:-python3}" -m espnet_entropy.launch.stamp check "${stamp_dir}/${name}.json" \
        --stage "${name}" --settings "${settings}" --inputs ${inputs} --outputs ${outputs} \
        --remake "${remake}" --whole "${whole:-false}" --lock "${stamp_dir}/.lock" 9 "$$") || exit 2
    if [ "${state}" = "done" ]; then
        log "stage ${number} ${name}: done before, nothing changed"
        return 0
    fi
    # shellcheck disable=SC2086
    log "stage ${number} ${name}: $(brief ${inputs:-nothing}) -> $(brief ${outputs:-nothing})"
    SECONDS=0
    "${body}" 9>&- # what it starts, and a kill may leave behind, does not hold the lock
    # shellcheck disable=SC2086
    "${python:-python3}" -m espnet_entropy.launch.stamp write "${stamp_dir}/${name}.json" \
        --stage "${name}" --settings "${settings}" --inputs ${inputs} --outputs ${outputs} || exit 2
    log "stage ${number} ${name}: finished in ${SECONDS} s"
}

with_named() { # CONFIG -> it and the files that it names, as words
    "${python:-python3}" -m espnet_entropy.launch.named_files "$1" | tr '\n' ' '
}

# first_stage and last_stage from --stage and --stop_stage
select_stages() {
    first_stage=$(stage_number "${stage}") || exit 2
    last_stage=${#stages[@]}
    if [ -n "${stop_stage}" ]; then last_stage=$(stage_number "${stop_stage}") || exit 2; fi
}
