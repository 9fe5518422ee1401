"""Run a command in pieces, here or on a cluster.

``utils/run.pl JOB=1:N LOG COMMAND…`` becomes a plan of tasks and one job script that any
backend runs (``bash job.sh TASK``): :mod:`grammar <espnet_entropy.launch.grammar>` reads the
command line, :mod:`~espnet_entropy.launch.plan` writes plan and script into a hidden folder
beside the logs, a :mod:`~espnet_entropy.launch.backend` runs them, each under its
:mod:`~espnet_entropy.launch.task` supervisor, and :mod:`~espnet_entropy.launch.run` watches.
``utils/slurm.pl`` does the same with one Slurm array (:mod:`~espnet_entropy.launch.slurm`).

Those use the standard library only, on Linux: a launcher that starts in a blink, before any
environment. Above it, ``sweep`` and its parts train and score every row of a table through a
recipe's driver.
"""
