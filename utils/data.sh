# shellcheck shell=bash
# Sourced by local/data.sh in the recipe's directory: data directories by prepare_corpus.

prepare() { # CORPUS ARGS...
    "${python:?set by run.sh}" -m espnet_entropy.bin.prepare_corpus --corpus "$1" "${@:2}"
}

prepare_if_there() { # CORPUS SOURCE -> data/<set> of another corpus, if it is on this machine
    if [ -d "$2" ]; then
        prepare "$1" --source "$2" --out data
    else
        echo "data.sh: no $2: figures on $1 are left out" >&2
    fi
}
