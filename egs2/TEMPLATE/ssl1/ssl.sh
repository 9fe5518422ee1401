#!/usr/bin/env bash
# A small encoder of our own: packed data, masked prediction in three iterations, a rival that is told
# the phones, tokenizers. Called by egs2/<name>/ssl1/run.sh; `./run.sh --help` lists the options.
#
# Stages targets1 to export need packed data alone (under 40 MiB here), no audio: they can be carried
# to a machine with a GPU. A training stage that runs out of --max_minutes ends the run with status 3;
# the same call goes on.
# shellcheck disable=SC2154,SC2329  # options become variables in parse_options; run_stage calls the stages
set -euo pipefail

template=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "${template}/../../utils/options.sh"
. "${template}/../../utils/stages.sh"
# shellcheck disable=SC2034  # read by utils/stages.sh
stages=(pack targets1 train1 targets2 train2 targets3 train3 train_ctc export evaluate card)

option stage         str  1     "first stage, number or name: $(list_stages)"
option stop_stage    str  ""    "last stage, number or name; the last of all if empty"
option remake        bool false "remove and make anew what was made from other inputs or settings"
option ngpu          int  0     "1 to train and cluster on a GPU"
option max_minutes   str  ""    "stop a training and save it after this long; the same call goes on"
option corpora       list ""    "units1 recipes whose dump/raw/<set> is packed"
option train_set     str  train "set of each corpus to learn from"
option valid_set     str  valid "set of each corpus that chooses weights and layer"
option test_sets     list ""    "<units1 recipe>:<set> with aligned phones, to evaluate the units on"
option masked_config file conf/train_masked.yaml "masked prediction, all iterations"
option ctc_config    file conf/train_ctc.yaml    "the labelled rival"
option ctc_targets   str  ""    "targets for it, where its masked_weight is above 0: exp/targets3.safetensors"
option iterations    int  3     "of masked prediction: stages targets1 to train3; 0 leaves them out"
option clusters      list "100 500 500"          "K of the targets of each iteration"
option layers        list ""    "candidate layers; all if empty"
option exported      str  train3 "training whose encoder becomes tokenizers: train1 .. train3, train_ctc"
option exported_clusters list "500 100"          "K of each tokenizer"
option about         file conf/about.md          "what the model card begins with"
option max_failed    str  0.05  "largest tolerated share of utterances that fail in a stage"
# shellcheck disable=SC2034  # read by utils/options.sh
option_program=./run.sh # shown by --help and in errors
parse_options "$@"

. "${template}/path.sh"
. "${template}/cmd.sh"
select_stages

device=cpu gpu=()
if [ "${ngpu}" -gt 0 ]; then device=cuda gpu=(--gpu 1); fi
packed=(--train dump/packed/train --valid dump/packed/valid)
tables="dump/packed/train/packed.yaml dump/packed/valid/packed.yaml"
read -ra K <<< "${clusters}"

each_corpus() { # SUFFIX -> the corpora with it, as words
    local corpus
    for corpus in ${corpora}; do echo "${corpus}$1"; done
}

data_files() { # FOLDER "NAMES" "OTHERS" -> its files of these names, and of the others those that are there
    local name
    for name in $2; do echo "$1/${name}"; done
    for name in $3; do compgen -G "$1/${name}" || true; done
}

pack_inputs() {
    local folder
    for folder in $(each_corpus "/dump/raw/${train_set}") $(each_corpus "/dump/raw/${valid_set}"); do
        data_files "${folder}" "wav.scp utt2spk utt2num_samples" "text.phones ctm.phones alignment.yaml segments"
    done
}

label_of() { # ../../mini_synth/units1:test -> mini_synth_units1_test
    local label=${1//:/\/}
    while [[ ${label} == [./]* ]]; do label=${label:1}; done
    echo "${label//\//_}"
}

evaluate_inputs() {
    local entry k
    for k in ${exported_clusters}; do echo "exp/units/tokenizer_${k}/tokenizer.yaml"; done
    for entry in ${test_sets}; do
        data_files "${entry%%:*}/dump/raw/${entry##*:}" "wav.scp utt2spk utt2num_samples ctm.phones" alignment.yaml
    done
}

have_alignment() { # the SETS that are there with aligned phones: some need another recipe or corpus
    local entry found=""
    for entry in "$@"; do
        if [ -f "${entry%%:*}/dump/raw/${entry##*:}/ctm.phones" ]; then found+="${entry} "; fi
    done
    echo "${found% }"
}

scores() { # [labelled] -> files of figures, as LABEL=FILE if asked
    local entry label k
    for k in ${exported_clusters}; do
        for entry in ${test_sets}; do
            label=$(label_of "${entry}")
            echo "${1:+${label}=}exp/unit_quality/K${k}/${label}/${entry##*:}/score.json"
        done
    done
}

pack() {
    local name more=()
    for name in train valid; do
        local set_name=${name}_set
        # shellcheck disable=SC2046,SC2086  # paths without spaces
        "${python}" -m espnet_entropy.bin.ssl_pack --data $(each_corpus "/dump/raw/${!set_name}") \
            --base ${corpora} "${more[@]}" --out "dump/packed/${name}" --max_failed "${max_failed}"
        more=(--train dump/packed/train)
    done
}

launch() { # NAME MODULE ARGS...
    # shellcheck disable=SC2086  # train_cmd: a command and its options
    ${train_cmd} "${gpu[@]}" "exp/logs/$1.log" "${python}" -m "espnet_entropy.bin.$2" "${packed[@]}" "${@:3}" --device "${device}"
}

targets() { # ITERATION [MODEL]
    local from=()
    # shellcheck disable=SC2206
    if [ $# -gt 1 ]; then from=(--model "$2" ${layers:+--layers ${layers}}); fi
    launch "targets$1" ssl_targets --num_clusters "${K[$1 - 1]}" --out "exp/targets$1.safetensors" "${from[@]}"
}

train() { # NAME CONFIG ARGS...
    launch "$1" ssl_train --config "$2" --out "exp/$1" ${max_minutes:+--max_minutes "${max_minutes}"} "${@:3}" || {
        if [ -f "exp/$1/unfinished" ]; then
            log "$1: out of time; the same call goes on"
            exit 3
        fi
        exit 1
    }
}

targets1() { targets 1; }
train1() { train train1 "${masked_config}" --targets exp/targets1.safetensors; }
targets2() { targets 2 exp/train1/model; }
train2() { train train2 "${masked_config}" --targets exp/targets2.safetensors; }
targets3() { targets 3 exp/train2/model; }
train3() { train train3 "${masked_config}" --targets exp/targets3.safetensors; }
train_ctc() { train train_ctc "${ctc_config}" ${ctc_targets:+--targets "${ctc_targets}"}; }

export_units() {
    # shellcheck disable=SC2086  # numbers
    launch export ssl_export --model "exp/${exported}/model" --num_clusters ${exported_clusters} \
        ${layers:+--layers ${layers}} --about "${about}" --out exp/units
}

evaluate() {
    local entry k label here
    here=$(pwd)
    for entry in ${test_sets}; do
        label=$(label_of "${entry}")
        for k in ${exported_clusters}; do
            # from the corpus's own directory: relative audio paths start there
            # shellcheck disable=SC2086  # train_cmd: a command and its options
            (cd "${entry%%:*}" && ${train_cmd} "${gpu[@]}" "${here}/exp/logs/evaluate.${label}.${k}.log" \
                "${python}" -m espnet_entropy.bin.evaluate_units --test "dump/raw/${entry##*:}" --device "${device}" \
                --tokenizer "${here}/exp/units/tokenizer_${k}" --out "${here}/exp/unit_quality/K${k}/${label}")
        done
    done
}

# shellcheck disable=SC2046  # labels and paths without spaces
card() { "${python}" -m espnet_entropy.bin.ssl_card --units exp/units --figures $(scores labelled); }

words() { tr '\n' ' '; }

# One function, so that bash has read the whole script before the first stage begins: it may change
# on disk (git pull) while a stage runs.
run_all() {
    local i masked told # on lines of their own: a failure ends the run
    masked=$(with_named "${masked_config}")
    told=$(with_named "${ctc_config}")
    run_stage pack "$(pack_inputs | words)" dump/packed "" pack
    if [ "${iterations}" -ge 1 ]; then
        run_stage targets1 "${tables}" exp/targets1.safetensors "K ${K[0]}" targets1
        run_stage train1 "exp/targets1.safetensors ${tables} ${masked}" exp/train1 "" train1
    fi
    for i in $(seq 2 "${iterations}"); do
        run_stage "targets${i}" "${tables} exp/train$((i - 1))/model/config.yaml" "exp/targets${i}.safetensors" \
            "K ${K[i - 1]} layers ${layers}" "targets${i}"
        run_stage "train${i}" "exp/targets${i}.safetensors ${tables} ${masked}" "exp/train${i}" "" "train${i}"
    done
    run_stage train_ctc "${tables} ${ctc_targets} ${told}" exp/train_ctc "" train_ctc
    run_stage export "exp/${exported}/model/config.yaml ${tables} ${about}" exp/units \
        "K ${exported_clusters} layers ${layers}" export_units
    # shellcheck disable=SC2086  # words
    test_sets=$(have_alignment ${test_sets})
    if [ -n "${test_sets}" ]; then
        run_stage evaluate "$(evaluate_inputs | words)" "$(scores | words)" "" evaluate
        run_stage card "$(scores | words) ${about}" "" "" card
    fi
}

run_all; exit
