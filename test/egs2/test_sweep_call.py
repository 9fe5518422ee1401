"""What ``asr.sh --sweep`` hands to ``bin/sweep_asr``, by a Python that notes its arguments."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_entropy.bin import sweep_asr

DRIVER = Path(__file__).resolve().parents[2] / "egs2/TEMPLATE/asr1/asr.sh"
PYTHON = f"""#!/usr/bin/env bash
if [[ "${{2:-}}" == espnet_entropy.bin.* ]]; then
    printf '%s\\0' "${{@:2}}" $'\\n' >> calls
else
    exec {sys.executable} "$@"
fi
"""


@pytest.fixture
def call(tmp_path):
    """Calls the driver; returns module and arguments of each Python that it called."""
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / "conf").mkdir()
    for name in ("train_asr", "inference_asr"):
        (tmp_path / f"conf/{name}.yaml").touch()

    def run(*options):
        env = {**os.environ, "ESPNET_ENTROPY_PYTHON": str(python)}
        words = [DRIVER, "--sweep", "methods", *options]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines = (tmp_path / "calls").read_text().split("\0\n\0")
        (tmp_path / "calls").unlink()
        return [line.split("\0") for line in lines if line]

    return run


def parse(words):
    return sweep_asr.get_parser().parse_args(words[1 : words.index("--")])


def test_options_and_values_with_dashes(call):
    sweep, report = call("--asr_args", "--max_epoch=3", "--ngpu", "1", "--sweep_jobs", "2")
    args = parse(sweep)
    assert args.train_arguments.endswith(
        "text,text,text --valid_shape_file dump/asr/valid/speech_shape --max_epoch=3 "
    )
    assert args.launcher.endswith(" --gpu 1")
    assert args.jobs == 2
    assert sweep[sweep.index("--") + 1 :][1:] == [
        *("--sweep", "methods", "--asr_args", "--max_epoch=3", "--ngpu", "1", "--sweep_jobs", "2")
    ]
    assert report[0] == "espnet_entropy.bin.report_asr"


def test_a_plain_training_gets_the_words_that_a_sweep_measures(call, tmp_path):
    words = "--best_model_criterion \"[['valid', 'acc', 'max']]\" --resume=* --max_epoch 3"
    sweep, _ = call("--asr_args", words)
    asked = shlex.split(parse(sweep).train_arguments)
    assert asked[-5:] == shlex.split(words)
    read = ["exp/token_list/bpe_5000/tokens.txt", "../units1/exp/compressor/calibration.yaml"]
    for name in ("train", "valid"):
        read += [f"dump/asr/{name}/text", f"dump/asr/{name}/meta.yaml"]
        read += [f"../units1/dump/scored/{name}/scored.sha256"]
    for path in (tmp_path / file for file in read):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    plain = call("--sweep", "", "--stage", "train", "--stop_stage", "train", "--asr_args", words)
    (train,) = (made for made in plain if made[0] == "espnet_entropy.bin.asr_train")
    at = train.index("--seed") + 2
    assert train[at : at + len(asked)] == asked


@pytest.mark.parametrize(
    ("options", "stages", "table"),
    [
        ([], "data prepare token_list unit_bpe train average infer score report", True),
        (["--stop_stage", "train"], "data prepare token_list unit_bpe train", False),
        (["--stage", "infer"], "infer score report", True),
        (["--stage", "9"], "report", True),
    ],
)
def test_stages(call, options, stages, table):
    made = call(*options)
    assert parse(made[0]).stages == stages.split()
    assert len(made) == 1 + table
