"""A recognizer in use: waveforms, dumps, limits, odd utterances."""

import dataclasses

import numpy as np
import pytest
from toy_recognizer import TOKENS, make_experiment

from espnet_entropy.recognizer import SpeechToText
from espnet_entropy.recognizer.config import DecodingConfig, read_decoding
from espnet_entropy.recognizer.pack import pack
from espnet_entropy.recognizer.speech_to_text import BATCH_UNITS, plan_batches
from espnet_entropy.recognizer.text import text_joiner
from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.segment import segment


@pytest.fixture(scope="module")
def recognizer(packed):
    return SpeechToText.from_pretrained(packed)


def test_a_waveform_and_its_dump_say_the_same(recognizer, wavs, scored):
    texts = set()
    for utt, wav in wavs.items():
        heard, read = recognizer(wav), recognizer.decode_scored(scored[utt])
        assert dataclasses.replace(heard, seconds=0.0) == dataclasses.replace(read, seconds=0.0)
        assert heard.seconds == pytest.approx(len(wav) / 16000)
        assert read.seconds == pytest.approx(len(scored[utt]) / 50)
        texts.add(heard.text)
    assert len(texts) > 1, texts  # else nothing would be compared


def test_groups_are_those_of_the_segmenter(recognizer, scored):
    segmenter = recognizer.model.frontend.config.segmenter
    assert isinstance(segmenter, SegmenterConfig)
    for matrix in scored.values():
        starts = segment(matrix[:, 0].astype(np.int64), matrix[:, 1], segmenter)
        assert recognizer.decode_scored(matrix).num_groups == starts.sum()


def test_a_batch_is_its_utterances(recognizer, scored):
    for transcript, matrix in zip(
        recognizer.decode_batch(list(scored.values())), scored.values(), strict=True
    ):
        alone = recognizer.decode_scored(matrix)
        assert transcript.text == alone.text
        assert transcript.score == pytest.approx(alone.score, abs=1e-4)


def test_one_unit(recognizer):
    found = recognizer.decode_scored(np.array([[3, 0.5]], np.float32))
    assert found.num_groups == 1
    assert isinstance(found.text, str)
    assert recognizer(np.full(400, 0.01, np.float32)).num_groups == 1


def test_longer_than_training_ever_saw(recognizer):
    rng = np.random.default_rng(0)
    units, entropy = rng.integers(0, 20, 8000), rng.uniform(0, 3, 8000)  # 160 s
    found = recognizer.decode_scored(np.stack([units, entropy], 1).astype(np.float32))
    assert found.num_groups > 1000
    assert len(found.tokens) <= 30


def test_cut_and_empty(packed, scored):
    matrix = scored["u3"]
    short = SpeechToText.from_pretrained(packed, max_length=2, beam_size=1)
    bias = short.model.decoder.output_layer.bias
    bias[-1] = -100.0  # never ends
    cut = short.decode_scored(matrix)
    assert cut.truncated
    assert len(cut.tokens) <= 2
    bias[-1] = 100.0  # ends at once
    empty = short.decode_scored(matrix)
    assert (empty.text, empty.tokens, empty.truncated) == ("", [], False)
    bias[-1] = -100.0
    bias[0] = 100.0  # <blank> is no text
    assert short.decode_scored(matrix).text == ""


@pytest.mark.parametrize(
    ("matrix", "why"),
    [
        (np.zeros((0, 2)), "shape"),
        (np.zeros((4, 3)), "shape"),
        (np.array([[20, 1.0]]), "unit 20, but the recognizer knows 0 .. 19"),
        (np.array([[-1, 1.0]]), "at least 0"),
        (np.array([[1, np.nan]]), "finite"),
    ],
)
def test_wrong_units_are_refused(recognizer, matrix, why):
    with pytest.raises(ValueError, match=why):
        recognizer.decode_scored(matrix.astype(np.float32))


@pytest.mark.parametrize(
    "wav", [np.zeros(399, np.float32), np.zeros((2, 800), np.float32), np.full(800, np.nan)]
)
def test_wrong_waveforms_are_refused(recognizer, wav):
    with pytest.raises(ValueError):
        recognizer(wav)


def test_wrong_options_are_refused(packed):
    for options, why in (
        ({"beam_size": 0}, "beam_size"),
        ({"beam_size": 13}, "at most the vocabulary's 12"),
        ({"max_length": 0}, "max_length"),
        ({"ctc_weight": 0.3}, "without CTC"),
        ({"beam": 3}, "Did you mean 'beam_size'"),
        ({"device": "cuba"}, "device"),
        ({"length_bonus": float("nan")}, "finite"),
    ):
        with pytest.raises(ValueError, match=why):
            SpeechToText.from_pretrained(packed, **options)


def test_decoding_options_have_an_order(tmp_path):
    (tmp_path / "inference.yaml").write_text("beam_size: 7\n")
    usual = DecodingConfig(beam_size=3, max_length=40)
    read = read_decoding(tmp_path / "inference.yaml", usual)
    assert (read.beam_size, read.max_length) == (7, 40)
    assert read.replace(beam_size=1, max_length=None).beam_size == 1
    (tmp_path / "inference.yaml").write_text("beam: 7\n")
    with pytest.raises(ValueError, match=r"inference.yaml: unknown key 'beam'"):
        read_decoding(tmp_path / "inference.yaml", usual)


def test_with_ctc(model_dir, tmp_path, wavs, scored):
    exp = make_experiment(tmp_path / "asr", model_dir, {1: 0.5}, model_conf={"ctc_weight": 0.3})
    pack(exp, tmp_path / "r", decoding=DecodingConfig(beam_size=2, max_length=12))
    recognizer = SpeechToText.from_pretrained(tmp_path / "r")
    assert recognizer.decoding.ctc_weight == 0.3
    for utt in ("u0", "u2"):
        assert recognizer(wavs[utt]).text == recognizer.decode_scored(scored[utt]).text
    assert SpeechToText.from_pretrained(tmp_path / "r", ctc_weight=0.0).decode_scored(scored["u0"])
    only = make_experiment(tmp_path / "ctc", model_dir, {1: 0.5}, model_conf={"ctc_weight": 1.0})
    pack(only, tmp_path / "c", decoding=DecodingConfig(beam_size=2))
    recognizer = SpeechToText.from_pretrained(tmp_path / "c")
    assert recognizer.decoding.ctc_weight == 1.0
    assert recognizer.decode_scored(scored["u2"]).num_groups > 0


def test_batches_hold_all_once():
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(1, 4000, 200).tolist(), 3 * BATCH_UNITS]
    batches = list(plan_batches(lengths))
    assert sorted(index for batch in batches for index in batch) == list(range(201))
    assert all(len(b) == 1 or len(b) * lengths[b[0]] <= BATCH_UNITS for b in batches)
    assert list(plan_batches([])) == []


def test_texts_are_espnets(tmp_path):
    from espnet2.text.char_tokenizer import CharTokenizer
    from espnet2.text.sentencepiece_tokenizer import SentencepiecesTokenizer
    from espnet2.text.word_tokenizer import WordTokenizer

    from espnet_entropy.tasks.token_list import make_token_list

    (tmp_path / "text").write_text("a THE CAT SAT\nb ÉTÉ À LA MER\nc A HAT\n")
    make_token_list(tmp_path / "text", "bpe", 40, tmp_path)
    config = {"token_type": "bpe", "bpemodel": str(tmp_path / "bpe.model")}
    for kind, theirs in (
        ("bpe", SentencepiecesTokenizer(tmp_path / "bpe.model")),
        ("char", CharTokenizer()),
        ("word", WordTokenizer()),
    ):
        ours = text_joiner(config | {"token_type": kind}, "test")
        for text in ("THE CAT SAT", "LA MER", "A", ""):
            tokens = theirs.text2tokens(text)
            assert ours(tokens) == theirs.tokens2text(tokens)
        unknown = ["<unk>", *theirs.text2tokens("CAT")]
        assert ours(unknown) == theirs.tokens2text(unknown)
    with pytest.raises(ValueError, match="missing or damaged"):
        text_joiner(config | {"bpemodel": str(tmp_path / "text")}, "test")
    assert "<unk>" in TOKENS
