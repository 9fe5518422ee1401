"""The ASR driver from a scored dump to its report; and what makes a stage stale."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_compressor import assemble, make_parts
from toy_recognizer import write_dump

from espnet_entropy.utils.scp import read_scp, write_scp

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
ROOT = Path(__file__).resolve().parents[2]

RUN = f"""#!/usr/bin/env bash
cd "$(dirname "${{BASH_SOURCE[0]}}")"
{ROOT}/egs2/TEMPLATE/asr1/asr.sh --token_type char --n_average 1 "$@"
"""
TRAIN = """
frontend: units
frontend_conf: {model: ../units1/exp/compressor}
encoder: cale
encoder_conf: {width: 16, layers: 1, heads: 2}
decoder: transformer
decoder_conf: {attention_heads: 2, linear_units: 32, num_blocks: 1}
model_conf: {ctc_weight: 0.3, lsm_weight: 0.1, length_normalized_loss: false}
batch_type: sorted
batch_size: 4
max_epoch: 2
num_workers: 0
optim: adamw
optim_conf: {lr: 1.0e-2}
best_model_criterion: [[valid, acc, max]]
keep_nbest_models: 1
use_tensorboard: false
use_matplotlib: false
"""
SETS = {"train": 12, "valid": 4, "test": 3}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """``units1`` as if it had run, one test utterance lost on its way, and ``asr1`` beside it."""
    root = tmp_path_factory.mktemp("corpus")
    units, asr = root / "units1", root / "asr1"
    (units / "exp").mkdir(parents=True)
    (asr / "conf").mkdir(parents=True)
    parts = root / "parts"
    parts.mkdir()
    make_parts(parts)
    assemble(parts).rename(units / "exp/compressor")
    rng = np.random.default_rng(0)
    for name, count in SETS.items():
        words = {f"{name}{i}": "AB BA" if i % 2 else "BA" for i in range(count)}
        (units / "data" / name).mkdir(parents=True)
        write_scp(units / "data" / name / "text", words)
        write_scp(units / "data" / name / "utt2spk", {utt: utt for utt in words})
        scored = {
            utt: np.stack([rng.integers(0, 20, 60), 3 * rng.random(60)], 1).astype(np.float32)
            for utt in words
            if utt != "test2"
        }
        write_dump(units / "dump/scored" / name, scored, units / "exp/compressor")
    (units / "run.sh").write_text("#!/usr/bin/env bash\necho units1 is asked >&2\n")
    (asr / "run.sh").write_text(RUN)
    for script in (units / "run.sh", asr / "run.sh"):
        script.chmod(0o755)
    (asr / "conf/train_asr.yaml").write_text(TRAIN)
    (asr / "conf/inference_asr.yaml").write_text("beam_size: 2\nmax_length: 12\n")
    return asr


def run(recipe, *options):
    done = subprocess.run(
        [recipe / "run.sh", *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ESPNET_ENTROPY_PYTHON": sys.executable},
    )
    return done.returncode, done.stdout + done.stderr


def test_from_dump_to_report_and_what_makes_it_stale(recipe):
    status, log = run(recipe)
    assert status == 0, log[-3000:]
    exp = recipe / "exp/asr_train_asr"
    score = json.loads((exp / "decode/test/score.json").read_text())
    assert set(read_scp(exp / "decode/test/text", allow_empty=True)) == {"test0", "test1"}
    # the utterance that got lost before it could be decoded is in the WER: all of it deleted
    assert "test2" in json.dumps(score)
    counts = json.loads((exp / "decode/test/per_utt.json").read_text())
    assert "test2" in json.dumps(counts)
    assert (exp / "report/README.md").is_file()

    status, log = run(recipe)
    assert status == 0, log[-3000:]
    again = [line for line in log.splitlines() if " stage " in line]
    assert again
    assert all("done before" in line for line in again), again
    assert "units1 is asked" in log  # its own stages know whether they are done

    calibration = recipe.parent / "units1/exp/compressor/calibration.yaml"
    text = calibration.read_text()
    calibration.write_text(text + "# other thresholds\n")
    status, log = run(recipe)
    assert status == 2
    assert "stage train was made from something else" in log
    assert "calibration.yaml has changed" in log
    calibration.write_text(text)

    status, log = run(recipe, "--valid_set", "test")
    assert status == 2
    assert "stage train was made from something else: settings were 'train valid" in log
