#!/usr/bin/env bash
# A study of recognition: the same few groupings at every level of every factor of conf/study.yaml.
# Called by egs2/<corpus>/study1/run.sh from that directory; `./run.sh --help` lists the options.
# shellcheck disable=SC2154  # options become variables in parse_options
set -euo pipefail

template=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "${template}/../../utils/options.sh"
. "${template}/../../utils/stages.sh"
# shellcheck disable=SC2034  # read by utils/stages.sh
stages=(write sweep report)

option stage         str  1     "first stage, number or name: $(list_stages)"
option stop_stage    str  ""    "last stage, number or name; the last of all if empty"
option remake        bool false "remove and make anew what was made from other inputs or settings"
option nj            int  2     "pieces of a long stage at the same time"
option ngpu          int  0     "GPUs for training; with 1 or more, decoding uses one"
option train_set     str  train "set that trains"
option valid_set     str  valid "set that chooses epochs and calibrates"
option test_sets     list test  "sets to decode and score"
option study         file conf/study.yaml "factors, levels, systems, units"
option data_inputs   list ""    "files that local/data.sh makes the sets from; if they change, the sets are stale"
option units_args    str  ""    "options of units.sh for every recipe of units, paths from exp/units1_<name>"
option asr_config    file ../asr1/conf/train_asr.yaml     "ESPnet's ASR training configuration"
option inference_config file ../asr1/conf/inference_asr.yaml "beam size and its like"
option segmenter_config file conf/segmenter.yaml "the criteria of all systems"
option bpe_size      int  5000  "BPE pieces, at most"
option train_threads int  1     "CPU threads of training"
option seeds         list 1     "of training"
option sweep_jobs    int  1     "trainings at the same time"
# shellcheck disable=SC2034  # read by utils/options.sh
option_program=./run.sh # shown by --help and in errors
parse_options "$@"

. "${template}/path.sh"
select_stages
study_asr=("${python}" -m espnet_entropy.bin.study_asr --study "${study}")
name=$(basename "${study}" .yaml)

run_all() {
    local failed=0
    if selected write; then
        local inputs="" file
        for file in ${data_inputs}; do inputs+="$(realpath "${file}") "; done
        "${study_asr[@]}" --write "exp/${name}.yaml" --units_args="--train_set ${train_set} --valid_set ${valid_set} \
            --test_sets '${test_sets}' --train_threads ${train_threads} --data_inputs '${inputs}' ${units_args}"
    fi
    if selected sweep; then
        "${template}/asr1/asr.sh" --sweep "exp/${name}.yaml" --seeds "${seeds}" --sweep_jobs "${sweep_jobs}" \
            --train_set "${train_set}" --valid_set "${valid_set}" --test_sets "${test_sets}" \
            --asr_config "${asr_config}" --inference_config "${inference_config}" --bpe_size "${bpe_size}" \
            --segmenter_config "${segmenter_config}" \
            --train_threads "${train_threads}" --nj "${nj}" --ngpu "${ngpu}" --remake "${remake}" --stop_stage score || failed=$?
    fi
    if selected report; then "${study_asr[@]}" --sweep "exp/sweep/${name}" --out "exp/report_${name}"; fi
    return "${failed}"
}

run_all; exit
