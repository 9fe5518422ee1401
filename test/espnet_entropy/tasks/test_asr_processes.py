"""ASR training through the real command: killed and resumed, and two processes as one."""

import os
import signal
import time

import pytest
import toy_training
from toy_training import losses, make_corpus, options, write_config

pytestmark = pytest.mark.slow  # importing espnet2.tasks takes 12-17 s


def start(root, exp, *more):
    return toy_training.start("asr_train", exp, options(root, exp, *more))


def test_training_resumes_after_sigkill_and_two_processes_train_as_one(tmp_path):
    root = make_corpus(tmp_path, train=24)
    # normalized by length, a batch would not be the mean of its halves
    write_config(root, max_epoch=12, model_conf={"ctc_weight": 0.0})
    whole, killed, both = root / "whole", root / "killed", root / "both"
    undisturbed, process = start(root, whole), start(root, killed)
    while process.poll() is None and not (killed / "2epoch.pth").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert undisturbed.wait() == 0, (whole / "log").read_text()[-3000:]
    assert not (killed / "12epoch.pth").exists(), "too fast to be killed"
    assert start(root, killed).wait() == 0, (killed / "log").read_text()[-3000:]
    assert "The training was resumed" in (killed / "log").read_text()
    assert losses(killed) == losses(whole)
    assert losses(whole)[12][0] < losses(whole)[1][0]
    best = min(losses(whole), key=lambda epoch: (losses(whole)[epoch][1], epoch))
    assert os.readlink(whole / "valid.loss.best.pth") == f"{best}epoch.pth"

    # DDP averages the gradients of the halves of each batch; no utterance, nor its padding, may
    # depend on the rest of its batch
    rendezvous = ["--dist_backend", "gloo", "--dist_world_size", "2", "--dist_init_method",
                  f"file://{root / 'rendezvous'}", "--max_epoch", "3"]  # fmt: skip
    ranks = [start(root, both, *rendezvous, "--dist_rank", str(r)) for r in (0, 1)]
    assert [rank.wait() for rank in ranks] == [0, 0], (both / "log").read_text()[-3000:]
    for epoch in (1, 2, 3):
        assert losses(both)[epoch] == pytest.approx(losses(whole)[epoch], rel=1e-4)
    assert ":0/2]" in (both / "log").read_text()  # rank 0 of 2 in ESPnet's log lines
