import json

import pytest
import yaml

from espnet_entropy.bin.ssl_card import main

ESTIMATE = {"estimate": 0.25, "low": 0.2, "high": 0.3}


@pytest.fixture
def units(tmp_path):
    """What stage export leaves, without its weights."""
    for name, fingerprint in (("500", "aaa"), ("100", "bbb")):
        directory = tmp_path / f"units/tokenizer_{name}"
        directory.mkdir(parents=True)
        about = {"features": "mel_encoder", "features_conf": {}, "quantizer": "kmeans"}
        about |= {"num_clusters": int(name), "features_fingerprint": "f", "fingerprint": name}
        (directory / "tokenizer.yaml").write_text(yaml.safe_dump(about))
        (directory / "quantizer.yaml").write_text(yaml.safe_dump({"fingerprint": fingerprint}))
    (tmp_path / "units/model").mkdir()
    (tmp_path / "units/model/README.md").write_text("# Mine\n")
    return tmp_path / "units"


def score(path, quantizer="aaa", **changes):
    rows = [{"layer": "3", "num_clusters": 500, "pnmi": ESTIMATE, "abx_within": ESTIMATE}]
    content = {"task": "unit_quality", "features_fingerprint": "f", "quantizers": [quantizer]}
    content |= {"speakers": 7, "seconds": 90.0, "units": rows, **changes}
    path.write_text(json.dumps(content))
    return path


def test_a_table_at_the_end_and_a_new_one_in_its_place(units, tmp_path):
    files = [score(tmp_path / name) for name in ("a.json", "b.json")]
    card = units / "model/README.md"
    main(["--units", str(units), "--figures", f"home={files[0]}", f"abroad={files[1]}"])
    assert card.read_text().startswith("# Mine\n\n## Other sets\n")
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in card.open() if "|" in line
    ]
    assert cells[2:] == [
        [name, "7", "1.5", "500", "0.250 [0.200, 0.300]", "25.0 [20.0, 30.0]", "–"]
        for name in ("home", "abroad")
    ]
    main(["--units", str(units), "--figures", f"abroad={files[1]}"])
    text = card.read_text()
    assert text.startswith("# Mine\n\n## Other sets\n")
    assert text.count("## Other sets") == text.count("500") == 1
    assert "home" not in text


def test_refusals(units, tmp_path):
    def refused(message, word):
        with pytest.raises(ValueError, match=message):
            main(["--units", str(units), "--figures", word])
        assert (units / "model/README.md").read_text() == "# Mine\n"

    refused("expected NAME=FILE, got 'a.json'", "a.json")
    refused("of other units", f"a={score(tmp_path / 'a.json', quantizer='ccc')}")
    refused("of other units", f"a={score(tmp_path / 'a.json', features_fingerprint='g')}")
    refused("of other units", f"a={score(tmp_path / 'a.json', task='asr')}")
    (units / "model/README.md").rename(units / "elsewhere")
    with pytest.raises(ValueError, match=r"README.md: no such file.*Run stage 'export'"):
        main(["--units", str(units), "--figures", f"a={score(tmp_path / 'a.json')}"])
