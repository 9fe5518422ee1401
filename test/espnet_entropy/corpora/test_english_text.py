"""The common written form."""

from __future__ import annotations

import pytest

from espnet_entropy.corpora.english_text import librispeech_form


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("has it said phyllis it was like mrs harrington", None),
        ("guiding the wheel-chair", "GUIDING THE WHEEL CHAIR"),
        ("i-i'm glad 'tis the boys' - - '", "I I'M GLAD 'TIS THE BOYS'"),
        ("it’s  na\u00efve\tcafe\u0301 “yes”, ﬁne…", "IT'S NAIVE CAFE YES FINE"),
        ("ægis œuvre straße", "AEGIS OEUVRE STRASSE"),
        ("two—words", "TWO WORDS"),
        ("...", ""),
    ],
)
def test_forms(text: str, form: str | None) -> None:
    assert librispeech_form(text) == (text.upper() if form is None else form)
    assert librispeech_form(librispeech_form(text)) == librispeech_form(text)


@pytest.mark.parametrize("text", ["chapter 3", "the α particle", "½ a loaf", "да"])
def test_what_has_no_such_form(text: str) -> None:
    with pytest.raises(ValueError, match="expected A-Z, apostrophes and spaces"):
        librispeech_form(text)
