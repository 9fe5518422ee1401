# Finds the root and puts the project's Python first; makes the environment if it is missing.
# Source it from anywhere: . egs2/TEMPLATE/path.sh
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [ -n "${ESPNET_ENTROPY_PYTHON:-}" ]; then
    PATH="$(dirname "${ESPNET_ENTROPY_PYTHON}"):${PATH}"
else
    "${root}/tools/setup_env.sh" || exit 1
    PATH="${root}/.venv/bin:${PATH}"
fi
export PATH
export PYTHONPATH="${root}${PYTHONPATH:+:${PYTHONPATH}}"
export PYTHONIOENCODING=UTF-8
# Small models on shared cores run faster on one thread a process; a site may set another number.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
