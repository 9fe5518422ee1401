# Options declared once: name, type, default, help. Source it, declare, then parse.
#
#   option nj int 2 "pieces that run at the same time"
#   parse_options "$@"          # --nj 4, --nj=4, --help; sets the variable nj
#
# Types: str, int, bool (true or false), file (must exist when given), list (words in one argument).
declare -a option_names=()
declare -A option_types=() option_help=()

option() { # NAME TYPE DEFAULT HELP
    option_names+=("$1")
    option_types[$1]=$2
    option_help[$1]=$4
    printf -v "$1" '%s' "$3"
}

option_error() {
    echo "${option_program:-$(basename "$0")}: error: $*" >&2
    exit 2
}

print_help() { # what a recipe gave before --help counts as its default
    echo "usage: ${option_program:-$0} [--NAME VALUE ...]"
    echo
    local name
    for name in "${option_names[@]}"; do
        printf '  --%-22s %s (%s, default: %s)\n' \
            "${name}" "${option_help[${name}]}" "${option_types[${name}]}" "${!name:-none}"
    done
}

nearest_option() { # the declared name most like $1
    python3 - "$1" "${option_names[@]}" <<'PY'
import difflib, sys
found = difflib.get_close_matches(sys.argv[1], sys.argv[2:], n=1, cutoff=0.5)
print(f" Did you mean '--{found[0]}'?" if found else "")
PY
}

check_option() { # NAME VALUE
    case "${option_types[$1]}" in
        int) [[ $2 =~ ^-?[0-9]+$ ]] || option_error "--$1: expected a whole number, got '$2'." ;;
        bool) [[ $2 == true || $2 == false ]] || option_error "--$1: expected true or false, got '$2'." ;;
        file) [[ -z $2 || -f $2 ]] || option_error "--$1: no such file: '$2' (in $(pwd))." ;;
    esac
}

parse_options() {
    local name value
    while [ $# -gt 0 ]; do
        case "$1" in
            --help | -h)
                print_help
                exit 0
                ;;
            --*=*)
                name=${1%%=*}
                value=${1#*=}
                shift
                ;;
            --*)
                name=$1
                [ $# -gt 1 ] || option_error "$1: a value is missing."
                value=$2
                shift 2
                ;;
            *) option_error "unexpected argument '$1'; options have the form --name value (see --help)." ;;
        esac
        name=${name#--}
        name=${name//-/_}
        [ -n "${option_types[${name}]:-}" ] ||
            option_error "unknown option '--${name}'.$(nearest_option "${name}") (see --help)"
        check_option "${name}" "${value}"
        printf -v "${name}" '%s' "${value}"
    done
}

split_words() { # ARRAY TEXT: the words of an option's value, with quotes as a shell reads them
    local -n split_into=$1
    local lines
    # a last line of its own, since $() cuts empty ones off
    lines=$("${python:-python3}" -c 'import shlex, sys
try:
    print(*shlex.split(sys.argv[1]), ".", sep="\n")
except ValueError as error:
    sys.exit(f"error: {error} in: {sys.argv[1]}")' "$2") || exit 2
    # shellcheck disable=SC2034  # the array
    mapfile -t split_into <<< "${lines}"
    unset 'split_into[-1]'
}
