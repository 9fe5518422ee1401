"""What the tables of mistakes break: small audio files, data directories, models, dumps."""

import os
import pickle
import shutil
import struct
import subprocess
import sys

import kaldiio
import numpy as np
import soundfile
import torch
import yaml
from safetensors.numpy import save_file

from espnet_entropy.compressor import ModelDirectory
from espnet_entropy.entropy_lm.model import EntropyLM, EntropyLMConfig
from espnet_entropy.segmenter.calibrate import calibrate_plan
from espnet_entropy.segmenter.config import CalibrationPlan, Default, SegmenterConfig
from espnet_entropy.segmenter.scored import read_scored
from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.tokenizer import Tokenizer

K = 8


class Bomb:
    """A pickle that makes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def call(module, *args):
    """A command in this process."""
    module.main(list(map(str, args)))


def bash(*words, cwd, **env):
    """Raise what a script prints to stderr before it stops."""
    base = {"PATH": os.environ["PATH"], "ESPNET_ENTROPY_PYTHON": sys.executable}
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, cwd=cwd, env=base | env, check=False
    )
    assert done.returncode in (1, 2), done
    raise ValueError(done.stderr.strip())


def noise(seconds=0.5, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, int(16000 * seconds)).astype(np.float32)


def write_wav(path, samples=None, subtype="PCM_16", rate=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise() if samples is None else samples, rate, subtype=subtype)
    return path


def write_data(path, **files):
    """A good data directory of three utterances, some files replaced (``wav_scp="…"``)."""
    wavs = [write_wav(path.parent / f"{name}.wav", noise(seed=i)) for i, name in enumerate("abc")]
    content = {
        "wav_scp": "".join(f"{wav.stem} {wav}\n" for wav in wavs),
        "utt2spk": "a s\nb s\nc s\n",
        "spk2utt": "s a b c\n",
    }
    path.mkdir(parents=True, exist_ok=True)
    for name, text in (content | files).items():
        if text is not None:
            mode = "wb" if isinstance(text, bytes) else "w"
            with open(path / name.replace("_scp", ".scp"), mode) as stream:
                stream.write(text)
    return path


def write_yaml(path, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def edit_yaml(path, **content):
    return write_yaml(path, **(yaml.safe_load(path.read_text()) | content))


def make_model(root, seed=0):
    """Tokenizer, LM, scored dump and model directory of toy size below ``root``."""
    features = build_features("mfcc")
    rng = np.random.default_rng(seed)
    tokenizer = Tokenizer(features, KMeansQuantizer(rng.normal(size=(K, 39)).astype(np.float32)))
    tokenizer.save(root / "tokenizer")
    torch.manual_seed(seed)
    lm = EntropyLM(EntropyLMConfig(K, width=16, layers=1, heads=2, ffn=16, context=32))
    lm.save(root / "lm", tokenizer.fingerprint, {})
    units = {f"u{i}": rng.integers(0, K, 200).astype(np.int32) for i in range(4)}
    write_dump(root / "units", "units", units, tokenizer=tokenizer.fingerprint, num_clusters=K)
    scored = {
        utt: np.stack([found, rng.random(len(found)) * 3], 1).astype(np.float32)
        for utt, found in units.items()
    }
    meta = {"tokenizer": tokenizer.fingerprint, "entropy_lm": lm.fingerprint, "num_clusters": K}
    write_dump(root / "scored", "scored", scored, **meta)
    plan = CalibrationPlan(Default("global", 15.0), [SegmenterConfig("global")], [15.0])
    calibrate_plan(read_scored(root / "scored"), plan).save(root / "calibration.yaml")
    write_yaml(
        root / "segmenter.yaml",
        criteria=[{"criterion": "global"}],
        rates=[15],
        default={"criterion": "global", "rate": 15},
    )
    parts = (root / "tokenizer", root / "lm", root / "calibration.yaml")
    ModelDirectory.assemble(root / "model", *parts, criterion="global", rate=15.0, card="# Toy\n")


def write_dump(path, name, arrays, **meta):
    path.mkdir(parents=True, exist_ok=True)
    with kaldiio.WriteHelper(f"ark,scp:{path}/{name}.ark,{path}/{name}.scp") as writer:
        for utt, array in arrays.items():
            writer(utt, array)
    samples = {utt: 400 + 320 * (len(array) - 1) for utt, array in arrays.items()}
    lines = [f"{utt} {count}\n" for utt, count in samples.items()]
    (path / "utt2num_samples").write_text("".join(lines))
    write_yaml(path / "meta.yaml", **meta)
    return path


def copy(source, target):
    """``source`` (file or directory) copied to ``target``, which a row then spoils."""
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    return target


def cut(path, size):
    """Keep the first ``size`` bytes of a file."""
    path.write_bytes(path.read_bytes()[:size])
    return path


def write_quantizer(path, centroids):
    save_file({"centroids": centroids}, path / "quantizer.safetensors")


def write_hubert(path, bomb=None):
    """A HuBERT of toy size; with ``bomb`` its weights are a pickle that would make that file."""
    from transformers import HubertConfig

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    HubertConfig(**small, intermediate_size=16).save_pretrained(path)
    (path / "preprocessor_config.json").write_text('{"do_normalize": false}')
    if bomb is not None:
        (path / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(bomb), protocol=2))
    return path


def write_bomb(path, bomb):
    """A pickle that would make the file ``bomb``."""
    path.write_bytes(pickle.dumps(Bomb(bomb)))
    return path


def write_kmeans(path, centroids):
    """What scikit-learn's k-means looks like in a pickle."""
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(len(centroids))
    model.cluster_centers_ = centroids
    path.write_bytes(pickle.dumps(model))
    return path


def wav_header(rate, channels):
    """A WAV header of 16-bit samples."""
    block = 2 * channels
    chunk = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * block, block, 16)
    return b"RIFF" + struct.pack("<I", 1 << 20) + b"WAVE" + chunk + struct.pack("<4sI", b"data", 0)


def write_bytes(path, content):
    path.write_bytes(content)
    return path


def write_text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def write_textgrid(path, *tiers):
    """A TextGrid of one second with empty tiers of these names."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", "xmax = 1"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, name in enumerate(tiers, start=1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"']
        lines += [f'        name = "{name}"', "        xmin = 0", "        xmax = 1"]
        lines += ["        intervals: size = 1", "        intervals [1]:"]
        lines += ["            xmin = 0", "            xmax = 1", '            text = "a"']
    return write_text(path, "\n".join(lines) + "\n")


def write_checkpoint(exp, bomb, dedup=False):
    """ESPnet's output directory whose weights are a pickle that would make the file ``bomb``."""
    meta = {"tokenizer": "t", "num_clusters": K, "context": 2048, "dedup": dedup}
    packed = write_yaml(exp.parent / "packed/meta.yaml", **meta).parent
    write_yaml(
        exp / "config.yaml",
        lm="entropy_lm",
        lm_conf={"width": 16, "layers": 1, "heads": 2, "ffn": 16},
        token_list=[*map(str, range(K)), "<sos/eos>"],
        train_data_path_and_name_and_type=[[f"{packed}/packed.scp", "text", "kaldi_ark"]],
    )
    torch.save(Bomb(bomb), exp / "valid.loss.best.pth")
    return exp


def edit_text(path, old, new):
    return write_text(path, path.read_text().replace(old, new))
