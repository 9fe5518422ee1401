from pathlib import Path

from espnet_entropy.launch.named_files import main


def test_a_configuration_and_what_it_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for file in (
        "km.bin",
        "models/a/config.yaml",
        "models/a/x.json",
        "models/a/w.bin",
        "mfcc/b.yaml",
    ):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    Path("tokenizer.yaml").write_text(
        "features: mfcc\n"  # a folder by chance
        "features_conf: {model: models/a, other: facebook/hubert-base-ls960, layer: 9}\n"
        f"some: [{{pretrained: km.bin}}, null, '', 'a b', {'x' * 5000}]\n"
    )
    main(["tokenizer.yaml"])
    found = capsys.readouterr().out.split()
    assert found == ["tokenizer.yaml", "models/a/config.yaml", "models/a/x.json", "km.bin"]


def test_the_stage_says_what_is_wrong_with_a_configuration(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("a: [")
    for name in ("bad.yaml", "missing.yaml"):
        main([str(tmp_path / name)])
        assert capsys.readouterr().out == f"{tmp_path / name}\n"
