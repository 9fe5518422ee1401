# How long stages are run. A site's own settings go to cmd.local.sh beside this file (git-ignored).
#   long_cmd:  tokenizing, scoring: JOB=1:nj pieces. Each knows its finished shards, so it needs no
#              --resume, which would skip it even after its output was removed.
#   train_cmd: training
#   sweep_cmd: rows of a sweep, each from training to scores. On a cluster either this one goes there,
#              or it stays here with --sweep_jobs 16, say, and train_cmd and long_cmd go there.
long_cmd="${python:?source path.sh first} ${root:?}/utils/run.pl"
train_cmd="${long_cmd}"
sweep_cmd="${long_cmd}"
if [ -f "${root}/egs2/TEMPLATE/cmd.local.sh" ]; then
    . "${root}/egs2/TEMPLATE/cmd.local.sh"
fi
export long_cmd train_cmd sweep_cmd
