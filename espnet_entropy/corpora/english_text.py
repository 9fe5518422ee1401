"""One written form of English for corpora that are trained on and scored together."""

from __future__ import annotations

import re
import unicodedata

_LETTERS = str.maketrans(
    {"Æ": "AE", "Œ": "OE", "Ø": "O", "Đ": "D", "Ð": "D", "Ł": "L", "Þ": "TH", "ʼ": "'", "’": "'"}
    | dict.fromkeys("-‐‑‒–—―/_", " ")
)


def librispeech_form(text: str) -> str:
    """``text`` as LibriSpeech writes it: A-Z, apostrophes and single spaces.

    Upper case; hyphens and dashes become spaces, for LibriSpeech has neither; accents go, with
    the letter below them kept; a typographic apostrophe becomes the plain one; other marks go, and
    so do apostrophes that stand alone.

    Raises:
        ValueError: for digits and for letters that have no such form: leaving them out would
            make a wrong transcript.

    Example:
        >>> librispeech_form("the wheel-chair’s café - it's")
        "THE WHEEL CHAIR'S CAFE IT'S"
    """
    composed = unicodedata.normalize("NFKC", text).upper().translate(_LETTERS)
    plain = [c for c in unicodedata.normalize("NFKD", composed) if not unicodedata.combining(c)]
    alien = sorted({c for c in plain if c.isalnum() and not "A" <= c <= "Z"})
    if alien:
        raise ValueError(
            f"'{' '.join(alien)}' in {text!r}; expected A-Z, apostrophes and spaces. Write it as "
            "words."
        )
    kept = "".join(c for c in plain if c.isspace() or c == "'" or "A" <= c <= "Z")
    return " ".join(word for word in kept.split() if re.search("[A-Z]", word))
