"""The words of the grammar, read from the YAML files beside this module."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from espnet_entropy.corpora.mini_synth import morphology as morph
from espnet_entropy.utils.config import check_choice, read_yaml

HERE = Path(__file__).parent
VOCABULARIES = ("small", "large")
T = TypeVar("T")


@dataclass(frozen=True)
class Noun:
    """A noun: (singular, plural) per language, gender, Chinese measure word, place words."""

    kind: str
    en: tuple[str, str]
    es: tuple[str, str]
    es_feminine: bool
    fr: tuple[str, str]
    fr_feminine: bool
    zh: str
    measure: str
    en_at: str = ""
    fr_at: str = ""
    zh_at: str = ""

    @property
    def human(self) -> bool:
        """Whether it names a person."""
        return self.kind in ("person", "kin", "names")


@dataclass(frozen=True)
class Adjective:
    """An adjective; forms are (masculine, feminine, masculine plural, feminine plural)."""

    en: str
    comparative: str
    es: morph.Forms
    fr: morph.Forms
    before: bool  # stands before the noun in French
    zh: str
    zh_is: bool  # predicate with 是…的
    zh_bare: bool  # attribute without 的
    applies: frozenset[str]  # classes and nouns
    use: str  # "", "estar", "attribute" or "predicate"

    def fits(self, noun: Noun) -> bool:
        """Whether the adjective makes sense with ``noun``."""
        return noun.kind in self.applies or noun.en[0] in self.applies


@dataclass(frozen=True)
class Lexicon:
    """All words of one vocabulary, by class."""

    nouns: dict[str, list[Noun]]
    adjectives: list[Adjective]
    verbs: dict[str, list[morph.Verb]]
    phrases: dict[str, list[tuple[str, ...]]]  # adverbials and places: (en, es, fr, zh)
    numbers: tuple[int, ...]
    small: bool
    by_name: dict[str, Noun] = field(default_factory=dict)

    def select(self, names: Iterable[str]) -> list[Noun]:
        """The nouns that ``names`` (classes or single nouns) stand for."""
        found: list[Noun] = []
        for name in names:
            found += self.nouns.get(name, [self.by_name[name]] if name in self.by_name else [])
        return found


@cache
def load(vocabulary: str) -> Lexicon:
    """Read the ``small`` or ``large`` vocabulary.

    Raises:
        ValueError: for another name.
    """
    check_choice(vocabulary, VOCABULARIES, "vocabulary", "mini_synth")
    irregular = read_yaml(HERE / "irregular.yaml")
    words, others = read_yaml(HERE / "verbs.yaml"), read_yaml(HERE / "others.yaml")
    nouns = {
        kind: [_noun(kind, line) for line in lines]
        for kind, lines in read_yaml(HERE / "nouns.yaml").items()
    }
    nouns["names"] = [_name(line) for line in others.pop("names")]
    verbs = {k: [_verb(k, line, irregular) for line in lines] for k, lines in words.items()}
    phrases = {kind: [_split(line) for line in lines] for kind, lines in others.items()}
    adjectives = [_adjective(line) for line in read_adjectives()]
    numbers = tuple(n for n in range(2, 100) if n % 10 != 1 or n == 11)
    if vocabulary == "small":
        chosen = read_yaml(HERE / "small.yaml")
        nouns = {k: _keep(v, chosen.get(k, ""), lambda n: n.en[0]) for k, v in nouns.items()}
        verbs = {k: _keep(v, chosen.get(k, ""), lambda v: v.en[0]) for k, v in verbs.items()}
        adjectives = _keep(adjectives, chosen["adjectives"], lambda a: a.en)
        past = chosen["past"].split("|")
        phrases = {"past": [p for p in phrases["past"] if p[0] in past]}
        numbers = tuple(chosen["numbers"])
    by_name = {n.en[0]: n for kind in nouns.values() for n in kind}
    return Lexicon(nouns, adjectives, verbs, phrases, numbers, vocabulary == "small", by_name)


def read_adjectives() -> list[str]:
    """The lines of ``adjectives.yaml``."""
    import yaml

    lines = yaml.safe_load((HERE / "adjectives.yaml").read_text(encoding="utf-8"))
    assert isinstance(lines, list)
    return lines


def _keep(items: list[T], names: str, name: Callable[[T], str]) -> list[T]:
    chosen = names.split()
    first: dict[str, T] = {}
    for item in items:  # of homonyms (two kinds of "old") the first
        if name(item) in chosen:
            first.setdefault(name(item), item)
    return list(first.values())


def _split(line: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in line.split("|"))


def _pair(text: str, plural: Callable[[str], str]) -> tuple[str, str]:
    singular, _, given = text.partition("/")
    return singular, given or plural(singular)


def _noun(kind: str, line: str) -> Noun:
    en, es, fr, zh, *place = _split(line)
    es_gender, es_noun = es.split(" ", 1)
    fr_gender, fr_noun = fr.split(" ", 1)
    word, measure = zh.split()
    at = (place[0], place[1], place[2].replace("-", "")) if place else ("", "", "")
    return Noun(
        kind,
        _pair(en, morph.english_plural),
        _pair(es_noun, morph.spanish_plural),
        es_gender == "f",
        _pair(fr_noun, morph.french_plural),
        fr_gender == "f",
        word,
        measure,
        *at,
    )


def _name(line: str) -> Noun:
    en, es, fr, gender, zh = _split(line)
    f = gender == "f"
    return Noun("names", (en, en), (es, es), f, (fr, fr), f, zh, "位")


def _verb(kind: str, line: str, irregular: dict[str, Any]) -> morph.Verb:
    en, es, fr, zh, *rest = _split(line)
    forms, _, particle = en.partition("+")
    skipped = {"intransitive": 1, "control": 2}.get(kind, 0)  # columns these kinds lack
    none: list[str] = []
    objects, subjects, flags = ([none] * skipped + [r.split() for r in rest] + [none] * 3)[:3]
    return morph.Verb(
        morph.english_verb(forms),
        particle,
        morph.spanish_verb(es, irregular["es"]),
        morph.french_verb(fr, irregular["fr"]),
        zh,
        tuple(objects),
        tuple(subjects) or ("person", "kin", "names"),
        frozenset(flags),
    )


def _adjective(line: str) -> Adjective:
    en, es, fr, zh, applies, *use = _split(line)
    base, _, comparative = en.partition("/")
    invariable = es.startswith("=")
    return Adjective(
        base,
        comparative or f"more {base}",
        (es[1:],) * 4 if invariable else morph.spanish_adjective(es),
        (fr[1:],) * 4 if invariable else morph.french_adjective(fr.removeprefix("^")),
        fr.startswith("^"),
        zh.rstrip("!~"),
        "!" in zh,
        "~" in zh,
        frozenset(applies.split()),
        "attribute" if invariable else use[0] if use else "",
    )
