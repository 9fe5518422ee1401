"""Random clauses: who does what, when and where, drawn from a lexicon."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from espnet_entropy.corpora.mini_synth import circumstances
from espnet_entropy.corpora.mini_synth import morphology as morph
from espnet_entropy.corpora.mini_synth.clauses import Adverbial, Clause, Predicate, Relative
from espnet_entropy.corpora.mini_synth.lexicon import Adjective, Lexicon, Noun
from espnet_entropy.corpora.mini_synth.phrases import NP, POSSESSIVES, Pair, Place, Pronoun

T = TypeVar("T")
KNOWN = ("the", "this", "my", "our", "his", "her", "their")  # determiners that a negation bears


class StuckError(Exception):
    """The meaning begun cannot be completed; another one is drawn."""


class ClauseSampler:
    """Draws clauses and their parts from a lexicon.

    Args:
        lexicon: the words.
        rng: the source of all chance.
    """

    def __init__(self, lexicon: Lexicon, rng: random.Random) -> None:
        self.lexicon, self.rng = lexicon, rng
        self.counts: Counter[str] = Counter()
        self.used: set[Noun] = set()  # a noun occurs once in a sentence

    # -- parts ---------------------------------------------------------------------------

    def chance(self, p: float) -> bool:
        """True with probability ``p``."""
        return self.rng.random() < p

    def rare(self, items: Sequence[T], name: Callable[[T], str]) -> T:
        """Of three random items the one used least so far: all words get their turn."""
        few = self.rng.sample(items, min(3, len(items)))
        chosen = min(few, key=lambda item: self.counts[name(item)])
        self.counts[name(chosen)] += 1
        return chosen

    def noun(self, names: Sequence[str]) -> Noun:
        """A noun of the classes (or single nouns) ``names`` that the sentence has not used."""
        found = [n for n in self.lexicon.select(names) if n not in self.used]
        if not found:
            raise StuckError(f"no noun left in {names}")
        noun = self.rare(found, lambda n: n.en[0])
        self.used.add(noun)
        return noun

    def adjective(self, noun: Noun, *uses: str) -> Adjective | None:
        """An adjective that fits ``noun`` and whose use is none or one of ``uses``."""
        found = [
            a for a in self.lexicon.adjectives if a.fits(noun) and (not a.use or a.use in uses)
        ]
        return self.rare(found, lambda a: a.en) if found else None

    def np(self, noun: Noun, dets: Sequence[str] = (), p_adjective: float = 0.3) -> NP:
        """A noun phrase around ``noun``.

        Args:
            noun: the noun.
            dets: determiners to choose from (``number`` is one); empty: whatever is possible.
            p_adjective: how often it gets an adjective.
        """
        if noun.kind == "names":
            return NP(noun)
        adjective = None
        if noun.kind != "kin" and self.chance(p_adjective):
            adjective = self.adjective(noun, "estar", "attribute")
        if noun.kind == "kin":
            return NP(noun, "my" if self.lexicon.small else self.rng.choice(POSSESSIVES))
        if self.lexicon.small:
            det = self.rng.choice(dets or ("the", "the", "a", "my", "number"))
        else:
            det = self.rng.choice(dets) if dets else self._determiner(noun)
        if det == "number":
            return NP(noun, count=self.count(), plural=True, adjective=adjective)
        plural = det in ("many", "several") or (
            det != "another"
            and noun.kind not in ("mass", "drink")
            and not self.lexicon.small
            and self.chance(0.45)
        )
        return NP(noun, det, plural=plural, adjective=adjective)

    def _determiner(self, noun: Noun) -> str:
        if noun.kind in ("mass", "drink"):
            return self.rng.choice(("the", "the", "a", "a", "this", "my"))
        weights = {"the": 42, "a": 22, "this": 8, "number": 9, "many": 4, "several": 3}
        weights |= {"another": 4, "my": 3, "our": 2, "his": 2, "her": 2, "their": 2}
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def count(self) -> int:
        """A number, small ones more often."""
        numbers = self.lexicon.numbers
        return self.rng.choice(numbers[:9] if self.chance(0.6) else numbers)

    def subject(self, names: Sequence[str]) -> NP | Pronoun | Pair:
        """A subject of the classes ``names``."""
        if not self.lexicon.small and "person" in names:
            if self.chance(0.14):
                return Pronoun(self.rng.randrange(4), self.chance(0.5))
            if self.chance(0.06):
                return Pair(self.person(), self.person())
        return self.person(names)

    def person(self, names: Sequence[str] = ("person", "kin", "names")) -> NP:
        """Somebody (or an animal that ``names`` allows)."""
        kinds = [n for n in names if self.lexicon.select([n])]
        weights = [
            {"person": 6.0, "kin": 3.0, "names": 1.5, "animal": 2.0}.get(k, 1) for k in kinds
        ]
        noun = self.noun(self.rng.choices(kinds, weights))
        dets = ("the",) * 6 + (("a", "my") if self.lexicon.small else ("a", "this", "another"))
        if not self.lexicon.small and self.chance(0.1):
            dets = ("number", "many", "several", "our")
        np = self.np(noun, dets, p_adjective=0.2)
        if np.det == "the" and noun.human and not self.lexicon.small and self.chance(0.08):
            clause = self._simple(replace(np, adjective=None), self.rng.choice(("past", "present")))
            np = replace(np, adjective=None, relative=Relative(clause))
        return np

    def thing(self, verb: morph.Verb, dets: Sequence[str] = ()) -> NP:
        """An object for ``verb``."""
        if verb.fr["particle"]:
            dets = ("the", "this", "my")
        elif verb.zh == "有":
            dets = ("a", "a", "number", "many", "several")
        elif "pl" in verb.flags:
            dets = ("number", "many", "several")
        elif "st" in verb.flags:
            dets = KNOWN
        known = [n for n in verb.objects if self.lexicon.select([n])]
        np = self.np(self.noun(known), dets)
        plain = np.det == "the" and "st" not in verb.flags and not verb.fr["particle"]
        plain = plain and not (np.noun.human or np.noun.kind == "place" or self.lexicon.small)
        if plain and self.chance(0.07):
            head = replace(np, adjective=None)
            owner = Clause(self.person_plain(), Predicate(self.verb_for(np.noun), head), "past")
            return replace(head, relative=Relative(owner, of_object=True))
        return np

    def person_plain(self) -> NP:
        """Somebody, in few words."""
        noun = self.noun(self.rng.choice((["person"], ["kin"], ["names"])))
        return self.np(noun, ("the",), p_adjective=0.0)

    def verb_for(self, noun: Noun) -> morph.Verb:
        """A transitive verb that takes ``noun`` (there is always *see*, *buy* or *forget*)."""
        found = [
            v
            for v in self.lexicon.verbs["transitive"]
            if {noun.kind, noun.en[0]} & set(v.objects)
            and not v.flags & {"st", "pl"}
            and "person" in v.subjects
            and not v.fr["particle"]
        ]
        return self.rng.choice(found)

    def place(self) -> Place:
        """Where something happens."""
        if not self.lexicon.small:
            if self.chance(0.15):
                return Place(town=self.rng.choice(self.lexicon.phrases["towns"]))
            if self.chance(0.15):
                relation = self.rng.choice(("near", "behind", "in front of", "next to"))
                noun = self.noun(
                    ("house", "church", "school", "castle", "station", "bank", "tower")
                )
                return Place(self.np(noun, ("the", "this"), 0.2), relation)
        noun = self.noun(("place",))
        det = self.rng.choice(("the",) * 6 + (() if self.lexicon.small else ("this", "a", "our")))
        np = self.np(noun, (det,), p_adjective=0.2)
        return Place(replace(np, plural=False))

    def time(self, tense: str) -> Adverbial | None:
        """When, fitting ``tense``; ``None`` for the perfect."""
        if tense == "perfect":
            return None
        plain = self.lexicon.phrases[tense]
        if self.lexicon.small or tense == "progressive" or self.chance(0.5):
            return self.rng.choice(plain)
        return circumstances.time(self.rng, tense, self.lexicon.phrases)

    # -- clauses -------------------------------------------------------------------------

    def predicate(self, kind: str, known: bool = False) -> tuple[Predicate, tuple[str, ...]]:
        """A predicate and the classes of its subject; ``known``: no indefinite objects."""
        dets = KNOWN if known else ()
        verb = self.rare(self.lexicon.verbs[kind], lambda v: v.en[0])
        if kind == "control":
            inner, _ = self.predicate(self.rng.choice(("transitive", "intransitive", "motion")))
            while "st" in inner.verb.flags or "np" in inner.verb.flags:
                inner, _ = self.predicate("transitive")
            return Predicate(verb, inner=inner), ("person", "kin", "names")
        if kind == "motion":
            goal = self.place()
            while goal.relation:
                goal = self.place()
            return Predicate(verb, goal=goal), verb.subjects
        if kind == "ditransitive":
            gift = self.np(self.noun(("object", "document", "clothes")), dets)
            to = self.np(
                self.noun(self.rng.choice((["person"], ["kin"], ["names"]))), ("the",), 0.1
            )
            return Predicate(verb, gift, to=to), verb.subjects
        if kind == "transitive":
            return Predicate(verb, self.thing(verb, dets)), verb.subjects
        return Predicate(verb), verb.subjects

    def tense(self, verb: morph.Verb, wanted: str | None = None) -> str:
        """A tense that ``verb`` allows."""
        if "st" in verb.flags:
            return "present"
        if wanted:
            return wanted
        tenses = ["past"] * 8 + ["future"] * 4 + ["present"] * 4 + ["perfect"] * 2
        return self.rng.choice(tenses if "np" in verb.flags else [*tenses, *["progressive"] * 4])

    def _simple(self, subject: NP, tense: str) -> Clause:
        """A short clause about ``subject``, for a relative clause."""
        predicate, _ = self.predicate(self.rng.choice(("transitive", "motion")))
        while {"person", "kin", "names"}.isdisjoint(predicate.verb.subjects):
            predicate, _ = self.predicate("transitive")
        if predicate.object is not None and predicate.object.relative is not None:
            predicate = replace(predicate, object=replace(predicate.object, relative=None))
        if "np" in predicate.verb.flags:
            tense = "past"
        return Clause(subject, predicate, self.tense(predicate.verb, tense))

    def clause(self, tense: str | None = None, bare: bool = False) -> Clause:
        """A clause; ``bare``: short and affirmative, for use inside another sentence."""
        kinds = {"transitive": 58, "intransitive": 14, "motion": 10, "ditransitive": 8}
        if not self.lexicon.small and not bare:
            kinds["control"] = 10
        kind = self.rng.choices(list(kinds), list(kinds.values()))[0]
        small = self.lexicon.small
        negative = not small and not bare and kind != "control" and self.chance(0.12)
        predicate, subjects = self.predicate(kind, known=negative)
        while bare and tense and "st" in predicate.verb.flags and tense != "present":
            predicate, subjects = self.predicate(kind)
        tense = self.tense(predicate.verb, tense)
        if negative and (tense in ("progressive", "perfect") or predicate.verb.zh == "有"):
            negative = False
        if kind == "motion" and tense == "progressive":
            tense = "past"
        clause = Clause(self.subject(subjects), predicate, tense, negative)
        return clause if bare and self.chance(0.5) else self._circumstances(clause, kind)

    def _circumstances(self, clause: Clause, kind: str) -> Clause:
        """Add time, place, manner and company where they make sense."""
        verb = clause.predicate.verb
        if "st" in verb.flags:
            return clause
        small, object_ = self.lexicon.small, clause.predicate.object
        time = self.time(clause.tense) if self.chance(0.6) else None
        placeless = kind in ("motion", "control") or (
            object_ is not None and (object_.noun.kind == "place" or object_.relative is not None)
        )
        place = None if placeless or not self.chance(0.4) else self.place()
        manner = company = None
        if not small and not clause.negative and kind in ("transitive", "intransitive"):
            human = isinstance(clause.subject, NP) and clause.subject.noun.human
            if human and "np" not in verb.flags and self.chance(0.2):
                last = None if clause.tense in ("past", "future") else -1  # no "immediately"
                manner = self.rng.choice(self.lexicon.phrases["manner"][:last])
            elif human and self.chance(0.1):
                company = self.np(self.noun(("kin", "names")))
        front = time is not None and not small and self.chance(0.2)
        return replace(clause, time=time, front=front, place=place, manner=manner, company=company)
