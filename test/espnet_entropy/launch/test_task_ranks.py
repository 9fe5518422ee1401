"""What an srun's ranks have noted of how they ended."""

import os
import threading

from espnet_entropy.launch import task


def note(folder, rank, code, seconds):
    """What a rank leaves behind, so many seconds after the first."""
    folder.mkdir(exist_ok=True)
    (folder / f".{rank}").write_text(f"{code}\n")
    os.utime(folder / f".{rank}", (1000 + seconds, 1000 + seconds))
    (folder / f".{rank}").rename(folder / str(rank))


def test_the_rank_that_failed_first_counts_though_its_note_comes_last(tmp_path):
    """As on a network file system; the other rank was ended because of it."""
    note(tmp_path, 0, 143, seconds=2)
    late = threading.Timer(1.0, note, (tmp_path, 1, 3, 1))
    late.start()
    assert task._ask_ranks(tmp_path, 2, 143) == (3, "rank 1 ended with code 3")
    late.join()


def test_a_rank_that_was_told_to_end_counts_before_one_that_missed_it(tmp_path):
    note(tmp_path, 0, 1, seconds=2)
    note(tmp_path, 1, 143, seconds=1)
    code, why = task._ask_ranks(tmp_path, 2, 1)
    assert code == 143
    assert why.startswith("rank 1 ended with code 143")


def test_ranks_that_ended_well_and_one_that_was_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(task, "PATIENCE", 0.0)
    note(tmp_path, 0, 0, seconds=0)
    assert task._ask_ranks(tmp_path, 1, 0) == (0, "")
    code, why = task._ask_ranks(tmp_path, 2, 0)
    assert (code, why) == (1, "srun ended with 0, but rank(s) 1 did not end well")
