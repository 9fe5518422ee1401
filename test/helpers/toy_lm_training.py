"""Units of a toy chain and a configuration for the LM task, and trainings of it in forks."""

import importlib
import multiprocessing
import os
import uuid
from pathlib import Path

import kaldiio
import numpy as np

K = 5
TRAINER = "espnet_entropy.bin.lm_train"
CONFIG = (
    "lm: entropy_lm\n"
    "lm_conf: {width: 16, layers: 1, heads: 2, ffn: 16, context: 32}\n"
    "use_preprocessor: false\nbatch_type: sorted\nbatch_size: 4\nmax_epoch: 12\n"
    "num_workers: 0\noptim: adamw\noptim_conf: {lr: 1.0e-2}\n"
    "scheduler: warmupcosinelr\nscheduler_conf: {warmup_steps: 5, total_steps: 40}\n"
    "best_model_criterion: [[valid, loss, min]]\nkeep_nbest_models: 1\n"
    "use_tensorboard: false\nuse_matplotlib: false\nlog_interval: 1\n"
)


def make_units(root: Path) -> None:
    """``train`` and ``valid`` of a first-order chain: 0 1 2 3 4 0 1 .. with jumps."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 60), ("valid", 10)):
        directory = root / name
        directory.mkdir(parents=True)
        target = f"ark,scp:{directory / 'units.ark'},{directory / 'units.scp'}"
        with kaldiio.WriteHelper(target) as writer:
            for i in range(count):
                steps = rng.choice([1, 2], size=rng.integers(5, 30), p=[0.9, 0.1])
                writer(f"{name}{i}", (np.cumsum(steps) % K).astype(np.int32))
        (directory / "meta.yaml").write_text(f"tokenizer: tok\nnum_clusters: {K}\n")


def options(config: Path, packed: Path, exp: Path, *more: str) -> list[str]:
    """The command line of ``bin/lm_train``."""
    made = ["--config", str(config), "--output_dir", str(exp), "--ngpu", "0", "--resume", "true"]
    made += ["--token_list", str(packed / "train/tokens.txt")]
    for name in ("train", "valid"):
        made += [f"--{name}_data_path_and_name_and_type", f"{packed / name}/packed.scp,text,units"]
        made += [f"--{name}_shape_file", f"{packed / name}/text_shape"]
    return [*made, *more]


def _train(log: Path, words: list[str]) -> None:
    with open(log, "ab") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    importlib.import_module(TRAINER).main(words)


def fork(world: int, exp: Path, words: list[str]) -> list[multiprocessing.process.BaseProcess]:
    """``world`` processes that train as one, all forked from one that has imported ESPnet.

    Their words go to ``<exp>/log.<rank>``.
    """
    exp.mkdir(exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([TRAINER])
    more = ["--dist_backend", "gloo", "--dist_world_size", str(world)]
    more += ["--dist_init_method", f"file://{exp / uuid.uuid4().hex}"]
    made = []
    for rank in range(world):
        mine = [*words, *more, "--dist_rank", str(rank)] if world > 1 else words
        made.append(context.Process(target=_train, args=(exp / f"log.{rank}", mine)))
        made[-1].start()
    return made
