"""The links to the best epoch, when the trainer was killed before it could make them."""

import os

import pytest
import torch

from espnet_entropy.tasks.checkpoints import mend_links

CRITERIA = [("valid", "loss", "min"), (" valid", "acc ", " max")]


@pytest.fixture
def exp(tmp_path):
    """Three epochs, the second one the best, and links as a kill in it leaves them."""
    valid = [{"loss": 2.0, "acc": 0.5}, {"loss": 1.0, "acc": 0.7}, {"loss": 1.0, "acc": 0.7}]
    stats = {epoch: {"valid": values} for epoch, values in enumerate(valid, start=1)}
    torch.save({"reporter": {"stats": stats, "epoch": 3}}, tmp_path / "checkpoint.pth")
    for epoch in stats:
        (tmp_path / f"{epoch}epoch.pth").touch()
    (tmp_path / "valid.loss.best.pth").symlink_to("1epoch.pth")
    return tmp_path


def test_links_point_at_the_best_epoch_of_the_record(exp):
    mend_links(exp, CRITERIA)
    assert os.readlink(exp / "valid.loss.best.pth") == "2epoch.pth"
    assert os.readlink(exp / "valid.acc.best.pth") == "2epoch.pth"
    before = sorted(path.lstat().st_mtime_ns for path in exp.iterdir())
    mend_links(exp, CRITERIA)  # nothing is left to do
    assert sorted(path.lstat().st_mtime_ns for path in exp.iterdir()) == before


def test_a_best_epoch_that_was_removed_is_left_alone(exp):
    (exp / "2epoch.pth").unlink()
    mend_links(exp, CRITERIA[:1])
    assert os.readlink(exp / "valid.loss.best.pth") == "1epoch.pth"


def test_without_a_checkpoint_nothing_is_done(tmp_path):
    mend_links(tmp_path, CRITERIA)
    assert list(tmp_path.iterdir()) == []
