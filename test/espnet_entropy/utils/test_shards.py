import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaldiio import load_scp

from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.files import fingerprint
from espnet_entropy.utils.shards import (
    MOST_SHARDS,
    Job,
    ShardedArk,
    ShardPlan,
    plan_key,
    plan_shards,
)


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 60))
def test_plan_keeps_every_utterance_in_order_and_fills_shards(sizes, shard_size):
    corpus = {f"u{i:03d}": size for i, size in enumerate(sizes)}
    plan = plan_shards(corpus, shard_size)
    assert [utt for shard in plan for utt in shard] == list(corpus)
    for shard in plan[:-1]:
        assert sum(corpus[u] for u in shard) >= shard_size
        assert sum(corpus[u] for u in shard[:-1]) < shard_size


def test_a_large_corpus_has_larger_shards_not_more():
    sizes = {f"u{i}": 5 + i % 7 for i in range(3 * MOST_SHARDS)}
    plan = plan_shards(sizes, 6)
    assert [utt for shard in plan for utt in shard] == list(sizes)
    assert 0.5 * MOST_SHARDS < len(plan) <= MOST_SHARDS
    few = dict(list(sizes.items())[:MOST_SHARDS])
    assert len(plan_shards(few, 1)) == MOST_SHARDS  # as small as they were asked for


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1), min_size=1)
    )
)
def test_a_plan_is_the_list_that_it_stands_for(shards):
    plan = ShardPlan()
    for shard in shards:
        plan.append(shard)
    assert list(plan) == shards == plan[:]
    assert plan[-2:] == shards[-2:]
    assert [plan[i] for i in range(-len(shards), 0)] == shards
    with pytest.raises(IndexError):
        plan[len(shards)]
    # dumps that were made when plans were lists are known again
    assert plan_key("key ü", plan) == fingerprint({"key": "key ü", "shards": shards})


def make(utts):
    for utt in utts:
        n = int(utt[1:])
        yield utt, np.full((n, 2), n, dtype=np.float32)


PLAN = [["u1", "u2"], ["u3"], ["u4", "u5"]]


def test_shards_merge_in_order_whatever_the_number_of_jobs(tmp_path):
    for nj in (1, 2, 3):
        ark = ShardedArk(tmp_path / str(nj), "scored", PLAN, "key")
        for job in reversed(range(1, nj + 1)):
            ark.run(make, ark.pending(Job(job, nj)))
        assert list(ark.merge()) == ["u1", "u2", "u3", "u4", "u5"]
        read = load_scp(str(tmp_path / str(nj) / "scored.scp"))
        assert all((read[utt] == int(utt[1:])).all() for utt in read)
    first = (tmp_path / "1/shards/scored.3.ark").read_bytes()
    assert first == (tmp_path / "3/shards/scored.3.ark").read_bytes()


@given(
    st.lists(st.lists(st.integers(1, 1000), max_size=30), min_size=1, max_size=5),
    st.integers(1, 12),
)
def test_jobs_share_everything_once_and_no_job_has_one_shard_too_much(sets, nj):
    jobs = [Job(number, nj) for number in range(1, nj + 1)]
    loads = [0] * nj
    for sizes in sets:
        shares = [job.share(sizes) for job in jobs]
        assert sorted(index for share in shares for index in share) == list(range(len(sizes)))
        assert all(share == sorted(share) for share in shares)
        for number, share in enumerate(shares):
            loads[number] += sum(sizes[index] for index in share)
    largest = max((size for sizes in sets for size in sizes), default=0)
    assert max(loads) - min(loads) <= largest


def test_many_small_sets_are_shared_too():
    jobs = [Job(number, 2) for number in (1, 2)]
    shares = [[job.share([size]) for job in jobs] for size in (5, 3, 1, 1)]
    assert shares == [[[0], []], [[], [0]], [[], [0]], [[], [0]]]


def test_there_is_no_such_job():
    with pytest.raises(ValueError, match=r"job: expected 1\.\.2, got 3"):
        Job(3, 2)


def test_shards_weigh_what_their_utterances_do(tmp_path):
    sizes = {"u1": 1, "u2": 2, "u3": 9, "u4": 3, "u5": 3}
    ark = ShardedArk(tmp_path, "scored", PLAN, "key", sizes)
    assert [ark.pending(Job(number, 2)) for number in (1, 2)] == [[1], [0, 2]]


def test_finished_shards_are_kept_and_missing_ones_are_named(tmp_path):
    ark = ShardedArk(tmp_path, "scored", PLAN, "key")
    ark.write(1, make(PLAN[1]))
    assert ark.pending() == [0, 2]
    with pytest.raises(ValueError, match=r"lacks shard\(s\) 1, 3"):
        ark.merge()


def test_an_exception_inside_a_shard_leaves_it_pending(tmp_path):
    ark = ShardedArk(tmp_path, "scored", PLAN, "key")

    def breaks(utts):
        yield from make(utts[:1])
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        ark.write(0, breaks(PLAN[0]))
    assert ark.pending() == [0, 1, 2]


def test_what_a_killed_run_left_goes_when_its_shard_is_written(tmp_path):
    ark = ShardedArk(tmp_path, "scored", [["u1"]] * 11, "key")
    ark.pending()  # makes the directory
    left = [f".scored.{i}.ark.abcd.tmp" for i in (1, 11)]
    for name in left:
        (tmp_path / "shards" / name).touch()
    ark.write(0, make(["u1"]))
    assert [path.name for path in (tmp_path / "shards").glob(".*")] == left[1:]


def test_shards_of_another_model_are_refused(tmp_path):
    ShardedArk(tmp_path, "scored", PLAN, "key").run(make)
    with pytest.raises(ValueError, match="of another model or utterance list"):
        ShardedArk(tmp_path, "scored", PLAN, "other").pending()


def test_failed_utterances_are_listed_counted_and_limited(tmp_path):
    ark = ShardedArk(tmp_path, "scored", PLAN, "key")
    ark.run(
        lambda utts: (
            (u, ValueError("bad\nfile")) if u == "u2" else p for p in make(utts) for u in [p[0]]
        )
    )
    with pytest.raises(
        ValueError, match=r"1 of 5 utterances failed.*tolerated 5.0%(?s:.*)u2: bad file"
    ):
        ark.merge()
    assert list(ark.merge(max_failed=0.2)) == ["u1", "u3", "u4", "u5"]
    assert (tmp_path / "scored.failed").read_text() == "u2 bad file\n"


def test_an_error_that_says_nothing_is_named_by_its_type(tmp_path):
    ark = ShardedArk(tmp_path, "scored", [["u1", "u2"]], "key")
    ark.run(lambda utts: [("u1", MemoryError()), *make(["u2"])])
    ark.merge(max_failed=0.5)
    assert (tmp_path / "scored.failed").read_text() == "u1 MemoryError\n"


def test_all_failed_is_never_tolerated():
    log = FailureLog("x", None, max_failed=1.0)
    log.add("a", "broken")
    with pytest.raises(ValueError, match="1 of 1"):
        log.close(total=1)


def test_the_digest_sees_content_that_offsets_do_not(tmp_path):
    digests = {}
    for value in (1, 2):
        ark = ShardedArk(tmp_path / str(value), "units", [["a"], ["b"]], "key")
        ark.run(lambda utts, value=value: ((u, np.full(3, value, np.int32)) for u in utts))
        entries = ark.merge()
        offsets = [where.rsplit(":", 1)[1] for where in entries.values()]
        digests[value] = (offsets, (tmp_path / str(value) / "units.sha256").read_text())
    assert digests[1][0] == digests[2][0]
    assert digests[1][1] != digests[2][1]
