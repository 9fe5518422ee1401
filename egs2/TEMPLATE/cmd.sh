# Where and how long stages are run; one variable chooses:
#   cmd_backend=local   on this machine (utils/run.pl)
#   cmd_backend=slurm   on a Slurm cluster (utils/slurm.pl); submit from a machine where sbatch works
#                       and the repository and its data lie on a file system that the nodes see
# A site sets it once in cmd.local.sh beside this file (git-ignored), for all recipes; the environment
# wins over that: cmd_backend=local ./run.sh. For instance cmd.local.sh may be
#
#   cmd_backend=slurm
#   slurm_config=${root}/egs2/TEMPLATE/slurm.local.conf    # git-ignored too
#   long_options="--mem 4G --max-jobs-run 64" train_options="--mem 32G --time 2-0"
#
# (the options are for Slurm: inside a job, or with cmd_backend=local, there are none)
# and slurm.local.conf, in Kaldi's manner (espnet_entropy/launch/slurm_conf.py):
#
#   command sbatch --account=speech --partition=cpu
#   option gpu=* --partition=gpu --gres=gpu:$0
#
# Three commands with the interface of Kaldi's run.pl; cmd.local.sh may also set them whole:
#   long_cmd:  tokenizing, scoring: JOB=1:nj pieces. Each knows its finished shards, so it needs no
#              --resume, which would skip it even after its output was removed.
#   train_cmd: training
#   sweep_cmd: rows of a sweep, each from training to scores. On Slurm a row is one job, and what it
#              runs stays inside it. Rows that train on several nodes: sweep_cmd=${root}/utils/run.pl, say, so
#              that rows stay here and only their trainings and pieces go there.
asked_backend=${cmd_backend:-}
unset long_cmd train_cmd sweep_cmd # of a recipe that called this one, perhaps outside the present job
slurm_config="" long_options="" train_options="" sweep_options=""
if [ -f "${root:?source path.sh first}/egs2/TEMPLATE/cmd.local.sh" ]; then
    . "${root}/egs2/TEMPLATE/cmd.local.sh"
fi
cmd_backend=${asked_backend:-${cmd_backend:-local}}
case "${cmd_backend}" in
    local)
        launcher="${python:?} ${root}/utils/run.pl"
        long_options="" train_options="" sweep_options=""
        ;;
    # not through ${python}: ESPnet's launcher looks at the name of the first word
    slurm) launcher="${root}/utils/slurm.pl${slurm_config:+ --config ${slurm_config}}" ;;
    *)
        echo "error: cmd_backend: expected local or slurm, got '${cmd_backend}'; see egs2/TEMPLATE/cmd.sh" >&2
        exit 2
        ;;
esac
: "${long_cmd:=${launcher} ${long_options}}" "${train_cmd:=${launcher} ${train_options}}"
: "${sweep_cmd:=${launcher} ${sweep_options:-${train_options}}}"
export long_cmd train_cmd sweep_cmd
