"""A ready k-means, public or our own, instead of a fitted one."""

from __future__ import annotations

import logging
from pathlib import Path

from espnet_entropy.tokenizer.config import TokenizerConfig
from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.tokenizer.fit import is_finished
from espnet_entropy.tokenizer.kmeans import WEIGHTS, KMeansQuantizer
from espnet_entropy.tokenizer.pickles import read_kmeans
from espnet_entropy.tokenizer.tokenizer import Tokenizer
from espnet_entropy.utils.config import load_config
from espnet_entropy.utils.files import fingerprint, sha256_file


def read_quantizer(source: str | Path, device: str = "cpu") -> KMeansQuantizer:
    """A k-means from a public file or from a directory of our own.

    Args:
        source: pickle of a scikit-learn k-means (see ``tokenizer.pickles``), or a directory
            with ``quantizer.safetensors`` and ``quantizer.yaml``.
        device: where to compute.

    Raises:
        ValueError: if it is missing, damaged or refused.
    """
    source = Path(source)
    if source.is_dir():
        quantizer = KMeansQuantizer.load(source, device)
        quantizer.info.pop("fit_key", None)  # of the tokenizer there
        return quantizer
    centroids, kind = read_kmeans(source)
    info = {"origin": source.name, "origin_class": kind, "origin_sha256": sha256_file(source)}
    try:
        return KMeansQuantizer(centroids, device, info)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def adopt(
    config: TokenizerConfig, source: str | Path, out: str | Path, device: str = "cpu"
) -> Tokenizer:
    """Write the tokenizer whose codebook is a ready k-means, unless it is there already.

    Args:
        config: the features that the k-means was made for. Its K is checked where the
            configuration says that a ready k-means is taken.
        source: as in :func:`read_quantizer`.
        out: directory of the tokenizer.
        device: where to compute.

    Raises:
        ValueError: if the k-means cannot be read, its width or K is not that of the
            configuration, or ``out`` holds another tokenizer.
    """
    quantizer = read_quantizer(source, device)
    features = build_features(config.features, config.features_conf, device)
    if features.dim != quantizer.dim:
        raise ValueError(
            f"{source}: centroids of {quantizer.dim} dimensions, but the features "
            f"'{features.name}' have {features.dim}; name the features that this k-means was "
            "made for."
        )
    options = config.quantizer_conf
    if options.pretrained and options.num_clusters not in (None, quantizer.num_clusters):
        raise ValueError(
            f"{source}: {quantizer.num_clusters} clusters, but quantizer_conf says num_clusters: "
            f"{options.num_clusters}; leave num_clusters out, or name another k-means."
        )
    weights = Path(source) / WEIGHTS if Path(source).is_dir() else source
    key = fingerprint({"features": features.fingerprint, "pretrained": sha256_file(weights)})
    if is_finished(out, key):
        logging.info("%s: the tokenizer is finished", out)
        return Tokenizer.from_pretrained(out, device)
    quantizer.info["fit_key"] = key
    tokenizer = Tokenizer(features, quantizer)
    tokenizer.save(out)
    _log(out, quantizer)
    return tokenizer


def convert(
    source: str | Path, out: str | Path, config: str | Path | None = None
) -> KMeansQuantizer:
    """Write the quantizer of ``source`` to ``out``.

    Args:
        source: as in :func:`read_quantizer`.
        out: directory to write.
        config: ``conf/tokenizer.yaml`` whose features the k-means was made for; with it ``out``
            becomes a whole tokenizer, as :func:`adopt` makes it.

    Raises:
        ValueError: as in :func:`adopt`.
    """
    if config is not None:
        return adopt(load_config(TokenizerConfig, config), source, out).quantizer
    quantizer = read_quantizer(source)
    quantizer.save(out)
    _log(out, quantizer)
    return quantizer


def _log(out: str | Path, quantizer: KMeansQuantizer) -> None:
    kind = quantizer.info.get("origin_class", "k-means")
    logging.info("%s: %s, K = %d, D = %d", out, kind, quantizer.num_clusters, quantizer.dim)
