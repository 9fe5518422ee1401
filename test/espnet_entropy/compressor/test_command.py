"""The espnet-entropy command, as a user runs it."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from espnet_entropy.bin.main import entry, main
from espnet_entropy.compressor.live import read_pcm

COMMAND = [sys.executable, "-m", "espnet_entropy"]


@pytest.fixture
def wav_file(tmp_path, wav):
    soundfile.write(tmp_path / "a.wav", wav, 16000)
    return tmp_path / "a.wav"


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_files_and_lists_become_json_lines(model, wav_file, wav, tmp_path, capsys, compressor):
    soundfile.write(tmp_path / "b.flac", wav[:20000], 16000)
    (tmp_path / "wav.scp").write_text(f"utt1 {tmp_path}/b.flac\n")
    options = ["--model", str(model), "--textgrid", str(tmp_path / "grid")]
    main(["compress", str(wav_file), str(tmp_path / "wav.scp"), *options])
    first, second = lines_of(capsys.readouterr().out)
    assert (first["utt"], second["utt"]) == ("a", "utt1")
    read, _ = soundfile.read(wav_file, dtype="float32")
    speech = compressor(read)
    assert first["units"] == speech.units.tolist()
    assert [group["length"] for group in first["groups"]] == speech.group_lengths.tolist()
    np.testing.assert_allclose(first["entropy"], speech.entropy, atol=1e-4)
    from praatio import textgrid

    grid = textgrid.openTextgrid(str(tmp_path / "grid/a.TextGrid"), includeEmptyIntervals=False)
    entries = grid.getTier("groups").entries
    assert len(entries) == len(first["groups"])
    assert entries[3].start == pytest.approx(first["groups"][3]["start"], abs=1e-4)


def test_a_picture(model, wav_file, tmp_path):
    to = ["--plot", str(tmp_path / "p"), "--output", str(tmp_path / "out.jsonl")]
    main(["compress", str(wav_file), "--model", str(model), *to])
    assert (tmp_path / "p/a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(lines_of((tmp_path / "out.jsonl").read_text())) == 1


def test_ids_do_not_leave_the_directories(model, wav_file, tmp_path):
    (tmp_path / "wav.scp").write_text(f"../../up {wav_file}\n")
    to = [f"--{what}={tmp_path / 'a/b' / what}" for what in ("textgrid", "plot", "output")]
    main(["compress", str(tmp_path / "wav.scp"), "--model", str(model), *to])
    made = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert made - {"a.wav", "wav.scp", "a/b/output"} == {
        "a/b/textgrid/..%2F..%2Fup.TextGrid",
        "a/b/plot/..%2F..%2Fup.png",
    }


def test_one_bad_file_is_named_and_skipped(model, wav_file, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF not really")
    out = tmp_path / "out.jsonl"
    command = [*COMMAND, "compress", str(tmp_path / "bad.wav"), str(wav_file)]
    result = subprocess.run(
        [*command, "--model", str(model), "--output", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "skipped bad" in result.stderr
    assert "skipped 1 of 2 utterances" in result.stderr
    assert [line["utt"] for line in lines_of(out.read_text())] == ["a"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["compress", "none.wav", "--model", "{model}"], "first ones:\n  none: none.wav"),
        (["compress", "a.wav", "--model", "nowhere"], "error: nowhere: no such model directory"),
        (["compress", "a.wav", "--model", "{model}", "--rate", "99"], "rate: expected above 0"),
        (["compress", "a.wav", "x/a.wav", "--model", "{model}"], "two inputs have the name 'a'"),
        (["compress", "a.wav", "b.wav", "--stream", "--model", "{model}"], "reads one input"),
        (["compress", "none", "--stream", "--model", "{model}"], "none: no such file"),
        (["compress", "-", "--model", "{model}"], "error: -: standard input needs --stream"),
        (["info", "."], "not a model directory: lacks model.yaml"),
    ],
)  # fmt: skip
def test_errors_are_one_line(model, tmp_path, options, message, monkeypatch, capsys):
    words = [word.format(model=model) for word in options]
    monkeypatch.setattr(sys, "argv", ["espnet-entropy", *words])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        entry()
    assert ended.value.code == 2
    stderr = capsys.readouterr().err
    assert message in stderr
    assert "Traceback" not in stderr


def run_in_fresh_python(arguments):
    """Exit status 1, and the names on stderr, if the command imports anything heavy."""
    code = (
        "import sys\n"
        "from espnet_entropy.bin.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'scipy', 'transformers', 'espnet2', 'sklearn'} & set(sys.modules)\n"
        "heavy |= {'numpy'} & set(sys.modules) if '--help' in sys.argv else set()\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    return subprocess.run([sys.executable, "-c", code, *arguments], check=False).returncode


def test_help_and_info_import_nothing_heavy(model):
    assert run_in_fresh_python(["compress", "--help"]) == 0
    assert run_in_fresh_python(["info", str(model)]) == 0


def test_info(model, capsys):
    main(["info", str(model)])
    out = capsys.readouterr().out
    assert "planned" in out
    assert "K = 20" in out
    main(["info", str(model), "--json"])
    content = json.loads(capsys.readouterr().out)
    assert content["num_clusters"] == 20
    assert {entry["criterion"] for entry in content["calibration"]} >= {"global", "uniform"}


def test_stream_of_a_wav_equals_the_offline_groups(model, wav_file, capsys):
    main(["compress", str(wav_file), "--model", str(model)])
    (whole,) = lines_of(capsys.readouterr().out)
    main(["compress", str(wav_file), "--stream", "--model", str(model)])
    groups = lines_of(capsys.readouterr().out)
    assert [g["first"] for g in groups] == [g["first"] for g in whole["groups"]]
    assert [u for g in groups for u in g["units"]] == whole["units"]


def test_stream_from_stdin_emits_groups_while_speech_goes_on(model, wav):
    pcm = (wav * 32767).astype("<i2").tobytes()
    with subprocess.Popen(
        [*COMMAND, "compress", "-", "--stream", "--model", str(model)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False,
    ) as process:  # fmt: skip
        process.stdin.write(pcm[: len(pcm) // 2])
        process.stdin.flush()
        first = json.loads(process.stdout.readline())  # blocks for ever if nothing is emitted
        process.stdin.write(pcm[len(pcm) // 2 :])
        process.stdin.close()
        rest = lines_of(process.stdout.read().decode())
    assert first["first"] == 0
    assert sum(len(g["units"]) for g in [first, *rest]) == 149


@pytest.mark.parametrize("samples", [0, 399])
def test_a_stream_shorter_than_a_frame_is_refused(model, wav, tmp_path, samples, capsys):
    soundfile.write(tmp_path / "a.wav", wav[:samples], 16000)
    with pytest.raises(ValueError, match=f"a.wav: {samples} samples are shorter than one frame"):
        main(["compress", str(tmp_path / "a.wav"), "--stream", "--model", str(model)])
    assert capsys.readouterr().out == ""
    soundfile.write(tmp_path / "a.wav", wav[:400], 16000)
    main(["compress", str(tmp_path / "a.wav"), "--stream", "--model", str(model)])
    assert len(lines_of(capsys.readouterr().out)) == 1


def test_a_growing_file_is_followed(tmp_path, wav):
    path = tmp_path / "growing.wav"
    soundfile.write(path, wav, 16000, subtype="PCM_16")
    content = path.read_bytes()
    header = bytearray(content[:44])
    header[40:44] = b"\xff\xff\xff\xff"  # as a recorder writes it before it knows the length
    path.write_bytes(bytes(header))
    pieces = []
    for piece in read_pcm(str(path), follow=0.5):
        pieces.append(piece)
    assert not pieces
    path.write_bytes(bytes(header) + content[44:20044])
    grown = False
    for piece in read_pcm(str(path), follow=0.5):
        pieces.append(piece)
        if not grown:
            with path.open("ab") as stream:
                stream.write(content[20044:])
            grown = True
            time.sleep(0.1)
    np.testing.assert_allclose(np.concatenate(pieces), wav, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype", "message"),
    [
        ("a.wav", 8000, 1, "PCM_16", "got 8000 Hz, 1 channel.*must be 16000 Hz"),
        ("a.wav", 16000, 2, "PCM_16", "2 channel"),
        ("a.wav", 16000, 1, "PCM_24", "24 bit"),
        ("a.flac", 16000, 1, "PCM_16", "compressed audio cannot be streamed"),
    ],
)
def test_streams_of_another_kind_are_refused(tmp_path, name, rate, channels, subtype, message):
    data = np.zeros((4000, channels), np.float32)
    soundfile.write(tmp_path / name, data, rate, subtype=subtype)
    with pytest.raises(ValueError, match=message):
        list(read_pcm(str(tmp_path / name)))
