# shellcheck disable=SC2034,SC2154  # variables of the driver that sources it, after its options and cmd.sh
# What --nj and --ngpu mean to the stages of a driver; they write their logs to ${log_dir}.
#   device:       cpu, or cuda: of stages that gain from a GPU
#   piece_gpu:    for the launcher: each piece has a GPU of its own
#   distributed:  for ESPnet's training
device=cpu piece_gpu=() distributed=()
if [ "${ngpu}" -gt 0 ]; then device=cuda piece_gpu=(--gpu 1); fi
if [ "${ngpu}" -gt 1 ]; then distributed=(--multiprocessing_distributed true); fi # DDP, not DataParallel

pieces() { # NAME COMMAND ARGS...: as nj pieces
    # shellcheck disable=SC2086  # long_cmd: a command and its options
    ${long_cmd} "${piece_gpu[@]}" JOB=1:"${nj}" "${log_dir}/$1.JOB.log" "${@:2}" --job JOB --nj "${nj}"
}

in_pieces() { # NAME COMMAND ARGS...: as nj pieces, then merged
    pieces "$@"
    "${@:2}" --merge --max_failed "${max_failed}"
}
