import numpy as np
import pytest
import yaml

from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.mfcc import Mfcc, MfccConfig
from espnet_entropy.tokenizer.tokenizer import Tokenizer
from espnet_entropy.utils.grid import num_units


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


def make(normalize: str = "utterance", clusters: int = 20) -> Tokenizer:
    centroids = np.random.default_rng(1).normal(size=(clusters, 39)).astype(np.float32)
    return Tokenizer(Mfcc(MfccConfig(normalize)), KMeansQuantizer(centroids))


def test_units_lie_on_the_grid():
    tokenizer = make()
    for samples in (400, 719, 720, 16_000):
        units = tokenizer(noise(samples))
        assert units.dtype == np.int32
        assert units.shape == (num_units(samples),)
    assert tokenizer.num_clusters == 20


def test_batch_equals_each_alone():
    tokenizer = make()
    wavs = [noise(n, n) for n in (4000, 9000, 4000, 400)]
    for wav, units in zip(wavs, tokenizer.batch(wavs), strict=True):
        np.testing.assert_array_equal(units, tokenizer(wav))
    assert tokenizer.batch([]) == []


class NoisyInBatches:
    """Features that batches move a little, as on a GPU, exaggerated so that it shows."""

    name, dim, fingerprint, batch_noise = "mfcc", 39, "0" * 16, 2e-3

    def __init__(self) -> None:
        self.conf, self.alone, self.mfcc = {}, 0, Mfcc()

    def extract(self, wav):
        self.alone += 1
        return self.mfcc.extract(wav)

    def extract_batch(self, wavs):
        random, result = np.random.default_rng(5), []
        for wav in wavs:
            frames = self.mfcc.extract(wav)
            error = random.normal(size=frames.shape)
            error /= np.linalg.norm(error, axis=1, keepdims=True)
            error *= self.batch_noise * np.linalg.norm(frames, axis=1, keepdims=True)
            result.append((frames + 0.9 * error).astype(np.float32))
        return result


def test_noise_of_batches_never_reaches_the_units():
    features = NoisyInBatches()
    centroids = np.random.default_rng(0).normal(size=(100, 39)).astype(np.float32)
    tokenizer = Tokenizer(features, KMeansQuantizer(centroids))
    wavs = [noise(4000, seed) for seed in range(400)]
    expected = [tokenizer(wav) for wav in wavs]
    rough = [tokenizer.quantizer.assign(f) for f in features.extract_batch(wavs)]
    assert any((a != b).any() for a, b in zip(rough, expected, strict=True))
    features.alone = 0
    for found, units in zip(tokenizer.batch(wavs), expected, strict=True):
        np.testing.assert_array_equal(found, units)
    assert 0 < features.alone < len(wavs)  # only those that needed it were computed again


@pytest.mark.parametrize("normalize", ["none", "causal", "utterance"])
@pytest.mark.parametrize("piece", [1, 555, 30_000])
def test_stream_equals_streaming_offline(normalize, piece):
    tokenizer, wav = make(normalize), noise(20_123 if piece > 1 else 3000)
    stream = tokenizer.stream()
    pieces = [stream.push(wav[i : i + piece]) for i in range(0, len(wav), piece)]
    pieces.append(stream.flush())
    assert all(piece.dtype == np.int32 for piece in pieces)
    np.testing.assert_array_equal(np.concatenate(pieces), tokenizer.streaming()(wav))


def test_streaming_is_another_tokenizer_only_where_units_differ():
    for normalize in ("none", "causal"):
        tokenizer = make(normalize)
        assert tokenizer.streaming() is tokenizer
    tokenizer = make("utterance")
    streaming = tokenizer.streaming()
    assert streaming.fingerprint == make("causal").fingerprint != tokenizer.fingerprint
    assert streaming.quantizer is tokenizer.quantizer
    assert tokenizer.full_context() is tokenizer
    assert streaming.full_context().fingerprint == tokenizer.fingerprint


def test_save_and_load(tmp_path):
    before = make("causal")
    before.save(tmp_path)
    after = Tokenizer.from_pretrained(tmp_path)
    assert after.fingerprint == before.fingerprint
    np.testing.assert_array_equal(after(noise(9000)), before(noise(9000)))
    stream = after.stream()
    assert len(stream.push(noise(9000))) + len(stream.flush()) == num_units(9000)


def test_parts_that_do_not_belong_together(tmp_path):
    with pytest.raises(ValueError, match="5 dimensions, the features 'mfcc' have 39"):
        Tokenizer(Mfcc(), KMeansQuantizer(np.eye(5, dtype=np.float32)))
    make().save(tmp_path)
    description = tmp_path / "tokenizer.yaml"
    info = yaml.safe_load(description.read_text())

    def change(**values):
        description.write_text(yaml.safe_dump({**info, **values}))

    change(features_conf={"normalize": "none"})
    with pytest.raises(ValueError, match="not those the quantizer was fitted on"):
        Tokenizer.from_pretrained(tmp_path)
    change(features="mfc")
    with pytest.raises(ValueError, match="Did you mean 'mfcc'"):
        Tokenizer.from_pretrained(tmp_path)
    change(quantizer="vq")
    with pytest.raises(ValueError, match="unknown quantizer 'vq'"):
        Tokenizer.from_pretrained(tmp_path)
    change()
    make(clusters=21).quantizer.save(tmp_path)
    with pytest.raises(ValueError, match="belongs to another tokenizer"):
        Tokenizer.from_pretrained(tmp_path)
    description.write_text("features: mfcc\n")
    with pytest.raises(ValueError, match="missing key 'features_conf'"):
        Tokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no such file; expected a tokenizer"):
        Tokenizer.from_pretrained(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("wav", "message"),
    [
        (np.zeros(399, np.float32), "399 samples are shorter than one frame"),
        (np.zeros((2, 500), np.float32), r"expected \(T,\)"),
        (np.zeros(500, np.int16), "divide integers by their full scale"),
        (np.full(500, np.nan, np.float32), "NaN or infinite"),
    ],
)
def test_bad_audio(wav, message):
    with pytest.raises(ValueError, match=message):
        make()(wav)


def test_unknown_features_and_options():
    with pytest.raises(ValueError, match="Did you mean 'hubert'"):
        build_features("huber")
    with pytest.raises(ValueError, match="unknown key 'normalise'"):
        build_features("mfcc", {"normalise": "none"})
    with pytest.raises(ValueError, match="unknown normalize 'speaker'"):
        build_features("mfcc", {"normalize": "speaker"})
