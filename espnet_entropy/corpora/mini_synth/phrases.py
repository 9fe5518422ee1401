"""Noun phrases and places, realised in English, Spanish, French and Chinese.

Every realiser returns a string of words separated by blanks (Chinese: none); elision,
contraction and a/an are left to the ``finish_*`` functions of ``morphology``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from espnet_entropy.corpora.mini_synth.lexicon import Adjective, Noun
from espnet_entropy.corpora.mini_synth.morphology import number, starts_with_vowel

if TYPE_CHECKING:
    from espnet_entropy.corpora.mini_synth.clauses import Relative

# determiner: English (singular, plural), Spanish and French forms (m, f, m plural, f plural)
DETERMINERS: dict[str, tuple[tuple[str, str], str, str, tuple[str, str]]] = {
    "the": (("the", "the"), "el la los las", "le la les les", ("那", "那些")),
    "a": (("a", "some"), "un una unos unas", "un une des des", ("一", "一些")),
    "this": (("this", "these"), "este esta estos estas", "ce cette ces ces", ("这", "这些")),
    "many": (("", "many"), "- - muchos muchas", "- - beaucoup_de beaucoup_de", ("", "很多")),
    "several": (("", "several"), "- - varios varias", "- - plusieurs plusieurs", ("", "好几")),
    "another": (("another", ""), "otro otra - -", "un_autre une_autre - -", ("另一", "")),
    "my": (("my", "my"), "mi mi mis mis", "mon ma mes mes", ("我的", "我的")),
    "our": (
        ("our", "our"),
        "nuestro nuestra nuestros nuestras",
        "notre notre nos nos",
        ("我们的", "我们的"),
    ),
    "his": (("his", "his"), "su su sus sus", "son sa ses ses", ("他的", "他的")),
    "her": (("her", "her"), "su su sus sus", "son sa ses ses", ("她的", "她的")),
    "their": (("their", "their"), "su su sus sus", "leur leur leurs leurs", ("他们的", "他们的")),
}
VERMIN = ("bee", "ant", "butterfly", "spider", "frog", "lizard", "snake", "mouse")
POSSESSIVES = ("my", "our", "his", "her", "their")


@dataclass(frozen=True)
class NP:
    """A noun phrase: noun, determiner (or a count, or none for names), adjective, relative."""

    noun: Noun
    det: str = ""
    count: int = 0
    plural: bool = False
    adjective: Adjective | None = None
    relative: Relative | None = None

    @property
    def person(self) -> int:
        """Index into verb forms: 1 he/she/it, 3 they."""
        return 3 if self.plural else 1

    @property
    def es_feminine(self) -> bool:
        """Gender in Spanish."""
        return self.noun.es_feminine

    @property
    def fr_feminine(self) -> bool:
        """Gender in French."""
        return self.noun.fr_feminine

    @property
    def mass(self) -> bool:
        """Whether the noun is uncountable."""
        return self.noun.kind in ("mass", "drink")

    def en(self) -> str:
        """``the red car that my brother bought`` (``a`` not yet ``an``)."""
        det = number(self.count, "en") if self.count else ""
        if self.det:
            det = "some" if self.det == "a" and self.mass else DETERMINERS[self.det][0][self.plural]
        adjective = self.adjective.en if self.adjective else ""
        relative = self.relative.en() if self.relative else ""
        return join(det, adjective, self.noun.en[self.plural], relative)

    def es(self) -> str:
        """``el coche rojo que compró mi hermano`` (``de el`` not yet ``del``)."""
        form = self.es_feminine + 2 * self.plural
        det = number(self.count, "es") if self.count else ""
        if self.det and not (self.det == "a" and self.mass):
            det = DETERMINERS[self.det][1].split()[form]
        adjective = self.adjective.es[form] if self.adjective else ""
        relative = self.relative.es() if self.relative else ""
        return join(det, self.noun.es[self.plural], adjective, relative)

    def es_object(self) -> str:
        """As a direct object: people, and known animals near to them, take ``a``."""
        known = self.det not in ("a", "many", "several", "another") and not self.count
        pet = self.noun.kind == "animal" and self.noun.en[0] not in VERMIN
        personal = self.noun.human or (pet and known)
        return join("a" if personal else "", self.es())

    def fr(self) -> str:
        """``la voiture rouge que mon frère a achetée`` (``le a`` not yet ``l'a``)."""
        noun, form = self.noun.fr[self.plural], self.fr_feminine + 2 * self.plural
        det = number(self.count, "fr") if self.count else ""
        before = self.adjective is not None and self.adjective.before
        if self.det:
            det = DETERMINERS[self.det][2].split()[form].replace("_", " ")
            if self.det == "a" and self.mass:
                det = "de " + ("la" if self.fr_feminine else "le")
            elif self.det == "a" and self.plural and before:
                det = "de"
        adjective = self.adjective.fr[form] if self.adjective else ""
        if before and form == 0 and starts_with_vowel(noun):
            special = {"beau": "bel", "nouveau": "nouvel", "vieux": "vieil"}
            adjective = special.get(adjective, adjective)
        relative = self.relative.fr() if self.relative else ""
        return join(*((det, adjective, noun) if before else (det, noun, adjective)), relative)

    def zh(self, bare: bool = False) -> str:
        """``我的哥哥买的那辆红色的汽车``.

        Args:
            bare: leave a plain ``the`` out (in places).
        """
        adjective = ""
        if self.adjective:
            adjective = self.adjective.zh + ("" if self.adjective.zh_bare else "的")
        det = number(self.count, "zh") + self.noun.measure if self.count else ""
        noun = self.noun.zh
        if self.det:
            det = DETERMINERS[self.det][3][self.plural]
            if self.det == "a" and self.mass:
                det = "一些"
            elif self.det in ("several",) or (
                not self.plural and self.det not in (*POSSESSIVES, "many")
            ):
                det += self.noun.measure
            if self.det == "the" and not self.relative and (self.noun.human or bare):
                det = ""
                noun += "们" if self.plural and self.noun.human else ""
        return (self.relative.zh() if self.relative else "") + det + adjective + noun


@dataclass(frozen=True)
class Pronoun:
    """A subject pronoun; ``person`` indexes verb forms (I, he/she, we, they)."""

    person: int
    feminine: bool = False
    count = 0
    det = ""

    @property
    def plural(self) -> bool:
        """Whether it stands for several."""
        return self.person >= 2

    @property
    def es_feminine(self) -> bool:
        """Only ``she`` is feminine."""
        return self.feminine and self.person == 1

    fr_feminine = es_feminine

    def _pick(self, forms: str) -> str:
        words = forms.split()
        return words[4] if self.person == 1 and self.feminine else words[self.person]

    def en(self) -> str:
        """English."""
        return self._pick("i he we they she")

    def es(self) -> str:
        """Spanish leaves it out."""
        return ""

    def fr(self) -> str:
        """French."""
        return self._pick("je il nous ils elle")

    def zh(self) -> str:
        """Chinese."""
        return self._pick("我 他 我们 他们 她")


@dataclass(frozen=True)
class Pair:
    """Two noun phrases joined by ``and``."""

    first: NP
    second: NP
    person = 3
    plural = True
    count = 0
    det = ""

    @property
    def es_feminine(self) -> bool:
        """Feminine only if both are."""
        return self.first.es_feminine and self.second.es_feminine

    @property
    def fr_feminine(self) -> bool:
        """Feminine only if both are."""
        return self.first.fr_feminine and self.second.fr_feminine

    def en(self) -> str:
        """English."""
        return f"{self.first.en()} and {self.second.en()}"

    def es(self) -> str:
        """Spanish."""
        return f"{self.first.es()} y {self.second.es()}"

    def fr(self) -> str:
        """French."""
        return f"{self.first.fr()} et {self.second.fr()}"

    def zh(self) -> str:
        """Chinese."""
        return f"{self.first.zh()}和{self.second.zh()}"


Subject = NP | Pronoun | Pair

RELATIONS = {  # English: Spanish, French, Chinese
    "near": ("cerca de", "près de", "附近"),
    "behind": ("detrás de", "derrière", "后面"),
    "in front of": ("delante de", "devant", "前面"),
    "next to": ("al lado de", "à côté de", "旁边"),
    "under": ("debajo de", "sous", "下面"),
    "on": ("en", "sur", "上"),
}


@dataclass(frozen=True)
class Place:
    """Where: a place noun with its own preposition, a relation to a thing, or a town."""

    np: NP | None = None
    relation: str = ""  # "": the noun's own preposition
    town: tuple[str, ...] = ()

    def en(self) -> str:
        """``in the garden``."""
        if self.np is None:
            return f"in {self.town[0]}"
        return f"{self.relation or self.np.noun.en_at} {self.np.en()}"

    def es(self) -> str:
        """``en el jardín``."""
        if self.np is None:
            return f"en {self.town[1]}"
        return f"{RELATIONS[self.relation][0] if self.relation else 'en'} {self.np.es()}"

    def fr(self) -> str:
        """``dans le jardin``."""
        if self.np is None:
            return self.town[2]
        before = RELATIONS[self.relation][1] if self.relation else self.np.noun.fr_at
        return f"{before} {self.np.fr()}"

    def zh(self) -> str:
        """``花园里``, without 在."""
        if self.np is None:
            return self.town[3]
        after = RELATIONS[self.relation][2] if self.relation else self.np.noun.zh_at
        return self.np.zh(bare=True) + after

    def goal(self, language: str) -> str:
        """As the end of a way: ``to the garden``, ``al jardín``, ``dans le jardin``, ``花园``."""
        assert not self.relation
        if language == "fr":
            return self.fr()
        if self.np is None:
            return {"en": f"to {self.town[0]}", "es": f"a {self.town[1]}"}.get(
                language, self.town[3]
            )
        if language == "zh":
            on = self.np.noun.zh_at if self.np.noun.zh_at in ("上", "边") else ""  # 回到山上
            return self.np.zh(bare=True) + on
        return f"to {self.np.en()}" if language == "en" else f"a {self.np.es()}"


def join(*parts: str) -> str:
    """The parts that are not empty, separated by blanks."""
    return " ".join(part for part in parts if part)
