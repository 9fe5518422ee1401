#!/usr/bin/env bash
# Speech recognition from groups of units: the numbered stages, once for all corpora.
# Called by egs2/<corpus>/asr1/run.sh from that directory; `./run.sh --help` lists the options.
# shellcheck disable=SC2154,SC2329  # options become variables in parse_options; run_stage calls the stages
set -euo pipefail

template=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "${template}/../../utils/options.sh"
. "${template}/../../utils/stages.sh"
# shellcheck disable=SC2034  # read by utils/stages.sh
stages=(data prepare token_list unit_bpe train average infer score report)

option stage            str  1     "first stage, number or name: $(list_stages)"
option stop_stage       str  ""    "last stage, number or name; the last of all if empty"
option remake           bool false "remove and make anew what was made from other inputs or settings"
option nj               int  2     "pieces of a long stage at the same time"
option ngpu             int  0     "GPUs for training, of each node; with 1 or more, decoding uses one"
option num_nodes        int  1     "nodes for training; several with cmd_backend=slurm alone"
option units            str  ../units1 "recipe of the units; its stages run first where they have not"
option units_args       str  ""    "options for that recipe"
option train_set        str  train "set that trains"
option valid_set        str  valid "set that chooses epochs"
option test_sets        list test  "sets to decode and score"
option prepare_args     str  ""    "what to leave out of training: --min_units, --max_units, --max_characters"
option token_type       str  bpe   "text tokens: char or bpe"
option bpe_size         int  5000  "BPE pieces, at most"
option unit_bpe_size    int  0     "also train a BPE over de-duplicated units (criterion unit_bpe) of this size"
option asr_config       file conf/train_asr.yaml     "ESPnet's ASR training configuration"
option inference_config file conf/inference_asr.yaml "beam size and its like"
option asr_tag          str  ""    "added to the experiment's name: exp/asr_<config>_<tag>"
option asr_exp          str  ""    "the experiment's directory, instead of that name"
option asr_args         str  ""    "further options for ESPnet's ASR training"
option seed             int  1     "of training"
option n_average        int  5     "best epochs whose weights are averaged"
option train_threads    int  1     "CPU threads of training"
option max_failed       str  0.05  "largest tolerated share of utterances that fail in a stage"
option sweep            str  ""    "train and score every row of conf/sweep/NAME.yaml, here or in the template, and make its table"
option seeds            list 1     "of a sweep's rows"
option budgets          list epochs "of a sweep's rows: epochs (as configured), flops (as many as its reference row)"
option segmenter_config file "${template}/units1/conf/segmenter.yaml" "criteria, for sweeps that calibrate"
option sweep_jobs       int  1     "rows of a sweep at the same time; each has its own --ngpu GPUs, so never more than these allow"
# shellcheck disable=SC2034  # read by utils/options.sh
option_program=./run.sh # shown by --help and in errors
parse_options "$@"

. "${template}/path.sh"
. "${template}/cmd.sh"
. "${template}/db.sh"
select_stages

kind=${units%/} kind=${kind##*/} kind=${kind#units1} # "" of ../units1, _km2000 of ../units1_km2000
dumps=dump/asr${kind}                                # of other units beside those of the first
stamp_dir=exp/stamps${kind:+/units1${kind}}
token_list=exp/token_list${kind}/${token_type}
if [ "${token_type}" = bpe ]; then token_list+="_${bpe_size}"; fi
config_name=$(basename "${asr_config}" .yaml)
asr_exp=${asr_exp:-exp/asr_${config_name#train_asr_}${asr_tag:+_${asr_tag}}}
# shellcheck disable=SC2034  # read by pieces.sh
log_dir=${asr_exp}/logs
. "${template}/pieces.sh"

data() {
    local words=()
    split_words words "${units_args}"
    "${units}/run.sh" --stop_stage calibrate --nj "${nj}" --ngpu "${ngpu}" --num_nodes "${num_nodes}" --remake "${remake}" "${words[@]}"
}

limits() { # SET: what to leave out of it; what is tested is never chosen
    if [[ " ${test_sets} " != *" $1 "* ]]; then echo "${prepare_args}"; fi
}

prepare() {
    local name
    for name in ${sets}; do
        # shellcheck disable=SC2046  # options, split on purpose
        "${python}" -m espnet_entropy.bin.prepare_asr --scored "${units}/dump/scored/${name}" \
            --text "${units}/data/${name}/text" --out "${dumps}/${name}" --max_failed "${max_failed}" $(limits "${name}")
    done
}

token_list() {
    "${python}" -m espnet_entropy.bin.token_list --text "${dumps}/${train_set}/text" --type "${token_type}" \
        --size "${bpe_size}" --out "${token_list}"
}

unit_bpe() {
    "${python}" -m espnet_entropy.bin.train_unit_bpe --scored "${dumps}/${train_set}" \
        --vocab_size "${unit_bpe_size}" --out "exp/unit_bpe${kind}_${unit_bpe_size}"
}

train_arguments() { # of ESPnet, beside configuration, seed and place; quotes count, here and in a sweep
    local name set
    echo "--token_list ${token_list}/tokens.txt --token_type ${token_type}"
    if [ "${token_type}" = bpe ]; then echo "--bpemodel ${token_list}/bpe.model"; fi
    for name in train valid; do
        set=${train_set}
        if [ "${name}" = valid ]; then set=${valid_set}; fi
        echo "--${name}_data_path_and_name_and_type ${dumps}/${set}/scored.scp,speech,scored"
        echo "--${name}_data_path_and_name_and_type ${dumps}/${set}/text,text,text"
        echo "--${name}_shape_file ${dumps}/${set}/speech_shape"
    done
    echo "${asr_args}"
}

train() {
    local arguments=()
    split_words arguments "$(train_arguments)"
    espnet_train train "${python}" -m espnet_entropy.bin.asr_train --config "${asr_config}" \
        --output_dir "${asr_exp}" --resume true --seed "${seed}" "${arguments[@]}"
    printf '%s\n' "${asr_exp}"/*epoch.pth > "${asr_exp}/epochs.txt" # what average may choose from
}

average() {
    "${python}" -m espnet_entropy.bin.pack_recognizer --exp "${asr_exp}" --out "${asr_exp}/recognizer" \
        --n_average "${n_average}" --config "${inference_config}"
}

infer() {
    # shellcheck disable=SC2046  # set names are words
    in_pieces infer "${python}" -m espnet_entropy.bin.asr_infer --model "${asr_exp}/recognizer" --device "${device}" \
        --config "${inference_config}" --scored $(each_test "${dumps}") --out $(each_test "${asr_exp}/decode")
}

score() {
    local name
    for name in ${test_sets}; do
        "${python}" -m espnet_entropy.bin.score_asr --ref "${units}/data/${name}/text" \
            --hyp "${asr_exp}/decode/${name}/text" --train_text "${dumps}/${train_set}/text" \
            --utt2spk "${units}/data/${name}/utt2spk" --scored "${dumps}/${name}" \
            --recognizer "${asr_exp}/recognizer" --out "${asr_exp}/decode/${name}"
    done
}

report() {
    "${python}" -m espnet_entropy.bin.report_asr --exp "${asr_exp}" --out "${asr_exp}/report"
}

each_test() { # PREFIX [FILE] -> PREFIX/<set>[/FILE] of every test set, as words
    local name
    for name in ${test_sets}; do echo "$1/${name}${2:+/$2}"; done
}

# One function, so that bash has read the whole script before the first stage begins: it may change
# on disk (git pull) while a stage runs.
run_all() {
    sets="${train_set} ${valid_set} ${test_sets}"
    local name prepared="" scored="" texts="" cut=""
    for name in ${sets}; do
        scored+="${units}/dump/scored/${name}/scored.sha256 ${units}/dump/scored/${name}/meta.yaml "
        texts+="${units}/data/${name}/text "
        prepared+="${dumps}/${name}/meta.yaml "
    done
    local shared=${stamp_dir} trained_on="${units}/exp/compressor/calibration.yaml ${token_list}/tokens.txt "
    for name in "${train_set}" "${valid_set}"; do
        trained_on+="${dumps}/${name}/text ${dumps}/${name}/meta.yaml ${units}/dump/scored/${name}/scored.sha256 "
    done
    if selected data; then data; fi # no stamp: the units' own stages know whether they are done
    for name in "${train_set}" "${valid_set}"; do
        if [ -n "$(limits "${name}")" ]; then cut+=" of ${name}"; fi
    done
    run_stage prepare "${scored} ${texts}" "${prepared}" "${units} ${prepare_args}${cut}" prepare
    stamp_dir=${shared}/${token_list##*/}
    run_stage token_list "${dumps}/${train_set}/text" "${token_list}/tokens.txt" "${train_set}" token_list
    if [ "${unit_bpe_size}" -gt 0 ]; then
        stamp_dir=${shared}/unit_bpe_${unit_bpe_size}
        trained_on+="exp/unit_bpe${kind}_${unit_bpe_size}/unit_bpe.yaml "
        run_stage unit_bpe "${dumps}/${train_set}/meta.yaml ${dumps}/${train_set}/text ${units}/dump/scored/${train_set}/scored.sha256" \
            "exp/unit_bpe${kind}_${unit_bpe_size}/unit_bpe.yaml" "${train_set}" unit_bpe
    fi
    # shellcheck disable=SC2034  # read by utils/stages.sh
    stamp_dir=exp/stamps/${asr_exp#exp/} # from here on: of this experiment, and outside of what --remake removes
    local named
    named=$(with_named "${asr_config}")
    run_stage train "${named} ${trained_on}" "${asr_exp}" \
        "${train_set} ${valid_set} ${units} ${token_list} ${asr_args} ${seed}" train
    run_stage average "${asr_exp}/config.yaml ${asr_exp}/epochs.txt ${inference_config}" "${asr_exp}/recognizer" \
        "${n_average}" average
    run_stage infer "${asr_exp}/recognizer/recognizer.yaml ${inference_config} $(each_test "${dumps}" meta.yaml | tr '\n' ' ') \
        $(each_test "${dumps}" text | tr '\n' ' ') $(each_test "${units}/dump/scored" scored.sha256 | tr '\n' ' ')" \
        "${asr_exp}/decode" "" infer
    run_stage score "$(each_test "${asr_exp}/decode" text | tr '\n' ' ') $(each_test "${units}/data" text | tr '\n' ' ') \
        $(each_test "${units}/data" utt2spk | tr '\n' ' ') ${dumps}/${train_set}/text ${asr_exp}/recognizer/recognizer.yaml" \
        "$(each_test "${asr_exp}/decode" score.json | tr '\n' ' ')" "" score
    # anew whenever a score is: it takes a moment
    remake=true run_stage report "$(each_test "${asr_exp}/decode" score.json | tr '\n' ' ')" "${asr_exp}/report" "" report
}

run_sweep() { # COMMAND: this script and what it was given
    local failed=0 name gpu=""
    name=$(basename "${sweep}") name=${name%.*}
    if [ "${num_nodes}" -gt 1 ] && [[ ${sweep_cmd} != *run.pl* ]]; then
        option_error "--num_nodes ${num_nodes}: a row would be a job of one node; see sweep_cmd in egs2/TEMPLATE/cmd.sh."
    fi
    # a row needs GPUs where it trains itself: unless it stays here, and its training alone goes to a scheduler
    if [ "${ngpu}" -gt 0 ] && [[ ${sweep_cmd} != *run.pl* || ${train_cmd} == *run.pl* ]]; then gpu="--gpu ${ngpu}"; fi
    # --stage and --stop_stage mean what they mean without a sweep: the shared stages once, those from
    # train to score in every row, and the report is the table. So `--stop_stage train` leaves decoding
    # for later, and `--stage report` makes the table anew.
    # shellcheck disable=SC2154  # sweep_cmd comes from cmd.sh; first_stage, last_stage from select_stages
    "${python}" -m espnet_entropy.bin.sweep_asr --sweep "${sweep}" --places . "${template}/asr1" --base "${asr_config}" \
        --seeds "${seeds}" --budgets "${budgets}" --units "${units}" --segmenter "${segmenter_config}" \
        --calibrate_on "${dumps}/${valid_set}" --train_arguments="$(train_arguments | tr '\n' ' ')" \
        --measured_from "${dumps}/${train_set}/speech_shape" "${dumps}/${train_set}/text" "${token_list}/tokens.txt" \
        --launcher "${sweep_cmd} --num_threads ${train_threads} ${gpu}" --jobs "${sweep_jobs}" --remake "${remake}" \
        --stages "${stages[@]:first_stage-1:last_stage-first_stage+1}" -- "$@" || failed=$?
    if [ "${failed}" -eq 2 ]; then exit 2; fi # nothing was run
    if selected report && { [ "${failed}" -eq 0 ] || [ -f "exp/sweep/${name}/sweep.yaml" ]; }; then
        "${python}" -m espnet_entropy.bin.report_asr --sweep "exp/sweep/${name}" --out "exp/sweep/${name}/report"
    fi
    exit "${failed}"
}

if [ -n "${sweep}" ]; then run_sweep "${BASH_SOURCE[0]}" "$@"; fi
run_all; exit
