#!/bin/sh
"exec" "${python:-python3}" "$0" "$@"  # path.sh sets it; for Python this line is a string
"""Runs a command in pieces on a Slurm cluster: slurm.pl [options] [JOB=1:N] LOG COMMAND...

The grammar of Kaldi's slurm.pl, in Python; see espnet_entropy/launch. ESPnet's launcher asks for
this name when it trains on several nodes.
"""

import os
import sys

if sys.version_info < (3, 10):
    sys.exit(
        "slurm.pl: error: Python 3.10 or newer is needed, python3 is %s (%s); source path.sh first."
        % (sys.version.split()[0], sys.executable)
    )
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

from espnet_entropy.launch.slurm import main

if __name__ == "__main__":
    sys.exit(main())
