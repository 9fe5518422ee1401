"""Random sentences with their translations: meanings are drawn, then said in four languages."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from espnet_entropy.corpora.mini_synth import morphology as morph
from espnet_entropy.corpora.mini_synth import sentences as s
from espnet_entropy.corpora.mini_synth.clauses import (
    Clause,
    Predicate,
    Question,
    Who,
)
from espnet_entropy.corpora.mini_synth.lexicon import load
from espnet_entropy.corpora.mini_synth.phrases import NP, Place
from espnet_entropy.corpora.mini_synth.sampler import KNOWN, ClauseSampler, StuckError

NOT_PROFESSIONS = ("boy", "girl", "man", "woman", "guest", "friend", "neighbor", "giant", "tourist")


@dataclass(frozen=True)
class Sentence:
    """One sentence: English in upper case, the others in lower case, none with punctuation."""

    en: str
    es: str
    fr: str
    zh: str


def realise(meaning: s.Realised) -> Sentence:
    """Say ``meaning`` in the four languages."""
    return Sentence(
        morph.finish_english(meaning.en().split()),
        morph.finish_spanish(meaning.es().split()),
        morph.finish_french(meaning.fr().split()),
        meaning.zh(),
    )


def generate(vocabulary: str, seed: int) -> Iterator[Sentence]:
    """Distinct sentences without end, always the same for one vocabulary and seed.

    Args:
        vocabulary: ``small`` (about 100 English words) or ``large`` (more than 1500).
        seed: any integer.

    Raises:
        ValueError: for an unknown vocabulary.
    """
    sampler = Sampler(load(vocabulary), random.Random(f"{vocabulary} {seed}"))
    seen: set[str] = set()
    while True:
        sentence = realise(sampler.sentence())
        if sentence.en not in seen:
            seen.add(sentence.en)
            yield sentence


class Sampler(ClauseSampler):
    """Draws whole sentences."""

    def sentence(self) -> s.Realised:
        """One meaning."""
        while True:
            self.used = set()
            try:
                return self._draw()
            except StuckError:
                continue

    def _draw(self) -> s.Realised:
        if self.lexicon.small:
            return self.clause("past")
        kinds: dict[Callable[[], s.Realised], float] = {
            self.clause: 48,
            self.question: 16,
            self.joined: 7,
            self.reports: 5,
            self.conditional: 3,
            self.is_adjective: 8,
            self.compares: 3,
            self.is_noun: 2,
            self.exists: 3,
            self.located: 2,
            self.measures: 2,
            self.weather: 1,
        }
        return self.rng.choices(list(kinds), list(kinds.values()))[0]()

    # -- other sentences -----------------------------------------------------------------

    def question(self) -> s.Realised:
        """A question of any kind."""
        asks = self.rng.choice(
            ("yes", "yes", "where", "when", "why", "who", "what", "which", "many")
        )
        clause = replace(self.clause(bare=True), front=False)
        verb = clause.predicate.verb
        while (
            clause.tense == "perfect"
            or "st" in verb.flags
            or (asks in ("what", "which", "many") and not self._asks_object(clause))
            or (asks == "where" and clause.predicate.goal is not None)
            or (asks == "when" and clause.tense == "progressive")
        ):
            self.used = set()
            clause = replace(self.clause(bare=True), front=False)
            verb = clause.predicate.verb
        if asks == "who":
            return replace(clause, subject=Who())
        if asks == "where":
            clause = replace(clause, place=None)
        elif asks == "when":
            clause = replace(clause, time=None)
        elif asks == "many":
            object_ = clause.predicate.object
            assert object_ is not None
            plural = replace(object_, plural=True)
            clause = replace(clause, predicate=replace(clause.predicate, object=plural))
        return Question(clause, asks)

    @staticmethod
    def _asks_object(clause: Clause) -> bool:
        """Whether one can ask for the object (no people, nothing uncountable)."""
        object_, predicate = clause.predicate.object, clause.predicate
        return (
            object_ is not None
            and predicate.to is None
            and not predicate.verb.fr["particle"]
            and not object_.noun.human
            and object_.noun.kind not in ("animal", "mass", "drink", "place")
        )

    def joined(self) -> s.Realised:
        """Two clauses with a conjunction."""
        word = self.rng.choice(("and", "but", "because", "so"))
        if word in ("and", "but"):
            tense = self.rng.choice(("past", "future", "progressive"))
            return s.Joined(self._plain(tense), word, self._plain(tense))
        state = self.is_adjective(people=True)
        clause = self._plain("past" if state.past else "present")
        return s.Joined(*((clause, word, state) if word == "because" else (state, word, clause)))

    def _plain(self, tense: str) -> Clause:
        """A bare clause in exactly this tense."""
        while True:
            clause = replace(self.clause(tense, bare=True), front=False)
            stiff = clause.predicate.verb.flags & ({"np", "st"} if tense != "past" else {"st"})
            if clause.tense == tense and not stiff:
                return clause

    def reports(self) -> s.Realised:
        """Somebody says something."""
        verb = self.rng.choice(self.lexicon.verbs["say"])
        subject = self.subject(("person", "kin", "names"))
        content: s.Realised
        if self.chance(0.25):
            content = self.is_adjective()
        else:
            content = self._plain(self.rng.choice(("past", "future", "progressive")))
        return s.Reports(Clause(subject, Predicate(verb), "present"), content)

    def conditional(self) -> s.Realised:
        """If …, …"""
        condition = replace(self._plain("present"), time=None)
        return s.If(condition, self._plain("future"))

    def is_adjective(self, people: bool = False) -> s.IsAdjective:
        """Somebody or something is so."""
        while True:
            kinds = ("person", "kin") if people or self.chance(0.4) else self._things()
            np = self.np(self.noun((self.rng.choice(kinds),)), KNOWN, p_adjective=0.0)
            adjective = self.adjective(np.noun, "estar", "predicate")
            if adjective is not None:
                break
        past = self.time("past") if adjective.use == "estar" and self.chance(0.6) else None
        degree = "" if adjective.zh_is else self.rng.choice(("", "", "very", "too"))
        return s.IsAdjective(np, adjective, degree, self.chance(0.15) and not degree, past)

    @staticmethod
    def _things() -> tuple[str, ...]:
        return (
            *("animal", "food", "object", "clothes", "document", "instrument", "vehicle"),
            *("furniture", "abstract", "place", "mass", "drink"),
        )

    def compares(self) -> s.Realised:
        """Two things of a kind compared."""
        kind = self.rng.choice(
            ("person", "animal", "object", "clothes", "vehicle", "place", "food")
        )
        while True:
            first, second = self.noun((kind,)), self.noun((kind,))
            found = [
                a
                for a in self.lexicon.adjectives
                if a.fits(first) and a.fits(second) and not a.zh_is and a.use != "attribute"
            ]
            if found:
                break
            self.used = set()
        np = replace(self.np(first, KNOWN, 0.0), plural=False)
        other = replace(self.np(second, ("the", "this"), 0.0), plural=False)
        return s.Compares(np, self.rng.choice(found), other, equal=self.chance(0.3))

    def is_noun(self) -> s.Realised:
        """Somebody is something by profession."""
        subject = self.np(self.noun((self.rng.choice(("kin", "names")),)))
        people = self.lexicon.nouns["person"]
        names = [
            n.en[0]
            for n in people
            if n.es_feminine == subject.es_feminine and n.en[0] not in NOT_PROFESSIONS
        ]
        return s.IsNoun(subject, NP(self.noun(names)), wish=self.chance(0.4))

    def exists(self) -> s.Realised:
        """There is something somewhere."""
        kind = self.rng.choice(("person", "animal", "object", "vehicle", "furniture"))
        np = self.np(self.noun((kind,)), ("a", "number", "many", "several"))
        return s.Exists(np, self.place(), question=self.chance(0.2) and np.det == "a")

    def located(self) -> s.Realised:
        """Something is somewhere."""
        np = self.np(self.noun(("object", "document", "clothes", "cat", "dog")), KNOWN, 0.2)
        if self.chance(0.25):
            return s.Located(np, Place(), question=True)
        if self.chance(0.6):
            noun = self.noun(("table", "chair", "bed", "sofa", "desk", "bench"))
            relation = self.rng.choice(("on", "under", "behind", "next to", "near"))
            support = replace(self.np(noun, ("the", "this"), 0.1), plural=False)
            return s.Located(np, Place(support, relation))
        return s.Located(np, self.place())

    def measures(self) -> s.Realised:
        """A price or an age."""
        value = self.rng.choice([n for n in self.lexicon.numbers if n >= 12])
        if self.chance(0.4):
            return s.Measures(self.np(self.noun(("kin", "names"))), value)
        noun = self.noun(("object", "clothes", "document", "instrument"))
        return s.Measures(replace(self.np(noun, KNOWN, 0.2), plural=self.chance(0.3)), value)

    def weather(self) -> s.Realised:
        """Rain and snow in a town."""
        words, towns = self.lexicon.phrases["weather"], self.lexicon.phrases["towns"]
        return s.Weather(self.rng.choice(words), Place(town=self.rng.choice(towns)))
