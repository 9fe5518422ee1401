"""Text tokens of a training set: characters, or sentencepiece's BPE, as ESPnet lists them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.scp import read_scp

BLANK, UNKNOWN, SPACE, END = "<blank>", "<unk>", "<space>", "<sos/eos>"
MAX_SENTENCES = 2_000_000  # drawn from a larger text, so that memory stays bounded


def make_token_list(text: str | Path, kind: str, size: int, out: str | Path) -> int:
    """Write ``<out>/tokens.txt`` and for BPE ``<out>/bpe.model``; the same text gives the same.

    Args:
        text: Kaldi's ``text`` of the training set.
        kind: ``char`` or ``bpe``.
        size: BPE pieces, at most; a small text has fewer.
        out: the directory.

    Returns:
        Number of tokens, ``<blank>``, ``<unk>`` and ``<sos/eos>`` included.

    Raises:
        ValueError: for another kind, a size too small for the text's characters, or no text.
    """
    if kind not in ("char", "bpe"):
        raise ValueError(f"token type: expected char or bpe, got '{kind}'.")
    sentences = [line for line in read_scp(text, allow_empty=True).values() if line]
    if not sentences:
        raise ValueError(f"{text}: no text; expected '<utt> <text>' lines of the training set.")
    out = Path(out)
    if kind == "char":
        tokens = characters(sentences)
    else:
        model = train_bpe(sentences, size, str(text))
        tokens = pieces(model)
        with atomic_write(out / "bpe.model", "wb") as stream:
            stream.write(model)
    tokens = [BLANK, UNKNOWN, *tokens, END]
    with atomic_write(out / "tokens.txt") as stream:
        stream.writelines(f"{token}\n" for token in tokens)
    return len(tokens)


def characters(sentences: Iterable[str]) -> list[str]:
    """Characters by falling frequency, the space as ``<space>``.

    Example:
        >>> characters(["AB B", "B C"])
        ['B', '<space>', 'A', 'C']
    """
    counts = Counter(char for sentence in sentences for char in sentence)
    ordered = sorted(counts, key=lambda char: (-counts[char], char))
    return [SPACE if char == " " else char for char in ordered]


def train_bpe(sentences: list[str], size: int, where: str = "text") -> bytes:
    """A sentencepiece BPE model.

    Args:
        sentences: of the training set.
        size: pieces, at most.
        where: for messages.

    Raises:
        ValueError: if ``size`` cannot hold the characters.
    """
    import sentencepiece

    needed = len({char for sentence in sentences for char in sentence}) + 4
    if size < needed:
        raise ValueError(
            f"{where}: {size} BPE pieces cannot hold its characters; expected at least {needed}: "
            "raise --size, or take characters (--type char)."
        )
    options: dict[str, Any] = {}
    if len(sentences) > MAX_SENTENCES:
        options = {"input_sentence_size": MAX_SENTENCES, "shuffle_input_sentence": True}
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_iterate(sentences),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        character_coverage=1.0,
        hard_vocab_limit=False,  # a small text has fewer pieces than that
        num_threads=1,  # the same pieces on any machine
        minloglevel=1,
        **options,
    )
    return model.getvalue()


def _iterate(sentences: list[str]) -> Iterator[str]:
    yield from sentences


def pieces(model: bytes) -> list[str]:
    """Pieces of a model in its order, without its ``<unk>``, ``<s>`` and ``</s>``."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = range(processor.get_piece_size())
    special = (processor.unk_id(), processor.bos_id(), processor.eos_id())
    return [processor.id_to_piece(i) for i in ids if i not in special]
