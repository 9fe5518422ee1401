"""Token lists of text."""

from collections import Counter

import pytest
import sentencepiece

from espnet_entropy.tasks.token_list import make_token_list, train_bpe
from espnet_entropy.utils.scp import write_scp

TEXTS = {
    "u1": "THE CAT SAW THE DOG",
    "u2": "THE DOG SAW THE CAT",
    "u3": "A DOG RAN",
    "u4": "Ñandú 北京",
}


@pytest.fixture
def text(tmp_path):
    write_scp(tmp_path / "text", TEXTS)
    return tmp_path / "text"


def read(directory):
    return (directory / "tokens.txt").read_text(encoding="utf-8").splitlines()


def test_characters_by_frequency_between_the_specials(text, tmp_path):
    assert make_token_list(text, "char", 0, tmp_path) == len(read(tmp_path))
    tokens = read(tmp_path)
    assert (tokens[:2], tokens[-1]) == (["<blank>", "<unk>"], "<sos/eos>")
    counts = Counter("".join(TEXTS.values()))
    body = [" " if token == "<space>" else token for token in tokens[2:-1]]
    assert sorted(body) == sorted(counts)
    assert [counts[char] for char in body] == sorted(counts.values(), reverse=True)


def test_pieces_spell_the_text_again(text, tmp_path):
    make_token_list(text, "bpe", 60, tmp_path)
    tokens = read(tmp_path)
    assert len(tokens) == len(set(tokens))
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "bpe.model"))
    for sentence in TEXTS.values():
        spelt = processor.encode(sentence, out_type=str)
        assert set(spelt) <= set(tokens)
        assert "".join(spelt).replace("▁", " ").strip() == sentence


def test_the_same_text_gives_the_same_model():
    assert train_bpe(list(TEXTS.values()), 50) == train_bpe(list(TEXTS.values()), 50)


def test_a_size_below_the_characters_is_refused(text, tmp_path):
    with pytest.raises(ValueError, match=r"5 BPE pieces cannot hold its characters"):
        make_token_list(text, "bpe", 5, tmp_path)


def test_no_text_and_other_kinds_are_refused(text, tmp_path):
    write_scp(tmp_path / "none", {})
    with pytest.raises(ValueError, match="no text"):
        make_token_list(tmp_path / "none", "char", 0, tmp_path)
    with pytest.raises(ValueError, match="expected char or bpe, got 'word'"):
        make_token_list(text, "word", 0, tmp_path)
