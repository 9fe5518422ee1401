"""A recognizer of toy size: MFCC, 20 clusters, random weights; as ESPnet leaves it, and packed."""

import datetime

import numpy as np
import torch
import yaml

from espnet_entropy.compressor import ModelDirectory
from espnet_entropy.recognizer.build import build_model
from espnet_entropy.tasks.frontend_conf import resolve_frontend
from espnet_entropy.utils.config import write_yaml
from espnet_entropy.utils.scp import write_scp
from espnet_entropy.utils.shards import ShardedArk

TOKENS = ["<blank>", "<unk>", "<space>", *"ABCDEFGH", "<sos/eos>"]
EPOCHS = {1: 0.2, 2: 0.5, 3: 0.4, 4: 0.5}  # accuracy; 2 and 4 tie


def make_config(model_dir, **changes):
    """ESPnet's ``config.yaml`` of a tiny training."""
    config = {
        "output_dir": "/home/somebody/exp",
        "token_list": TOKENS,
        "token_type": "char",
        "bpemodel": None,
        "frontend": "units",
        "frontend_conf": resolve_frontend({"model": str(model_dir)}),
        "specaug": None,
        "normalize": None,
        "encoder": "cale",
        "encoder_conf": {"width": 16, "layers": 1, "heads": 2},
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 2, "linear_units": 32, "num_blocks": 2},
        "model": "espnet",
        "model_conf": {"ctc_weight": 0.0},
        "best_model_criterion": [["valid", "acc", "max"]],
        "train_data_path_and_name_and_type": [["nowhere/scored.scp", "speech", "scored"]],
        "valid_data_path_and_name_and_type": [],
        "seed": 7,
    }
    return config | changes


def random_weights(config, seed):
    """A state whose texts differ: some empty, some cut, some neither."""
    torch.manual_seed(seed)
    model = build_model(config, config["token_list"], "test")
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            weight.mul_(4.5 if "src_attn" in name else 1.5)
        if name == "decoder.output_layer.bias":
            weight[-1] += 1.0  # <sos/eos>
    return model.state_dict()


def make_experiment(exp, model_dir, epochs=None, **changes):
    """What ESPnet leaves: config.yaml, <n>epoch.pth, checkpoint.pth."""
    epochs = EPOCHS if epochs is None else epochs
    exp.mkdir(parents=True)
    config = make_config(model_dir, **changes)
    (exp / "config.yaml").write_text(yaml.safe_dump(config))
    stats = {}
    for epoch, accuracy in epochs.items():
        torch.save(random_weights(config, epoch), exp / f"{epoch}epoch.pth")
        time = datetime.timedelta(seconds=30)
        stats[epoch] = {"train": {"time": time}, "valid": {"acc": np.float64(accuracy)}}
    torch.save({"reporter": {"epoch": max(epochs), "stats": stats}}, exp / "checkpoint.pth")
    return exp


def write_dump(directory, scored, model_dir, samples=None):
    """``dump/asr/<set>`` of utterances (N, 2)."""
    ark = ShardedArk(directory, "scored", [list(scored)], "key")
    ark.write(0, scored.items())
    ark.merge()
    samples = samples or {utt: 400 + 320 * (len(matrix) - 1) for utt, matrix in scored.items()}
    write_scp(directory / "utt2num_samples", samples)
    manifest = ModelDirectory.open(model_dir).manifest
    meta = {key: getattr(manifest, key) for key in ("tokenizer", "entropy_lm", "num_clusters")}
    write_yaml(directory / "meta.yaml", meta)
    return directory
