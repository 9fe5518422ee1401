# shellcheck disable=SC2034,SC2154  # variables of the driver that sources it, after its options and cmd.sh
# What --nj, --ngpu and --num_nodes mean to the stages of a driver; they write their logs to ${log_dir}.
#   device:       cpu, or cuda: of stages that gain from a GPU
#   piece_gpu:    for the launcher: each piece has a GPU of its own
device=cpu piece_gpu=()
if [ "${ngpu}" -gt 0 ]; then device=cuda piece_gpu=(--gpu 1); fi
trainer=${train_cmd%% *} trainer=${trainer##*/} # slurm.pl, run.pl's Python, or what cmd.local.sh says
if [ "${num_nodes}" -lt 1 ]; then option_error "--num_nodes: expected 1 or more, got ${num_nodes}."; fi
if [ "${num_nodes}" -gt 1 ] && [ "${trainer}" != slurm.pl ]; then
    option_error "--num_nodes ${num_nodes}: training would run on one machine (cmd_backend=${cmd_backend}, \
train_cmd '${train_cmd}'); use cmd_backend=slurm where sbatch works, or --num_nodes 1; see egs2/TEMPLATE/cmd.sh."
fi

pieces() { # NAME COMMAND ARGS...: as nj pieces
    # shellcheck disable=SC2086  # long_cmd: a command and its options
    ${long_cmd} "${piece_gpu[@]}" JOB=1:"${nj}" "${log_dir}/$1.JOB.log" "${@:2}" --job JOB --nj "${nj}"
}

in_pieces() { # NAME COMMAND ARGS...: as nj pieces, then merged
    pieces "$@"
    "${@:2}" --merge --max_failed "${max_failed}"
}

espnet_train() { # NAME COMMAND ARGS...: ESPnet's training, with a process per GPU on every node
    local log="${log_dir}/$1.log" threads=$((train_threads * (ngpu > 1 ? ngpu : 1)))
    if [ "${num_nodes}" -gt 1 ] || { [ "${ngpu}" -gt 1 ] && [ "${trainer}" = slurm.pl ]; }; then
        # the processes find each other through a file, which has another name in every attempt
        OMP_NUM_THREADS=${train_threads} "${python}" -m espnet2.bin.launch --cmd "${train_cmd} --num_threads ${threads}" \
            --num_nodes "${num_nodes}" --ngpu "${ngpu}" --log "${log}" \
            --init_file_prefix "${log_dir}/.launch/$1.log/rendezvous." -- "${@:2}"
        return
    fi
    local distributed=()
    if [ "${ngpu}" -gt 1 ]; then distributed=(--multiprocessing_distributed true); fi # DDP, not DataParallel
    # shellcheck disable=SC2086  # train_cmd: a command and its options
    OMP_NUM_THREADS=${train_threads} ${train_cmd} --gpu "${ngpu}" --num_threads "${threads}" "${log}" \
        "${@:2}" --ngpu "${ngpu}" "${distributed[@]}"
}
