"""The grammar: what it says, in four languages, against sentences written by hand."""

from itertools import islice

import pytest

from espnet_entropy.corpora.mini_synth import morphology as morph
from espnet_entropy.corpora.mini_synth import sentences as s
from espnet_entropy.corpora.mini_synth.clauses import Clause, Predicate, Question, Relative
from espnet_entropy.corpora.mini_synth.grammar import Sentence, generate, realise
from espnet_entropy.corpora.mini_synth.lexicon import load
from espnet_entropy.corpora.mini_synth.phrases import NP, Place, Pronoun
from espnet_entropy.corpora.mini_synth.prepare import SETS, plan
from espnet_entropy.corpora.mini_synth.voices import HELD_OUT, KNOWN

LEXICON = load("large")


def np(noun: str, det: str = "the", adjective: str = "", **rest) -> NP:
    found = [a for a in LEXICON.adjectives if a.en == adjective]
    return NP(LEXICON.by_name[noun], det, adjective=found[0] if found else None, **rest)


def verb(name: str, kind: str = "transitive"):
    return next(v for v in LEXICON.verbs[kind] if v.en[0] == name)


def does(subject, name, thing=None, tense="past", kind="transitive", **rest) -> Clause:
    parts = {k: rest.pop(k) for k in ("to", "goal", "inner") if k in rest}
    return Clause(subject, Predicate(verb(name, kind), thing, **parts), tense, **rest)


def adverbial(kind: str, en: str):
    return next(p for p in LEXICON.phrases[kind] if p[0] == en)


DOCTOR, SISTER = np("doctor"), np("sister", "my")
BOUGHT = does(np("brother", "my"), "buy", np("car"))
CASES = [  # each shows a rule: contraction, elision, agreement, measure words, word order
    (
        does(DOCTOR, "give", np("book", "a"), kind="ditransitive", to=np("judge")),
        "THE DOCTOR GAVE A BOOK TO THE JUDGE",
        "el médico le dio un libro al juez",
        "le médecin a donné un livre au juge",
        "医生把一本书送给了法官",
    ),
    (
        does(SISTER, "go", kind="motion", goal=Place(np("hospital"))),
        "MY SISTER WENT TO THE HOSPITAL",
        "mi hermana fue al hospital",
        "ma sœur est allée à l'hôpital",
        "我的姐姐去了医院",
    ),
    (
        does(np("friend", "my", plural=True), "come", kind="motion", goal=Place(np("zoo"))),
        "MY FRIENDS CAME TO THE ZOO",
        "mis amigas vinieron al zoo",
        "mes amies sont venues au zoo",
        "我的朋友来到了动物园",
    ),
    (
        does(np("friend", "my"), "see", np("bird", "a", "beautiful"), "past"),
        "MY FRIEND SAW A BEAUTIFUL BIRD",
        "mi amiga vio un pájaro hermoso",
        "mon amie a vu un bel oiseau",
        "我的朋友看见了一只美丽的鸟",
    ),
    (
        does(Pronoun(0), "look", np("girl"), "present", negative=True),
        "I DO NOT LOOK FOR THE GIRL",
        "no busco a la niña",
        "je ne cherche pas la fille",
        "我不找女孩",
    ),
    (
        does(Pronoun(2), "eat", NP(LEXICON.by_name["cheese"], "a"), "future"),
        "WE WILL EAT SOME CHEESE",
        "comeremos queso",
        "nous mangerons du fromage",
        "我们会吃一些奶酪",
    ),
    (
        does(DOCTOR, "sell", np("house", "a", "old", plural=True), "progressive"),
        "THE DOCTOR IS SELLING SOME OLD HOUSES",
        "el médico está vendiendo unas casas viejas",
        "le médecin est en train de vendre de vieilles maisons",
        "医生正在卖一些旧房子",
    ),
    (
        does(SISTER, "play", np("piano"), "present", time=adverbial("present", "every day")),
        "MY SISTER PLAYS THE PIANO EVERY DAY",
        "mi hermana toca el piano todos los días",
        "ma sœur joue du piano tous les jours",
        "我的姐姐每天演奏那架钢琴",
    ),
    (
        does(
            NP(LEXICON.by_name["doctor"], relative=Relative(BOUGHT), det="the"),
            "laugh",
            kind="intransitive",
        ),
        "THE DOCTOR WHO BOUGHT THE CAR LAUGHED",
        "el médico que compró el coche rio",
        "le médecin qui a acheté la voiture a ri",
        "买了那辆汽车的那位医生笑了",
    ),
    (
        s.IsAdjective(
            NP(LEXICON.by_name["car"], "the", relative=Relative(BOUGHT, True)),
            next(a for a in LEXICON.adjectives if a.en == "red"),
        ),
        "THE CAR THAT MY BROTHER BOUGHT IS RED",
        "el coche que compró mi hermano es rojo",
        "la voiture que mon frère a achetée est rouge",
        "我的哥哥买的那辆汽车是红色的",
    ),
    (
        Question(does(DOCTOR, "buy", np("apple", plural=True)), "many"),
        "HOW MANY APPLES DID THE DOCTOR BUY",
        "cuántas manzanas compró el médico",
        "combien de pommes est-ce que le médecin a achetées",
        "医生买了多少个苹果",
    ),
    (
        Question(does(Pronoun(1, True), "wash", np("shirt", "her"), "present"), "where"),
        "WHERE DOES SHE WASH HER SHIRT",
        "dónde lava su camisa",
        "où est-ce qu'elle lave sa chemise",
        "她在哪里洗她的衬衫",
    ),
    (
        Question(does(DOCTOR, "read", np("letter")), "when"),
        "WHEN DID THE DOCTOR READ THE LETTER",
        "cuándo leyó el médico la carta",
        "quand est-ce que le médecin a lu la lettre",
        "医生是什么时候读那封信的",
    ),
    (
        s.Exists(NP(LEXICON.by_name["cat"], count=3, plural=True), Place(np("garden"))),
        "THERE ARE THREE CATS IN THE GARDEN",
        "hay tres gatos en el jardín",
        "il y a trois chats dans le jardin",
        "花园里有三只猫",
    ),
    (
        s.Located(np("book"), Place(np("table"), "under")),
        "THE BOOK IS UNDER THE TABLE",
        "el libro está debajo de la mesa",
        "le livre est sous la table",
        "那本书在桌子下面",
    ),
    (
        s.IsNoun(SISTER, NP(LEXICON.by_name["actress"])),
        "MY SISTER IS AN ACTRESS",
        "mi hermana es actriz",
        "ma sœur est actrice",
        "我的姐姐是一位女演员",
    ),
    (
        s.Measures(np("hat"), 25),
        "THE HAT COSTS TWENTY FIVE EUROS",
        "el sombrero cuesta veinticinco euros",
        "le chapeau coûte vingt-cinq euros",
        "那顶帽子要二十五欧元",
    ),
    (
        does(
            DOCTOR,
            "decide",
            kind="control",
            inner=Predicate(verb("send", "ditransitive"), np("key"), to=SISTER),
        ),
        "THE DOCTOR DECIDED TO SEND THE KEY TO MY SISTER",
        "el médico decidió enviarle la llave a mi hermana",
        "le médecin a décidé d'envoyer la clé à ma sœur",
        "医生决定把那把钥匙寄给我的姐姐",
    ),
    (
        s.If(
            does(Pronoun(1), "sell", np("house"), "present"),
            does(SISTER, "cry", tense="future", kind="intransitive"),
        ),
        "IF HE SELLS THE HOUSE MY SISTER WILL CRY",
        "si vende la casa mi hermana llorará",
        "s'il vend la maison ma sœur pleurera",
        "如果他卖那座房子我的姐姐就会哭",
    ),
    (
        does(NP(LEXICON.by_name["anna"]), "have", np("elephant", "many", plural=True), "present"),
        "ANNA HAS MANY ELEPHANTS",
        "anna tiene muchos elefantes",
        "anna a beaucoup d'éléphants",
        "安娜有很多大象",
    ),
]


@pytest.mark.parametrize(("meaning", "en", "es", "fr", "zh"), CASES, ids=[c[1] for c in CASES])
def test_sentences_written_by_hand(meaning, en, es, fr, zh):
    assert realise(meaning) == Sentence(en, es, fr, zh)


@pytest.mark.parametrize(
    ("infinitive", "forms"),
    [
        ("buscar", "busco busqué buscará buscando buscado"),
        ("entregar", "entrego entregué entregará entregando entregado"),
        ("cruzar", "cruzo crucé cruzará cruzando cruzado"),
        ("pedir", "pido pedí pedirá pidiendo pedido"),
        ("colgar", "cuelgo colgué colgará colgando colgado"),
        ("traer", "traigo traje traerá trayendo traído"),
        ("escribir", "escribo escribí escribirá escribiendo escrito"),
        ("reír", "río reí reirá riendo reído"),
    ],
)
def test_spanish_conjugation(infinitive, forms):
    found = next(
        v.es for verbs in LEXICON.verbs.values() for v in verbs if v.es["infinitive"] == infinitive
    )
    parts = [found["present"][0], found["preterite"][0], found["future"][1]]
    assert " ".join([*parts, found["gerund"], found["participle"]]) == forms


@pytest.mark.parametrize(
    ("infinitive", "forms"),
    [
        ("manger", "mange mangeons mangera mangé"),
        ("annoncer", "annonce annonçons annoncera annoncé"),
        ("acheter", "achète achetons achètera acheté"),
        ("nettoyer", "nettoie nettoyons nettoiera nettoyé"),
        ("choisir", "choisit choisissons choisira choisi"),
        ("vendre", "vend vendons vendra vendu"),
        ("boire", "boit buvons boira bu"),
        ("envoyer", "envoie envoyons enverra envoyé"),
    ],
)
def test_french_conjugation(infinitive, forms):
    found = next(
        v.fr for verbs in LEXICON.verbs.values() for v in verbs if v.fr["infinitive"] == infinitive
    )
    parts = [found["present"][1], found["present"][2], found["future"][1], found["participle"]]
    assert " ".join(parts) == forms


@pytest.mark.parametrize(
    ("n", "en", "es", "fr", "zh"),
    [
        (2, "two", "dos", "deux", "两"),
        (11, "eleven", "once", "onze", "十一"),
        (22, "twenty two", "veintidós", "vingt-deux", "二十二"),
        (75, "seventy five", "setenta y cinco", "soixante-quinze", "七十五"),
        (80, "eighty", "ochenta", "quatre-vingts", "八十"),
        (99, "ninety nine", "noventa y nueve", "quatre-vingt-dix-neuf", "九十九"),
    ],
)
def test_numbers(n, en, es, fr, zh):
    assert [morph.number(n, language) for language in ("en", "es", "fr", "zh")] == [en, es, fr, zh]


@pytest.mark.parametrize(
    ("noun", "es", "fr"),
    [
        ("thief", "ladrones", "voleurs"),
        ("horse", "caballos", "chevaux"),
        ("pencil", "lápices", "crayons"),
        ("cake", "pasteles", "gâteaux"),
        ("grandfather", "abuelos", "grands-pères"),
        ("pan", "sartenes", "poêles"),
        ("kitten", "gatitos", "chatons"),
        ("judge", "jueces", "juges"),
    ],
)
def test_plurals(noun, es, fr):
    found = LEXICON.by_name[noun]
    assert (found.es[1], found.fr[1]) == (es, fr)


def test_small_vocabulary_has_about_100_words_and_very_many_sentences():
    sentences = [x.en for x in islice(generate("small", 0), 3000)]
    assert len(set(sentences)) == 3000
    assert 85 <= len({w for x in sentences for w in x.split()}) <= 110


def test_small_grammar_has_more_than_100000_sentences():
    small = load("small")
    subjects = sum(len(small.nouns[kind]) for kind in ("person", "kin", "names"))
    objects = [  # every verb with every object, plain or with an adjective; the, a or my
        (verb.en[0], noun.en[0], adjective, det)
        for verb in small.verbs["transitive"]
        for noun in small.select([n for n in verb.objects if small.select([n])])
        for adjective in [None, *(a.en for a in small.adjectives if a.fits(noun))]
        for det in ("the", "a", "my")
    ]
    circumstances = (1 + len(small.nouns["place"])) * (1 + len(small.phrases["past"]))
    assert subjects * len(set(objects)) * circumstances > 100_000


def test_large_vocabulary_uses_1500_words_in_2400_sentences():
    words = {w for x in islice(generate("large", 0), 2400) for w in x.en.split()}
    assert len(words) >= 1500


@pytest.mark.parametrize("vocabulary", ["small", "large"])
def test_text_form(vocabulary):
    for sentence in islice(generate(vocabulary, 3), 2000):
        assert set(sentence.en) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ ")
        assert not set(sentence.es + sentence.fr) & set(",.;:?!¿¡_")
        assert "  " not in sentence.es
        assert sentence.es == sentence.es.lower()
        assert sentence.fr == sentence.fr.lower()
        assert all("一" <= character <= "鿿" for character in sentence.zh), sentence.zh
        # what elision and contraction must never leave behind
        for bad in (
            " de le ",
            " de les ",
            " à le ",
            " à les ",
            " le a",
            " de a",
            " je a",
            " que i",
        ):
            assert bad not in f" {sentence.fr} ", sentence.fr
        for bad in (" de el ", " a el ", " y i"):
            assert bad not in f" {sentence.es} ", sentence.es
        assert " A A" not in sentence.en
        assert " A E" not in sentence.en


def test_same_seed_same_sentences():
    first, second = ([*islice(generate("large", 7), 200)] for _ in range(2))
    assert first == second
    assert first != [*islice(generate("large", 8), 200)]


def test_unknown_vocabulary_is_named():
    with pytest.raises(ValueError, match=r"unknown vocabulary 'larg'.*Did you mean 'large'"):
        next(generate("larg", 0))


def test_plan_keeps_sentences_and_held_out_speakers_apart():
    plans = plan(20, "small", 0)
    text = {name: [p.text for subset, p, _ in plans if subset == name] for name in SETS}
    speakers = {name: {p.voice.name for subset, p, _ in plans if subset == name} for name in SETS}
    everything = [x for texts in text.values() for x in texts]
    assert len(everything) == len(set(everything))
    assert speakers["train"] == speakers["test_seen"] == speakers["valid"]
    assert speakers["train"] == {voice.name for voice in KNOWN}
    assert speakers["test_unseen"] == {voice.name for voice in HELD_OUT}
    assert not speakers["train"] & speakers["test_unseen"]
    assert all(p.utt.startswith(p.voice.name) for _, p, _ in plans)
