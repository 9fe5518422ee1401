"""Inflection and sound rules of English, Spanish, French and Chinese for the grammar.

Regular forms are made by rule, the others stand in ``irregular.yaml``. Verbs know four
persons, in this order everywhere: I, he/she, we, they.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

VOWELS_ES = "aeiouáéíóú"
VOWELS_FR = "aeiouyàâéèêëîïôûùœh"  # h: silent, but for ASPIRATED
ASPIRATED = {"huit", "onze", "haut", "haute", "hauts", "hautes"}
Forms = tuple[str, str, str, str]


@dataclass(frozen=True)
class Verb:
    """One verb in four languages; forms by person are (I, he/she, we, they)."""

    en: tuple[str, str, str, str, str]  # base, -s, past, -ing, participle
    en_particle: str
    es: dict[str, Any]  # infinitive, present, preterite, future, gerund, participle, particle
    fr: dict[str, Any]  # infinitive, present, future, participle, auxiliary, particle
    zh: str
    objects: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    flags: frozenset[str] = field(default_factory=frozenset)


def english_plural(noun: str) -> str:
    """Regular English plural."""
    if noun.endswith(("s", "x", "z", "ch", "sh")) or noun in ("potato", "tomato"):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def english_verb(text: str) -> tuple[str, str, str, str, str]:
    """``base`` or ``base/s/past/ing/participle`` into the five forms."""
    if "/" in text:
        base, s, past, ing, participle = text.split("/")
        return base, s, past, ing, participle
    third = english_plural(text)
    if text.endswith("e"):
        return text, third, text + "d", text[:-1] + "ing", text + "d"
    if text.endswith("y") and text[-2] not in "aeiou":
        return text, third, text[:-1] + "ied", text + "ing", text[:-1] + "ied"
    doubled = text + text[-1] if text in ("hug", "plan", "chat") else text
    return text, third, doubled + "ed", doubled + "ing", doubled + "ed"


def spanish_plural(noun: str) -> str:
    """Regular Spanish plural of a noun or adjective."""
    if noun[-1] in "aeiouáéó":
        return noun + "s"
    if noun.endswith("z"):
        return noun[:-1] + "ces"
    for vowel, end in (("ó", "on"), ("á", "an"), ("í", "in"), ("é", "en"), ("é", "es")):
        accented, plain = vowel + end[-1], end + "es"
        if noun.endswith(accented):
            return noun[: -len(accented)] + plain
    return noun + "es"


def french_plural(noun: str) -> str:
    """Regular French plural of a noun or adjective."""
    if noun.endswith(("s", "x", "z")):
        return noun
    if noun.endswith(("eau", "eu")) and noun != "bleu":
        return noun + "x"
    if noun.endswith("al"):
        return noun[:-2] + "aux"
    if "-" in noun:  # grand-père
        return "-".join(french_plural(part) for part in noun.split("-"))
    return noun + "s"


def spanish_adjective(text: str) -> Forms:
    """Masculine and feminine singular, masculine and feminine plural."""
    parts = text.split("/")
    if len(parts) == 4:
        return parts[0], parts[1], parts[2], parts[3]
    masculine = parts[0]
    feminine = masculine[:-1] + "a" if masculine.endswith("o") else masculine
    return masculine, feminine, spanish_plural(masculine), spanish_plural(feminine)


def french_adjective(text: str) -> Forms:
    """Masculine and feminine singular, masculine and feminine plural."""
    masculine, _, feminine = text.partition("/")
    if not feminine:
        feminine = masculine if masculine.endswith("e") else masculine + "e"
    return masculine, feminine, french_plural(masculine), feminine + "s"


def spanish_verb(text: str, irregular: dict[str, Any]) -> dict[str, Any]:
    """All forms of a Spanish verb (``infinitive [particle]``)."""
    infinitive, _, particle = text.partition(" ")
    special = irregular.get(infinitive, {})
    root, kind = infinitive[:-2], infinitive[-2:].replace("í", "i")
    stem = special.get("stem", root)
    vowels = {"ar": ("a", "amos", "an"), "er": ("e", "emos", "en"), "ir": ("e", "imos", "en")}
    third, we, they = vowels[kind]
    past_i = root
    if kind == "ar":  # the sound of the root stays: busqué, entregué, lancé
        if root.endswith("c"):
            past_i = root[:-1] + "qu"
        elif root.endswith("g"):
            past_i = root + "u"
        elif root.endswith("z"):
            past_i = root[:-1] + "c"
    preterite = (
        (past_i + "é", root + "ó", root + "amos", root + "aron")
        if kind == "ar"
        else (root + "í", root + "ió", root + "imos", root + "ieron")
    )
    future = special.get("future", infinitive)
    return {
        "infinitive": infinitive,
        "particle": particle,
        "present": tuple(
            special.get("present", (stem + "o", stem + third, root + we, stem + they))
        ),
        "preterite": tuple(special.get("preterite", preterite)),
        "future": tuple(future + ending for ending in ("é", "á", "emos", "án")),
        "imperfect": tuple(special.get("imperfect", ())),
        "gerund": special.get("gerund", root + ("ando" if kind == "ar" else "iendo")),
        "participle": special.get("participle", root + ("ado" if kind == "ar" else "ido")),
    }


def french_verb(text: str, irregular: dict[str, Any]) -> dict[str, Any]:
    """All forms of a French verb (``infinitive [particle]``)."""
    infinitive, _, particle = text.partition(" ")
    special = irregular.get(infinitive, {})
    root = infinitive[:-2]
    stem = special.get("stem", root)
    if special.get("group") == 2:
        present = (root + "is", root + "it", root + "issons", root + "issent")
        participle = root + "i"
    elif infinitive.endswith("re"):
        present = (root + "s", root, root + "ons", root + "ent")
        participle = root + "u"
    else:
        we = root + "e" if root.endswith("g") else root
        we = we[:-1] + "ç" if we.endswith("c") else we
        present = (stem + "e", stem + "e", we + "ons", stem + "ent")
        participle = root + "é"
    future = special.get("future", infinitive.removesuffix("e"))
    return {
        "infinitive": infinitive,
        "particle": particle,
        "present": tuple(special.get("present", present)),
        "future": tuple(future + ending for ending in ("ai", "a", "ons", "ont")),
        "imperfect": tuple(special.get("imperfect", ())),
        "participle": special.get("participle", participle),
        "auxiliary": special.get("auxiliary", "avoir"),
    }


def agree(participle: str, feminine: bool, plural: bool) -> str:
    """A French participle in agreement: ``acheté`` to ``achetées``."""
    form = participle.replace("û", "u") + "e" if feminine else participle
    return form + "s" if plural and not form.endswith("s") else form


def starts_with_vowel(word: str) -> bool:
    """Whether French elides before ``word``."""
    return word[0] in VOWELS_FR and word not in ASPIRATED


def finish_english(words: Sequence[str]) -> str:
    """Join, choose ``a`` / ``an``, upper case."""
    result = list(words)
    for i, word in enumerate(result[:-1]):
        if word == "a":
            following = result[i + 1]
            vowel = following[0] in "aeiou" and not following.startswith(("uni", "use"))
            result[i] = "an" if vowel or following.startswith("honest") else "a"
    return " ".join(result).upper()


def finish_spanish(words: Sequence[str]) -> str:
    """Join; ``a el`` is ``al``, ``de el`` is ``del``, ``y`` before i is ``e``."""
    text = f" {' '.join(words)} ".replace(" a el ", " al ").replace(" de el ", " del ")
    result = text.split()
    for i, word in enumerate(result[:-1]):
        following = result[i + 1]
        if word == "y" and following.startswith(("i", "hi")) and not following.startswith("hie"):
            result[i] = "e"
    return " ".join(result)


def finish_french(words: Sequence[str]) -> str:
    """Join; elision (l', d', qu', n', j', s'), contraction (du, des, au, aux), cet, mon."""
    tokens = " ".join(words).split()
    result: list[str] = []
    for i, word in enumerate(tokens):
        following = tokens[i + 1] if i + 1 < len(tokens) else ""
        vowel = bool(following) and starts_with_vowel(following)
        if word in ("le", "la", "de", "que", "ne", "je") and vowel:
            result.append(word[:-1] + "'")
        elif word == "si" and following in ("il", "ils"):
            result.append("s'")
        elif word == "ce" and vowel:
            result.append("cet")
        elif word in ("ma", "sa") and vowel:
            result.append(word[0] + "on")
        elif word in ("le", "les") and result and result[-1] in ("de", "à"):
            contracted = {"dele": "du", "deles": "des", "àle": "au", "àles": "aux"}
            result[-1] = contracted[result[-1] + word]
        else:
            result.append(word)
    return " ".join(result).replace("' ", "'")


UNITS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce "
    "quince dieciséis diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés "
    "veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze "
    "quinze seize dix-sept dix-huit dix-neuf",
}
TENS = {
    "en": "- ten twenty thirty forty fifty sixty seventy eighty ninety",
    "es": "- diez veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "fr": "- dix vingt trente quarante cinquante soixante soixante quatre-vingt quatre-vingt",
}
DIGITS_ZH = "零一二三四五六七八九"


def number(n: int, language: str, counting: bool = True) -> str:
    """A number from 2 to 99 in words, no x1 above 10 (they inflect in Spanish and French).

    Args:
        n: the number.
        language: ``en``, ``es``, ``fr`` or ``zh``.
        counting: in Chinese, whether a measure word follows (两, not 二).
    """
    assert 2 <= n <= 99, n
    assert n % 10 != 1 or n == 11, n
    if language == "zh":
        if n == 2 and counting:
            return "两"
        tens = ("" if n < 20 else DIGITS_ZH[n // 10]) + "十" if n >= 10 else ""
        return tens + (DIGITS_ZH[n % 10] if n % 10 else "")
    units, tens_words = UNITS[language].split(), TENS[language].split()
    if n < len(units):
        return units[n]
    tens, unit = tens_words[n // 10], n % 10
    if language == "fr":
        unit += 10 if n // 10 in (7, 9) else 0
        return "quatre-vingts" if n == 80 else f"{tens}-{units[unit]}" if unit else tens
    joiner = " y " if language == "es" else " "
    return f"{tens}{joiner}{units[unit]}" if unit else tens
