"""Scoring a set in shards: contents, refusals, and the same bytes after SIGKILL."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch
import yaml

from espnet_entropy.bin import score_entropy as command
from espnet_entropy.entropy_lm.config import EntropyLMConfig
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.entropy_lm.scorer import EntropyScorer

K = 9


@pytest.fixture
def lm(tmp_path) -> EntropyLM:
    torch.manual_seed(0)
    model = EntropyLM(EntropyLMConfig(K, width=16, layers=1, heads=2, ffn=16, context=32))
    model.save(tmp_path / "lm", "tok", {})
    return model.eval()


@pytest.fixture
def units() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        f"utt{i:03d}": rng.integers(0, K, rng.integers(1, 90)).astype(np.int32) for i in range(60)
    }


def write_dump(directory: Path, units: dict[str, np.ndarray], tokenizer: str = "tok") -> Path:
    directory.mkdir()
    with kaldiio.WriteHelper(
        f"ark,scp:{directory / 'units.ark'},{directory / 'units.scp'}"
    ) as writer:
        for utt, values in units.items():
            writer(utt, values)
    (directory / "meta.yaml").write_text(f"tokenizer: {tokenizer}\nnum_clusters: {K}\n")
    samples = [f"{utt} {320 * len(u) + 80}\n" for utt, u in units.items()]
    (directory / "utt2num_samples").write_text("".join(samples))
    return directory


def options(tmp_path: Path, out: str, *more: str) -> list[str]:
    return ["--model", str(tmp_path / "lm"), "--units", str(tmp_path / "units"), "--out",
            str(tmp_path / out), "--shard_units", "500", *more]  # fmt: skip


def arks(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((directory / "shards").glob("*.ark"))}


def test_a_set_is_scored(tmp_path, lm, units):
    write_dump(tmp_path / "units", units)
    for job in ("1", "2"):
        command.main(options(tmp_path, "two", "--job", job, "--nj", "2"))
    command.main(options(tmp_path, "two", "--merge"))
    command.main(options(tmp_path, "one"))
    assert len(arks(tmp_path / "one")) > 3
    assert arks(tmp_path / "one") == arks(tmp_path / "two")
    scored = kaldiio.load_scp(str(tmp_path / "two/scored.scp"))
    assert list(scored) == list(units)
    for utt, values in units.items():
        assert scored[utt].dtype == np.float32
        assert (scored[utt][:, 0] == values).all()
        np.testing.assert_allclose(scored[utt][:, 1], EntropyScorer(lm).score(values), atol=1e-5)
    meta = yaml.safe_load((tmp_path / "two/meta.yaml").read_text())
    assert meta == {"tokenizer": "tok", "entropy_lm": lm.fingerprint, "num_clusters": K}
    samples = (tmp_path / "units/utt2num_samples").read_text()
    assert (tmp_path / "two/utt2num_samples").read_text() == samples


def test_a_bad_utterance_is_a_named_failure_and_nothing_else_changes(tmp_path, lm, units):
    good = dict(units)
    units |= {"utt005": np.array([K], np.int32), "utt006": np.array([], np.int32)}
    write_dump(tmp_path / "units", units)
    command.main(options(tmp_path, "out"))
    command.main(options(tmp_path, "out", "--merge"))
    scored = kaldiio.load_scp(str(tmp_path / "out/scored.scp"))
    assert set(good) - set(scored) == {"utt005", "utt006"}
    failed = (tmp_path / "out/scored.failed").read_text().splitlines()
    assert failed[0].startswith(f"utt005 units: unit {K} at position 0 is outside 0 .. {K - 1}")
    assert failed[1].startswith("utt006 units: expected a vector of at least one")
    assert "utt005" not in (tmp_path / "out/utt2num_samples").read_text()


def test_units_of_another_tokenizer_are_refused(tmp_path, lm, units):
    write_dump(tmp_path / "units", units, tokenizer="other")
    with pytest.raises(ValueError, match=r"made by tokenizer other, but .* trained for tok"):
        command.main(options(tmp_path, "out"))


def test_missing_parts_are_named(tmp_path, lm, units):
    dump = write_dump(tmp_path / "units", units)
    with pytest.raises(ValueError, match=r"lacks shard\(s\) 1, 2"):
        command.main(options(tmp_path, "out", "--merge"))
    (dump / "utt2num_samples").write_text("utt000 1000\n")
    with pytest.raises(ValueError, match=r"no number of samples for 59 utterance\(s\), utt001"):
        command.main(options(tmp_path, "out"))
    (tmp_path / "lm/config.yaml").unlink()
    with pytest.raises(ValueError, match="export the entropy LM there first"):
        command.main(options(tmp_path, "out"))


def test_shards_of_another_model_are_refused(tmp_path, lm, units):
    write_dump(tmp_path / "units", units)
    command.main(options(tmp_path, "out"))
    lm.head.weight.data += 1
    lm.save(tmp_path / "lm", "tok", {})
    with pytest.raises(ValueError, match="of another model"):
        command.main(options(tmp_path, "out"))


def test_products_of_two_types_do_not_mix(tmp_path, lm, units):
    write_dump(tmp_path / "units", units)
    for asked, other in (("float32", "bfloat16"), ("bfloat16", "float32")):
        command.main(options(tmp_path, asked, "--dtype", asked))
        message = f"holds scores by {asked} products, but {other} is asked .*give '--dtype {asked}'"
        for more in ([], ["--merge"]):
            with pytest.raises(ValueError, match=message):
                command.main(options(tmp_path, asked, "--dtype", other, *more))
        command.main(options(tmp_path, asked, "--dtype", asked, "--merge"))
        meta = yaml.safe_load((tmp_path / asked / "meta.yaml").read_text())
        assert meta.get("dtype", "float32") == asked
        assert meta["entropy_lm"] == lm.fingerprint
    assert "dtype" not in yaml.safe_load((tmp_path / "float32/meta.yaml").read_text())
    assert arks(tmp_path / "float32") != arks(tmp_path / "bfloat16")


@pytest.mark.slow
def test_killed_and_run_again_the_bytes_are_the_same(tmp_path, lm, units):
    write_dump(tmp_path / "units", units)
    command.main(options(tmp_path, "whole"))
    wanted = arks(tmp_path / "whole")
    program = [sys.executable, "-m", "espnet_entropy.bin.score_entropy"]
    for attempt in range(5):  # it may end before the kill comes
        out = f"killed{attempt}"
        process = subprocess.Popen(program + options(tmp_path, out), env=os.environ)
        while process.poll() is None and not list((tmp_path / out / "shards").glob("*.scp")):
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        killed = process.wait() == -signal.SIGKILL
        finished = {path.stem for path in (tmp_path / out / "shards").glob("*.scp")}
        if killed and len(finished) < len(wanted):
            break
    else:
        pytest.fail("always too fast to be killed")
    kept = {name: (tmp_path / out / "shards" / f"{name}.ark").stat().st_ino for name in finished}
    assert kept
    command.main(options(tmp_path, out))
    assert arks(tmp_path / out) == wanted
    for name, inode in kept.items():  # what is finished is not made again
        assert (tmp_path / out / "shards" / f"{name}.ark").stat().st_ino == inode
