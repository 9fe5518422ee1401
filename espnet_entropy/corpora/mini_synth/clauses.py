"""Clauses with a full verb: statements, questions and relative clauses in four languages."""

from __future__ import annotations

from dataclasses import dataclass

from espnet_entropy.corpora.mini_synth.morphology import Verb, agree
from espnet_entropy.corpora.mini_synth.phrases import NP, Place, Subject, join

Adverbial = tuple[str, ...]  # English, Spanish, French, Chinese
ESTAR = ("estoy", "está", "estamos", "están")
HABER = ("he", "ha", "hemos", "han")
AVOIR = ("ai", "a", "avons", "ont")
ETRE = ("suis", "est", "sommes", "sont")
BE = ("am", "is", "are", "are")


@dataclass(frozen=True)
class Who:
    """The subject of a question."""

    person = 1
    plural = False
    es_feminine = fr_feminine = False

    def en(self) -> str:
        """English."""
        return "who"

    def es(self) -> str:
        """Spanish."""
        return "quién"

    def fr(self) -> str:
        """French."""
        return "qui"

    def zh(self) -> str:
        """Chinese."""
        return "谁"


@dataclass(frozen=True)
class Predicate:
    """A verb with what it governs."""

    verb: Verb
    object: NP | None = None
    to: NP | None = None  # whom something is given
    goal: Place | None = None  # where one goes
    inner: Predicate | None = None  # an infinitive

    def en(self, with_object: bool = True) -> str:
        """What follows the English verb."""
        return join(
            self.verb.en_particle,
            self.object.en() if self.object and with_object else "",
            f"to {self.to.en()}" if self.to else "",
            self.goal.goal("en") if self.goal else "",
            f"to {self.inner.verb.en[0]} {self.inner.en()}".rstrip() if self.inner else "",
        )

    def es(self, with_object: bool = True) -> str:
        """What follows the Spanish verb."""
        inner = ""
        if self.inner:  # quiere darle: the pronoun joins the infinitive
            inner = join(self.inner.verb.es["infinitive"] + self.inner.clitic(), self.inner.es())
        return join(
            self.verb.es["particle"],
            self.object.es_object() if self.object and with_object else "",
            f"a {self.to.es()}" if self.to else "",
            self.goal.goal("es") if self.goal else "",
            inner,
        )

    def clitic(self) -> str:
        """Spanish doubles the receiver: ``le`` da el libro al médico."""
        return "" if self.to is None else "les" if self.to.plural else "le"

    def fr(self, with_object: bool = True) -> str:
        """What follows the French verb."""
        return join(
            self.verb.fr["particle"],
            self.object.fr() if self.object and with_object else "",
            f"à {self.to.fr()}" if self.to else "",
            self.goal.goal("fr") if self.goal else "",
            f"{self.inner.verb.fr['infinitive']} {self.inner.fr()}".rstrip() if self.inner else "",
        )

    def zh(self, aspect: str = "", thing: str | None = None) -> str:
        """The Chinese verb phrase.

        Args:
            aspect: ``了`` or nothing.
            thing: stands for the object (of a question).
        """
        object_ = thing if thing is not None else self.object.zh() if self.object else ""
        if self.to:
            return f"把{object_}{self.verb.zh}给{aspect}{self.to.zh()}"
        if self.inner:
            return self.verb.zh + self.inner.zh()
        goal = self.goal.goal("zh") if self.goal else ""
        return self.verb.zh + aspect + object_ + goal


@dataclass(frozen=True)
class Clause:
    """Subject, predicate, tense and circumstances.

    ``tense``: present, past, future, progressive or perfect (with ``already``).
    """

    subject: Subject | Who
    predicate: Predicate
    tense: str
    negative: bool = False
    time: Adverbial | None = None
    front: bool = False  # the time stands first
    place: Place | None = None
    manner: Adverbial | None = None
    company: NP | None = None

    # -- verb groups -------------------------------------------------------------------

    def _en_group(self, split: bool) -> tuple[str, str]:
        """Auxiliary (with ``not``) and verb; without ``split`` or negation maybe no auxiliary."""
        verb, person = self.predicate.verb.en, self.subject.person
        negative = "not" if self.negative else ""
        if self.tense in ("present", "past") and not (split or self.negative):
            third = person == 1
            return "", verb[2] if self.tense == "past" else verb[1] if third else verb[0]
        auxiliary, form = {
            "present": ("does" if person == 1 else "do", verb[0]),
            "past": ("did", verb[0]),
            "future": ("will", verb[0]),
            "progressive": (BE[person], verb[3]),
            "perfect": ("has" if person == 1 else "have", verb[4]),
        }[self.tense]
        return auxiliary, join(negative, "already" if self.tense == "perfect" else "", form)

    def _es_group(self) -> str:
        verb, person = self.predicate.verb.es, self.subject.person
        clitic, no = self.predicate.clitic(), "no" if self.negative else ""
        if self.tense == "progressive":
            return join(no, clitic, ESTAR[person], verb["gerund"])
        if self.tense == "perfect":
            return join(no, "ya", clitic, HABER[person], verb["participle"])
        tense = "preterite" if self.tense == "past" else self.tense
        return join(no, clitic, verb[tense][person])

    def _fr_group(self, moved: NP | None = None) -> str:
        """The French verbs; a direct object that stands before them makes the participle agree."""
        verb, subject = self.predicate.verb.fr, self.subject
        rest = ""
        if self.tense == "progressive":
            finite, rest = ETRE[subject.person], f"en train de {verb['infinitive']}"
        elif self.tense in ("past", "perfect"):
            participle = verb["participle"]
            if verb["auxiliary"] == "être":
                finite = ETRE[subject.person]
                participle = agree(participle, subject.fr_feminine, subject.plural)
            else:
                finite = AVOIR[subject.person]
                if moved is not None:
                    participle = agree(participle, moved.fr_feminine, moved.plural)
            rest = join("déjà" if self.tense == "perfect" else "", participle)
        else:
            finite = verb[self.tense][subject.person]
        return join("ne", finite, "pas", rest) if self.negative else join(finite, rest)

    # -- circumstances -----------------------------------------------------------------

    def _tail(self, language: int, time: bool = True, place: bool = True) -> str:
        company = ""
        if self.company:
            word = ("with", "con", "avec")[language]
            company = f"{word} {getattr(self.company, ('en', 'es', 'fr')[language])()}"
        where = getattr(self.place, ("en", "es", "fr")[language])() if self.place else ""
        return join(
            self.manner[language] if self.manner else "",
            company,
            where if place else "",
            self.time[language] if self.time and time and not self.front else "",
        )

    def _head(self, language: int) -> str:
        return self.time[language] if self.time and self.front else ""

    # -- statements --------------------------------------------------------------------

    def en(self) -> str:
        """English statement."""
        return join(self._head(0), self.subject.en(), self.en_rest())

    def en_rest(self, with_object: bool = True) -> str:
        """The statement from the verb on."""
        auxiliary, verb = self._en_group(split=False)
        return join(auxiliary, verb, self.predicate.en(with_object), self._tail(0))

    def es(self) -> str:
        """Spanish statement."""
        return join(self._head(1), self.subject.es(), self.es_rest())

    def es_rest(self, with_object: bool = True) -> str:
        """The statement from the verb on."""
        return join(self._es_group(), self.predicate.es(with_object), self._tail(1))

    def fr(self) -> str:
        """French statement."""
        return join(self._head(2), self.subject.fr(), self.fr_rest())

    def fr_rest(self, moved: NP | None = None) -> str:
        """The statement from the verb on; ``moved`` is an object that stood before."""
        rest = self.predicate.fr(with_object=moved is None)
        return join(self._fr_group(moved), rest, self._tail(2))

    def zh(self) -> str:
        """Chinese statement."""
        if self.front and self.time:
            return self.time[3] + self.subject.zh() + self.zh_rest(time="")
        return self.subject.zh() + self.zh_rest()

    def zh_rest(
        self,
        time: str | None = None,
        where: str | None = None,
        thing: str | None = None,
        aspect: str | None = None,
        then: bool = False,
    ) -> str:
        """The Chinese statement after the subject.

        Args:
            time: instead of the clause's time.
            where: instead of the clause's place, with 在.
            thing: instead of the object.
            aspect: instead of the tense's 了.
            then: 就 before 会 (after 如果).
        """
        if time is None:
            time = self.time[3] if self.time else ""
        if where is None:
            where = f"在{self.place.zh()}" if self.place else ""
        before, le = "", ""
        if self.tense == "progressive":
            before, where = "正在", where.removeprefix("在")
        elif self.tense == "future":
            before = ("就" if then else "") + ("不会" if self.negative else "会")
        elif self.negative:
            owns = self.predicate.verb.zh == "有"
            before = "没有" if self.tense == "past" else "没" if owns else "不"
        elif self.tense in ("past", "perfect"):
            before, le = ("已经" if self.tense == "perfect" else ""), "了"
        le = le if aspect is None else aspect
        intransitive = thing is None and not (
            self.predicate.object or self.predicate.goal or self.predicate.inner
        )
        verb = self.predicate.zh("" if intransitive else le, thing)
        company = f"和{self.company.zh()}一起" if self.company else ""
        manner = self.manner[3] if self.manner else ""
        return time + before + where + company + manner + verb + (le if intransitive else "")


@dataclass(frozen=True)
class Relative:
    """A relative clause: its head is the clause's subject or (``of_object``) its object."""

    clause: Clause
    of_object: bool = False

    def en(self) -> str:
        """``who bought the car`` / ``that my brother bought``."""
        if self.of_object:
            return join("that", self.clause.subject.en(), self.clause.en_rest(with_object=False))
        return f"who {self.clause.en_rest()}"

    def es(self) -> str:
        """``que compró el coche`` / ``que compró mi hermano``."""
        if self.of_object:
            clause = self.clause
            return join("que", clause._es_group(), clause.subject.es(), clause._tail(1))
        return f"que {self.clause.es_rest()}"

    def fr(self) -> str:
        """``qui a acheté la voiture`` / ``que mon frère a achetée``."""
        if self.of_object:
            moved = self.clause.predicate.object
            return join("que", self.clause.subject.fr(), self.clause.fr_rest(moved))
        return f"qui {self.clause.fr_rest()}"

    def zh(self) -> str:
        """``买了那辆汽车的`` / ``我的哥哥买的``."""
        if self.of_object:
            return self.clause.subject.zh() + self.clause.zh_rest(thing="", aspect="") + "的"
        intransitive = self.clause.predicate.object is None and self.clause.predicate.goal is None
        return self.clause.zh_rest(aspect="" if intransitive else None) + "的"


@dataclass(frozen=True)
class Question:
    """A question made from a clause.

    ``asks``: yes, where, when, why, what, which or many. The clause lacks what is asked for,
    except its object, which stands for the noun that *which* and *how many* ask about.
    """

    clause: Clause
    asks: str

    @property
    def _moved(self) -> bool:
        return self.asks in ("what", "which", "many")

    def _noun(self, language: str) -> str:
        object_ = self.clause.predicate.object
        assert object_ is not None
        return str(getattr(object_.noun, language)[object_.plural])

    def en(self) -> str:
        """``where does the doctor buy the bread``."""
        clause = self.clause
        word = {"yes": "", "many": "how many"}.get(self.asks, self.asks)
        if self.asks in ("which", "many"):
            word = f"{word} {self._noun('en')}"
        auxiliary, verb = clause._en_group(split=True)
        rest = clause.predicate.en(with_object=not self._moved)
        return join(word, auxiliary, clause.subject.en(), verb, rest, clause._tail(0))

    def es(self) -> str:
        """``dónde compra el médico el pan``."""
        clause = self.clause
        words = {"where": "dónde", "when": "cuándo", "why": "por qué", "what": "qué"}
        if self.asks == "yes":
            return clause.es()
        if self.asks == "which":
            word = f"qué {self._noun('es')}"
        elif self.asks == "many":
            object_ = clause.predicate.object
            feminine = object_ is not None and object_.es_feminine
            word = f"{'cuántas' if feminine else 'cuántos'} {self._noun('es')}"
        else:
            word = words[self.asks]
        rest = clause.predicate.es(with_object=not self._moved)
        return join(word, clause._es_group(), clause.subject.es(), rest, clause._tail(1))

    def fr(self) -> str:
        """``où est-ce que le médecin achète le pain``."""
        clause = self.clause
        words = {"yes": "", "where": "où", "when": "quand", "why": "pourquoi", "what": "que"}
        object_ = clause.predicate.object
        if self.asks == "which":
            assert object_ is not None
            quel = ("quel", "quelle", "quels", "quelles")[object_.fr_feminine + 2 * object_.plural]
            word = f"{quel} {self._noun('fr')}"
        elif self.asks == "many":
            word = f"combien de {self._noun('fr')}"
        else:
            word = words[self.asks]
        if not self._moved:
            return join(word, "est-ce que", clause.fr())
        group = clause._fr_group(object_ if self.asks != "what" else None)
        rest = clause.predicate.fr(with_object=False)
        return join(word, "est-ce que", clause.subject.fr(), group, rest, clause._tail(2))

    def zh(self) -> str:
        """``医生在哪里买面包``."""
        clause, subject = self.clause, self.clause.subject.zh()
        if self.asks == "yes":
            return clause.zh() + "吗"
        if self.asks == "why":
            time = clause.time[3] if clause.time else ""
            return subject + clause.zh_rest(time="为什么" + time)
        if self.asks == "where":
            return subject + clause.zh_rest(where="在哪里")
        if self.asks == "when":
            if clause.tense == "past":  # 是…的 asks for the circumstance of what happened
                return subject + "是" + clause.zh_rest(time="什么时候", aspect="") + "的"
            return subject + clause.zh_rest(time="什么时候")
        object_ = clause.predicate.object
        assert object_ is not None
        noun = object_.noun
        thing = "什么"
        if self.asks == "which":
            thing = ("哪些" if object_.plural else f"哪{noun.measure}") + noun.zh
        elif self.asks == "many":
            thing = f"多少{noun.measure}{noun.zh}"
        return subject + clause.zh_rest(thing=thing)
