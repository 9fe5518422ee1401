"""CTM, TextGrid and the shift of a data directory's alignment."""

from __future__ import annotations

from pathlib import Path

import pytest

from espnet_entropy.corpora.alignment import (
    AlignmentInfo,
    Interval,
    read_alignments,
    read_ctm,
    read_textgrids,
    shift_intervals,
    write_alignment_info,
    write_ctm,
    write_textgrid,
)

WORDS = [Interval(0.1, 0.4, "say"), Interval(0.5, 0.9, '"ámi"')]
PHONES = [Interval(0.1, 0.2, "S"), Interval(0.2, 0.4, "EY"), Interval(0.5, 0.9, "X")]


def test_ctm_of_four_five_and_six_columns(tmp_path: Path) -> None:
    lines = "b 0.2 0.17 two\nb 0 0.2 one\na 1 0.5 0.25 7\nc A 0.0 0.1 x 0.93\n"
    (tmp_path / "ctm").write_text(lines)
    assert read_ctm(tmp_path / "ctm") == {
        "b": [Interval(0.0, 0.2, "one"), Interval(0.2, 0.37, "two")],
        "a": [Interval(0.5, 0.75, "7")],
        "c": [Interval(0.0, 0.1, "x")],
    }


def test_ctm_round_trip(tmp_path: Path) -> None:
    intervals = {"u2": WORDS, "u1": [Interval(0.0, 0.0, "zero"), Interval(0.0, 12.3456, "x")]}
    write_ctm(tmp_path / "ctm", intervals)
    assert read_ctm(tmp_path / "ctm") == intervals


@pytest.mark.parametrize(
    "line",
    ["a 0.1 0.2", "a x 0.2 w", "a -0.1 0.2 w", "a 0.1 nan w", "a 0 1 w 0.5", "a 1 2 3 4 5 6"],
)
def test_bad_ctm_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "ctm").write_text(f"a 0 1 fine\n{line}\n")
    with pytest.raises(ValueError, match=r"ctm, line 2: expected '<utt>"):
        read_ctm(tmp_path / "ctm")


def test_ctm_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "ctm").write_bytes("a 0 1 café\n".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8"):
        read_ctm(tmp_path / "ctm")
    with pytest.raises(ValueError, match="cannot be read"):
        read_ctm(tmp_path / "absent")


def test_ctm_refuses_labels_it_cannot_carry(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two words"):
        write_ctm(tmp_path / "ctm", {"a": [Interval(0.0, 1.0, "two words")]})
    assert not (tmp_path / "ctm").exists()


def test_shift_cuts_at_zero() -> None:
    moved = shift_intervals([Interval(0.0, 0.1, "a"), Interval(0.1, 0.3, "b")], -0.15)
    assert moved == [Interval(0.0, 0.15, "b")]
    assert shift_intervals(WORDS, 0.0) == WORDS


def test_alignments_of_a_data_directory_come_shifted(tmp_path: Path) -> None:
    write_ctm(tmp_path / "ctm.words", {"a": WORDS, "b": WORDS})
    assert read_alignments(tmp_path) == {"words": {"a": WORDS, "b": WORDS}}
    write_alignment_info(tmp_path, AlignmentInfo(shift_seconds=-0.065, source="an aligner"))
    found = read_alignments(tmp_path, utts=["b", "absent"])
    assert found["words"]["b"] == [Interval(0.035, 0.335, "say"), Interval(0.435, 0.835, '"ámi"')]
    assert list(found["words"]) == ["b"]


def test_textgrid_round_trip_through_praatio(tmp_path: Path) -> None:
    (tmp_path / "spk").mkdir()
    write_textgrid(tmp_path / "spk" / "u1.TextGrid", {"words": WORDS, "phones": PHONES}, 1.0)
    write_textgrid(tmp_path / "u2.TextGrid", {"sp - words": WORDS, "sp - phones": PHONES}, 0.9)
    assert read_textgrids(tmp_path) == {
        "words": {"u1": WORDS, "u2": WORDS},
        "phones": {"u1": PHONES, "u2": PHONES},
    }


def test_textgrid_covers_the_recording_without_gaps(tmp_path: Path) -> None:
    from praatio import textgrid

    zero = Interval(0.2, 0.2, "gone")
    write_textgrid(tmp_path / "u.TextGrid", {"phones": [PHONES[0], zero, *PHONES[1:]]}, 1.0)
    tier = textgrid.openTextgrid(str(tmp_path / "u.TextGrid"), True).getTier("phones")
    assert [e.label for e in tier.entries] == ["", "S", "EY", "", "X", ""]
    assert [e.start for e in tier.entries] == [0.0, 0.1, 0.2, 0.4, 0.5, 0.9]
    assert [e.end for e in tier.entries] == [0.1, 0.2, 0.4, 0.5, 0.9, 1.0]


@pytest.mark.parametrize(
    "intervals", [[Interval(0.0, 0.6, "a"), Interval(0.5, 0.9, "b")], [Interval(0.0, 1.5, "a")]]
)
def test_textgrid_refuses_overlaps(tmp_path: Path, intervals: list[Interval]) -> None:
    with pytest.raises(ValueError, match="expected sorted, separate intervals"):
        write_textgrid(tmp_path / "u.TextGrid", {"words": intervals}, 1.0)


def test_bad_textgrids_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no \*.TextGrid"):
        read_textgrids(tmp_path)
    write_textgrid(tmp_path / "u.TextGrid", {"letters": WORDS}, 1.0)
    with pytest.raises(ValueError, match="expected a tier 'words' or 'phones', got letters"):
        read_textgrids(tmp_path)
    (tmp_path / "u.TextGrid").write_text("nonsense")
    with pytest.raises(ValueError, match=r"u\.TextGrid: not a readable TextGrid"):
        read_textgrids(tmp_path)
    write_textgrid(tmp_path / "u.TextGrid", {"words": WORDS}, 1.0)
    (tmp_path / "twice").mkdir()
    write_textgrid(tmp_path / "twice" / "u.TextGrid", {"words": WORDS}, 1.0)
    with pytest.raises(ValueError, match="the same utterance as"):
        read_textgrids(tmp_path)
