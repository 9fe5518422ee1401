#!/usr/bin/env bash
# Units, entropy LM and calibrated groups of a corpus: the numbered stages, once for all corpora.
# Called by egs2/<corpus>/units1/run.sh from that directory; `./run.sh --help` lists the options.
# shellcheck disable=SC2154,SC2329  # options become variables in parse_options; run_stage calls the stages
set -euo pipefail

template=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "${template}/../../utils/options.sh"
. "${template}/../../utils/stages.sh"
# shellcheck disable=SC2034  # read by utils/stages.sh
stages=(data format fit_tokenizer tokenize train_entropy_lm score_entropy calibrate align boundaries report)

option stage            str  1     "first stage, number or name: $(list_stages)"
option stop_stage       str  ""    "last stage, number or name; the last of all if empty"
option remake           bool false "remove and make anew what was made from other inputs or settings"
option nj               int  2     "pieces of a long stage at the same time"
option ngpu             int  0     "GPUs for training, of each node; with 1 or more, stages that gain from one use it"
option num_nodes        int  1     "nodes for training; several with cmd_backend=slurm alone"
option train_set        str  train "set that trains quantizer and LM"
option valid_set        str  valid "set that stops training and calibrates"
option test_sets        list test  "sets on which rates are reported"
option other_sets       list ""    "sets of other corpora: scored for drift, never trained on"
option boundary_sets    list ""    "sets whose reference boundaries are compared"
option tokenizer_config file conf/tokenizer.yaml        "features and quantizer"
option lm_config        file conf/train_entropy_lm.yaml "ESPnet's LM training configuration"
option segmenter_config file "${template}/units1/conf/segmenter.yaml" "criteria, rates, default"
option lm_args          str  ""    "further options for ESPnet's LM training"
option score_args       str  ""    "further options for scoring, such as --dtype bfloat16 (for GPUs)"
option train_threads    int  1     "CPU threads of LM training"
option align_args       str  ""    "for boundary sets without an alignment: --ctc_model DIR, or --method textgrid --textgrids DIR"
option data_opts        str  ""    "options for local/data.sh"
option data_inputs      list ""    "files that local/data.sh makes the sets from; if they change, the sets are stale"
option max_failed       str  0.05  "largest tolerated share of utterances that fail in a stage"
# shellcheck disable=SC2034  # read by utils/options.sh
option_program=./run.sh # shown by --help and in errors
parse_options "$@"

. "${template}/path.sh"
. "${template}/cmd.sh"
. "${template}/db.sh"
select_stages
log_dir=exp/logs
. "${template}/pieces.sh"

each_set() { # PREFIX PATTERN -> the files of every set; a plain name also where it is missing
    local name
    for name in ${sets}; do
        compgen -G "$1/${name}/$2" || echo "$1/${name}/$2"
    done | tr '\n' ' '
}

data() {
    # shellcheck disable=SC2086  # options, split on purpose
    nj="${nj}" ./local/data.sh ${data_opts}
    # shellcheck disable=SC2046
    "${python}" -m espnet_entropy.bin.validate_data_dir $(dirname $(each_set data wav.scp))
}

in_each_set() { # PREFIX -> PREFIX/<set> of every set, as words
    local name
    for name in ${sets}; do echo "$1/${name}"; done
}

format() {
    # shellcheck disable=SC2046  # set names are words
    in_pieces format "${python}" -m espnet_entropy.bin.format_audio --data $(in_each_set data) --out $(in_each_set dump/raw)
}

fit_tokenizer() {
    local fit=("${python}" -m espnet_entropy.bin.fit_quantizer --config "${tokenizer_config}"
        --data "dump/raw/${train_set}" --out exp/tokenizer --device "${device}")
    pieces fit_tokenizer "${fit[@]}"
    # shellcheck disable=SC2086  # train_cmd: a command and its options
    ${train_cmd} "${piece_gpu[@]}" "${log_dir}/fit_tokenizer.log" "${fit[@]}" --max_failed "${max_failed}"
}

tokenize() {
    # shellcheck disable=SC2046
    in_pieces tokenize "${python}" -m espnet_entropy.bin.tokenize --model exp/tokenizer \
        --data $(in_each_set dump/raw) --out $(in_each_set dump/units) --device "${device}"
}

train_entropy_lm() {
    local name
    for name in "${train_set}" "${valid_set}"; do
        "${python}" -m espnet_entropy.bin.pack_units --units "dump/units/${name}" --config "${lm_config}" --out "dump/packed/${name}"
    done
    # shellcheck disable=SC2086  # lm_args: words, split on purpose
    espnet_train train_entropy_lm "${python}" -m espnet_entropy.bin.lm_train --config "${lm_config}" --output_dir exp/entropy_lm --resume true \
        --use_preprocessor false --token_list "dump/packed/${train_set}/tokens.txt" \
        --train_data_path_and_name_and_type "dump/packed/${train_set}/packed.scp,text,units" \
        --valid_data_path_and_name_and_type "dump/packed/${valid_set}/packed.scp,text,units" \
        --train_shape_file "dump/packed/${train_set}/text_shape" \
        --valid_shape_file "dump/packed/${valid_set}/text_shape" ${lm_args}
    "${python}" -m espnet_entropy.bin.export_entropy_lm --exp exp/entropy_lm --units_meta "dump/units/${train_set}/meta.yaml" \
        --out exp/entropy_lm/export
}

score_entropy() {
    # shellcheck disable=SC2046,SC2086  # set names, and options split on purpose
    in_pieces score_entropy "${python}" -m espnet_entropy.bin.score_entropy --model exp/entropy_lm/export \
        --units $(in_each_set dump/units) --out $(in_each_set dump/scored) --device "${device}" ${score_args}
}

calibrate() {
    local dumps
    mapfile -t dumps < <(for name in ${valid_set} ${test_sets} ${other_sets}; do echo "dump/scored/${name}"; done)
    "${python}" -m espnet_entropy.bin.calibrate --scored "dump/scored/${valid_set}" --config "${segmenter_config}" \
        --out exp/calibration/calibration.yaml \
        --report "${dumps[@]}" > /dev/null # the report stage shows the table
    "${python}" -m espnet_entropy.bin.pack_model --tokenizer exp/tokenizer --entropy_lm exp/entropy_lm/export \
        --calibration exp/calibration/calibration.yaml --config "${segmenter_config}" \
        --recipe "$(pwd)" --out exp/compressor
}

align() {
    local name
    for name in ${boundary_sets}; do
        # shellcheck disable=SC2086  # options, split on purpose
        "${python}" -m espnet_entropy.bin.align --data "dump/raw/${name}" ${align_args}
    done
}

boundaries() {
    local name evaluate
    for name in ${boundary_sets}; do
        evaluate=("${python}" -m espnet_entropy.bin.evaluate_boundaries --scored "dump/scored/${name}"
            --data "dump/raw/${name}" --calibration exp/calibration/calibration.yaml)
        "${evaluate[@]}" --out "exp/boundaries/${name}"
        "${evaluate[@]}" --equal_rates --out "exp/boundaries/${name}_equal_rates"
    done
}

report() {
    "${python}" -m espnet_entropy.bin.report_units --exp exp --out exp/report
}

have_data() { # the SETS that local/data.sh could make: other corpora may be absent here
    local name found=""
    for name in "$@"; do
        if [ -f "data/${name}/wav.scp" ]; then found+="${name} "; fi
    done
    echo "${found}"
}

# One function, so that bash has read the whole script before the first stage begins: it may change
# on disk (git pull) while a stage runs.
run_all() {
    sets="${train_set} ${valid_set} ${test_sets}"
    run_stage data "${data_inputs}" "$(each_set data wav.scp)" "${data_opts}" data
    # shellcheck disable=SC2086
    other_sets=$(have_data ${other_sets}) boundary_sets=$(have_data ${boundary_sets})
    sets="${sets} ${other_sets}"
    run_stage format "$(each_set data '*')" dump/raw "" format
    # audio counts by its utterances and their lengths, so that a corpus may move
    local aligned="" fitted="" # what units of aligned phones are made from
    if grep -q '^features: *phones' "${tokenizer_config}"; then
        aligned="$(each_set dump/raw ctm.phones) $(each_set dump/raw alignment.yaml) $(each_set dump/raw utt2spk)"
        fitted="dump/raw/${train_set}/ctm.phones dump/raw/${train_set}/alignment.yaml dump/raw/${train_set}/utt2spk"
    fi
    local named # on lines of their own: a failure ends the run
    named=$(with_named "${tokenizer_config}")
    run_stage fit_tokenizer "dump/raw/${train_set}/utt2num_samples ${fitted} ${named}" exp/tokenizer "" fit_tokenizer
    run_stage tokenize "exp/tokenizer/tokenizer.yaml $(each_set dump/raw utt2num_samples) ${aligned}" dump/units "" tokenize
    named=$(with_named "${lm_config}")
    run_stage train_entropy_lm "$(sets="${train_set} ${valid_set}" each_set dump/units units.sha256) ${named}" \
        "dump/packed exp/entropy_lm" "${lm_args}" train_entropy_lm whole
    run_stage score_entropy "exp/entropy_lm/export/config.yaml $(each_set dump/units units.sha256)" dump/scored "${score_args}" \
        score_entropy
    named=$(with_named "${segmenter_config}")
    run_stage calibrate "$(sets="${valid_set} ${sets}" each_set dump/scored scored.sha256) ${named} \
        exp/tokenizer/tokenizer.yaml exp/entropy_lm/export/config.yaml" "exp/calibration exp/compressor" "" calibrate
    sets=${boundary_sets}
    if [ -n "${boundary_sets}" ]; then
        run_stage align "$(each_set dump/raw wav.scp)" "" "${align_args}" align
        run_stage boundaries "exp/calibration/calibration.yaml $(each_set dump/scored scored.sha256) \
            $(each_set dump/raw 'ctm.*') $(each_set dump/raw alignment.yaml)" exp/boundaries "" boundaries
    fi
    # anew whenever a figure is: it takes a moment
    remake=true run_stage report "exp/calibration/rates.json $(compgen -G 'exp/boundaries/*/score.json' | tr '\n' ' ')" \
        exp/report "" report
}

run_all; exit
