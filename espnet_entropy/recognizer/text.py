"""Text tokens to text, as ESPnet's tokenizers do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from espnet_entropy.utils.config import check_choice

SPACE = "<space>"
Joiner = Callable[[list[str]], str]


def text_joiner(config: Mapping[str, Any], where: str) -> Joiner:
    """What makes text of tokens.

    Args:
        config: ``config.yaml`` of a training: ``token_type`` and ``bpemodel``.
        where: the file, for messages.

    Raises:
        ValueError: for another token type, or a BPE model that is missing or damaged.
    """
    kind = check_choice(str(config.get("token_type")), ("bpe", "char", "word"), "token_type", where)
    if kind == "char":
        return lambda tokens: "".join(" " if token == SPACE else token for token in tokens)
    if kind == "word":
        return " ".join
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.Load(str(config.get("bpemodel")))
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"{where}: bpemodel: {config.get('bpemodel')}: missing or damaged; "
            "copy it again, or make it anew (stage 'token_list', then 'average')."
        ) from error
    return lambda tokens: str(processor.DecodePieces(tokens))
