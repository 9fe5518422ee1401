"""Sentences other than plain clauses: being, comparing, existing, and clauses joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from espnet_entropy.corpora.mini_synth import morphology as morph
from espnet_entropy.corpora.mini_synth.clauses import BE, ESTAR, ETRE, Adverbial, Clause
from espnet_entropy.corpora.mini_synth.lexicon import Adjective
from espnet_entropy.corpora.mini_synth.phrases import NP, Place, Subject, join

SER = ("soy", "es", "somos", "son")
PAST_BE = ("was", "was", "were", "were")
ESTABA = ("estaba", "estaba", "estábamos", "estaban")
ETAIT = ("étais", "était", "étions", "étaient")
DEGREES = {  # English: Spanish, French, Chinese
    "": ("", "", "很"),
    "very": ("muy", "très", "非常"),
    "too": ("demasiado", "trop", "太"),
}


class Realised(Protocol):
    """Anything that can be said in four languages."""

    def en(self) -> str:
        """English."""

    def es(self) -> str:
        """Spanish."""

    def fr(self) -> str:
        """French."""

    def zh(self) -> str:
        """Chinese."""


def _form(np: Subject, language: str) -> int:
    feminine = np.es_feminine if language == "es" else np.fr_feminine
    return int(feminine) + 2 * int(np.plural)


@dataclass(frozen=True)
class IsAdjective:
    """``the doctor was tired yesterday``; the past (with a time) for passing states only."""

    subject: Subject
    adjective: Adjective
    degree: str = ""
    negative: bool = False
    past: Adverbial | None = None

    def en(self) -> str:
        """English."""
        be = (PAST_BE if self.past else BE)[self.subject.person]
        no = "not" if self.negative else ""
        time = self.past[0] if self.past else ""
        return join(self.subject.en(), be, no, self.degree, self.adjective.en, time)

    def es(self) -> str:
        """Spanish: ser or estar."""
        estar = ESTABA if self.past else ESTAR
        be = (estar if self.adjective.use == "estar" else SER)[self.subject.person]
        no, time = "no" if self.negative else "", self.past[1] if self.past else ""
        adjective = self.adjective.es[_form(self.subject, "es")]
        return join(self.subject.es(), no, be, DEGREES[self.degree][0], adjective, time)

    def fr(self) -> str:
        """French."""
        be = (ETAIT if self.past else ETRE)[self.subject.person]
        be = f"ne {be} pas" if self.negative else be
        adjective = self.adjective.fr[_form(self.subject, "fr")]
        time = self.past[2] if self.past else ""
        return join(self.subject.fr(), be, DEGREES[self.degree][1], adjective, time)

    def zh(self) -> str:
        """Chinese: 很…, or 是…的 for what is no matter of degree."""
        time = self.past[3] if self.past else ""
        if self.adjective.zh_is:
            be = "不是" if self.negative else "是"
            return f"{self.subject.zh()}{time}{be}{self.adjective.zh}的"
        degree = "不" if self.negative else DEGREES[self.degree][2]
        end = "了" if self.degree == "too" and not self.negative else ""
        return self.subject.zh() + time + degree + self.adjective.zh + end


@dataclass(frozen=True)
class Compares:
    """``the horse is bigger than the dog``, or (``equal``) ``as big as``."""

    subject: NP
    adjective: Adjective
    other: NP
    equal: bool = False

    def en(self) -> str:
        """English."""
        how = f"as {self.adjective.en} as" if self.equal else f"{self.adjective.comparative} than"
        return join(self.subject.en(), BE[self.subject.person], how, self.other.en())

    def es(self) -> str:
        """Spanish."""
        be = (ESTAR if self.adjective.use == "estar" else SER)[self.subject.person]
        adjective = self.adjective.es[_form(self.subject, "es")]
        how = f"tan {adjective} como" if self.equal else f"más {adjective} que"
        return join(self.subject.es(), be, how, self.other.es())

    def fr(self) -> str:
        """French."""
        adjective = self.adjective.fr[_form(self.subject, "fr")]
        how = f"{'aussi' if self.equal else 'plus'} {adjective} que"
        return join(self.subject.fr(), ETRE[self.subject.person], how, self.other.fr())

    def zh(self) -> str:
        """Chinese."""
        if self.equal:
            return f"{self.subject.zh()}和{self.other.zh()}一样{self.adjective.zh}"
        return f"{self.subject.zh()}比{self.other.zh()}更{self.adjective.zh}"


@dataclass(frozen=True)
class IsNoun:
    """``my brother is a doctor``, or (``wish``) ``wants to become a doctor``."""

    subject: NP
    noun: NP  # bare, of the subject's gender
    wish: bool = False

    def en(self) -> str:
        """English."""
        be = "wants to become a" if self.wish else "is a"
        return f"{self.subject.en()} {be} {self.noun.en()}"

    def es(self) -> str:
        """Spanish has no article here."""
        return f"{self.subject.es()} {'quiere ser' if self.wish else 'es'} {self.noun.es()}"

    def fr(self) -> str:
        """French has no article here."""
        return f"{self.subject.fr()} {'veut devenir' if self.wish else 'est'} {self.noun.fr()}"

    def zh(self) -> str:
        """Chinese."""
        be = "想成为" if self.wish else "是"
        return f"{self.subject.zh()}{be}一{self.noun.noun.measure}{self.noun.zh()}"


@dataclass(frozen=True)
class Exists:
    """``there are three cats in the garden``; a question or a statement."""

    np: NP
    place: Place
    question: bool = False

    def en(self) -> str:
        """English."""
        be = "are" if self.np.plural else "is"
        start = f"{be} there" if self.question else f"there {be}"
        return f"{start} {self.np.en()} {self.place.en()}"

    def es(self) -> str:
        """Spanish."""
        return f"hay {self.np.es()} {self.place.es()}"

    def fr(self) -> str:
        """French."""
        start = "est-ce qu'il y a" if self.question else "il y a"
        return f"{start} {self.np.fr()} {self.place.fr()}"

    def zh(self) -> str:
        """Chinese."""
        return f"{self.place.zh()}有{self.np.zh()}{'吗' if self.question else ''}"


@dataclass(frozen=True)
class Located:
    """``the book is under the table``, or (``question``) ``where is the book``."""

    np: NP
    place: Place
    question: bool = False

    def en(self) -> str:
        """English."""
        be = BE[self.np.person]
        return (
            f"where {be} {self.np.en()}"
            if self.question
            else join(self.np.en(), be, self.place.en())
        )

    def es(self) -> str:
        """Spanish."""
        be = ESTAR[self.np.person]
        return (
            f"dónde {be} {self.np.es()}"
            if self.question
            else join(self.np.es(), be, self.place.es())
        )

    def fr(self) -> str:
        """French."""
        be = ETRE[self.np.person]
        return (
            f"où {be} {self.np.fr()}" if self.question else join(self.np.fr(), be, self.place.fr())
        )

    def zh(self) -> str:
        """Chinese."""
        return f"{self.np.zh()}在{'哪里' if self.question else self.place.zh()}"


@dataclass(frozen=True)
class Measures:
    """``the hat costs twenty five euros`` or (a person) ``my brother is twelve years old``."""

    np: NP
    value: int

    def en(self) -> str:
        """English."""
        n = morph.number(self.value, "en")
        if self.np.noun.human:
            return f"{self.np.en()} is {n} years old"
        return f"{self.np.en()} {'cost' if self.np.plural else 'costs'} {n} euros"

    def es(self) -> str:
        """Spanish."""
        n = morph.number(self.value, "es")
        if self.np.noun.human:
            return f"{self.np.es()} tiene {n} años"
        return f"{self.np.es()} {'cuestan' if self.np.plural else 'cuesta'} {n} euros"

    def fr(self) -> str:
        """French."""
        n = morph.number(self.value, "fr")
        if self.np.noun.human:
            return f"{self.np.fr()} a {n} ans"
        return f"{self.np.fr()} {'coûtent' if self.np.plural else 'coûte'} {n} euros"

    def zh(self) -> str:
        """Chinese."""
        if self.np.noun.human:
            return f"{self.np.zh()}{morph.number(self.value, 'zh')}岁"
        return f"{self.np.zh()}要{morph.number(self.value, 'zh')}欧元"


@dataclass(frozen=True)
class Weather:
    """``it is raining in paris``."""

    words: Adverbial
    place: Place

    def en(self) -> str:
        """English."""
        return f"it is {self.words[0]} {self.place.en()}"

    def es(self) -> str:
        """Spanish."""
        return f"{self.words[1]} {self.place.es()}"

    def fr(self) -> str:
        """French."""
        return f"{self.words[2]} {self.place.fr()}"

    def zh(self) -> str:
        """Chinese."""
        return f"{self.place.zh()}正在{self.words[3]}"


CONJUNCTIONS = {
    "and": ("y", "et", "而"),
    "but": ("pero", "mais", "但是"),
    "because": ("porque", "parce que", "因为"),
    "so": ("así que", "donc", "所以"),
}


@dataclass(frozen=True)
class Joined:
    """Two sentences joined by a conjunction."""

    first: Realised
    word: str
    second: Realised

    def en(self) -> str:
        """English."""
        return f"{self.first.en()} {self.word} {self.second.en()}"

    def es(self) -> str:
        """Spanish."""
        return f"{self.first.es()} {CONJUNCTIONS[self.word][0]} {self.second.es()}"

    def fr(self) -> str:
        """French."""
        return f"{self.first.fr()} {CONJUNCTIONS[self.word][1]} {self.second.fr()}"

    def zh(self) -> str:
        """Chinese."""
        return f"{self.first.zh()}{CONJUNCTIONS[self.word][2]}{self.second.zh()}"


@dataclass(frozen=True)
class If:
    """``if the doctor buys the car my sister will sell the house``."""

    condition: Clause
    result: Clause  # in the future

    def en(self) -> str:
        """English."""
        return f"if {self.condition.en()} {self.result.en()}"

    def es(self) -> str:
        """Spanish."""
        return f"si {self.condition.es()} {self.result.es()}"

    def fr(self) -> str:
        """French."""
        return f"si {self.condition.fr()} {self.result.fr()}"

    def zh(self) -> str:
        """Chinese."""
        result = self.result.subject.zh() + self.result.zh_rest(then=True)
        return f"如果{self.condition.zh()}{result}"


@dataclass(frozen=True)
class Reports:
    """``the doctor says that my sister will sell the house``."""

    frame: Clause  # subject and verb
    content: Realised

    def en(self) -> str:
        """English."""
        return f"{self.frame.en()} that {self.content.en()}"

    def es(self) -> str:
        """Spanish."""
        return f"{self.frame.es()} que {self.content.es()}"

    def fr(self) -> str:
        """French."""
        return f"{self.frame.fr()} que {self.content.fr()}"

    def zh(self) -> str:
        """Chinese."""
        return f"{self.frame.zh()}{self.content.zh()}"
