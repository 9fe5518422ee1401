"""Times made of parts: hours, days of the week, months, so long ago."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from espnet_entropy.corpora.mini_synth.clauses import Adverbial
from espnet_entropy.corpora.mini_synth.morphology import number

PARTS_OF_DAY = (  # hours; English, Spanish, French, Chinese
    (range(5, 12), "in the morning", "de la mañana", "du matin", "早上"),
    (range(2, 6), "in the afternoon", "de la tarde", "de l'après-midi", "下午"),
    (range(7, 12), "in the evening", "de la noche", "du soir", "晚上"),
)
UNITS = (
    ("minutes", "minutos", "minutes", "分钟"),
    ("hours", "horas", "heures", "个小时"),
    ("days", "días", "jours", "天"),
    ("weeks", "semanas", "semaines", "个星期"),
    ("months", "meses", "mois", "个月"),
    ("years", "años", "ans", "年"),
)


def time(
    rng: random.Random, tense: str, phrases: Mapping[str, Sequence[tuple[str, ...]]]
) -> Adverbial:
    """A time fitting ``tense`` (past, present or future) in four languages."""
    kind = rng.choice(("hour", "weekday", "month", "distance"))
    if kind == "hour" or (kind == "distance" and tense == "present"):
        return _hour(rng)
    if kind == "weekday":
        return _weekday(rng.choice(phrases["weekdays"]), tense)
    if kind == "month":
        en, es, fr, zh = rng.choice(phrases["months"])
        return (f"in {en}", f"en {es}", f"en {fr}", zh)
    n = rng.choice([*range(2, 11), 11, 12, 15, 20, 30, 40])
    unit = rng.choice(UNITS)
    counted = [f"{number(n, language)} {unit[i]}" for i, language in enumerate(("en", "es", "fr"))]
    zh = number(n, "zh") + unit[3]
    if tense == "past":
        return (f"{counted[0]} ago", f"hace {counted[1]}", f"il y a {counted[2]}", zh + "前")
    return (f"in {counted[0]}", f"dentro de {counted[1]}", f"dans {counted[2]}", zh + "后")


def _hour(rng: random.Random) -> Adverbial:
    hours, en, es, fr, zh = rng.choice(PARTS_OF_DAY)
    n = rng.choice(hours)
    return (
        f"at {number(n, 'en')} {en}",
        f"a las {number(n, 'es')} {es}",
        f"à {number(n, 'fr')} heures {fr}",
        f"{zh}{number(n, 'zh')}点",
    )


def _weekday(day: tuple[str, ...], tense: str) -> Adverbial:
    en, es, fr, zh = day
    singular, _, plural = es.partition("/")
    if tense == "present":
        every = f"todos los {plural or singular}"
        return (f"every {en}", every, f"tous les {fr}s", f"每个{zh}")
    if tense == "past":
        return (f"last {en}", f"el {singular} pasado", f"{fr} dernier", f"上个{zh}")
    return (f"next {en}", f"el próximo {singular}", f"{fr} prochain", f"下个{zh}")
