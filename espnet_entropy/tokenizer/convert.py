"""A public k-means file into our own format."""

from __future__ import annotations

import logging
from pathlib import Path

from espnet_entropy.tokenizer.config import TokenizerConfig
from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.pickles import read_kmeans
from espnet_entropy.tokenizer.tokenizer import Tokenizer
from espnet_entropy.utils.config import load_config
from espnet_entropy.utils.files import sha256_file


def convert(
    source: str | Path, out: str | Path, config: str | Path | None = None
) -> KMeansQuantizer:
    """Write the quantizer of ``source`` to ``out``.

    Args:
        source: pickle of a scikit-learn k-means (see ``tokenizer.pickles``).
        out: directory to write.
        config: ``conf/tokenizer.yaml`` whose features the k-means was made for; with it ``out``
            becomes a whole tokenizer.

    Raises:
        ValueError: if the file is refused, or the widths of k-means and features differ.
    """
    centroids, kind = read_kmeans(source)
    info = {"origin": Path(source).name, "origin_class": kind, "origin_sha256": sha256_file(source)}
    quantizer = KMeansQuantizer(centroids, info=info)
    if config is None:
        quantizer.save(out)
    else:
        options = load_config(TokenizerConfig, config)
        features = build_features(options.features, options.features_conf)
        if features.dim != quantizer.dim:
            raise ValueError(
                f"{source}: centroids of {quantizer.dim} dimensions, but the features "
                f"'{features.name}' of {config} have {features.dim}; name the features that this "
                "k-means was made for."
            )
        Tokenizer(features, quantizer).save(out)
    logging.info("%s: %s, K = %d, D = %d", out, kind, quantizer.num_clusters, quantizer.dim)
    return quantizer
