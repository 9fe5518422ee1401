# Finds the root and puts the project's Python first; makes the environment if it is missing.
# Source it from anywhere: . egs2/TEMPLATE/path.sh
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Launchers are commands with their options in one variable, and lists of files are words, in Kaldi's
# manner: a path that a shell takes apart or changes cannot be among them.
if [[ ${root} == *[[:space:]\'\"\\*?[]* ]]; then
    echo "error: ${root}: scripts cannot work where the path has a space, a quote or one of \\ * ? [; move the repository." >&2
    exit 2
fi
# the Python to use: .venv's, or the one that ESPNET_ENTROPY_PYTHON names
python=$("${root}/tools/setup_env.sh") || exit 1
PATH="$(dirname "${python}"):${PATH}"
export PATH python
export PYTHONPATH="${root}${PYTHONPATH:+:${PYTHONPATH}}"
export PYTHONIOENCODING=UTF-8
# Small models on shared cores run faster on one thread a process; a site may set another number.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
