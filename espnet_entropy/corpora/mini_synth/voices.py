"""The speakers: accents and voice variants of espeak-ng, chosen to sound clearly different.

Chosen from all 104 variants by the distance of their mean spectra and pitches; those that clip,
whisper, sound like machines or echo (their silence is not digital) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Voice:
    """One speaker.

    Args:
        name: speaker id.
        espeak: espeak-ng's accent and variant.
        rate: usual words per minute.
        pitch: usual pitch, 0 to 99.
        pitch_range: liveliness, 0 to 99.
    """

    name: str
    espeak: str
    rate: int
    pitch: int
    pitch_range: int


KNOWN = (
    Voice("us_m1", "en-us+m1", 165, 45, 50),
    Voice("us_belinda", "en-us+belinda", 172, 52, 55),
    Voice("rp_reed", "en-gb-x-rp+Reed", 158, 50, 60),
    Voice("rp_annie", "en-gb-x-rp+Annie", 178, 46, 45),
    Voice("sco_m7", "en-gb-scotland+m7", 170, 40, 65),
    Voice("sco_f1", "en-gb-scotland+f1", 160, 48, 50),
    Voice("car_quincy", "en-029+quincy", 168, 55, 45),
    Voice("nyc_steph", "en-us-nyc+steph", 182, 50, 40),
    Voice("us_kaukovalta", "en-us+kaukovalta", 158, 35, 40),
    Voice("rp_lee", "en-gb-x-rp+Lee", 165, 46, 45),
    Voice("sco_anika", "en-gb-scotland+anika", 172, 57, 50),
    Voice("car_boris", "en-029+boris", 179, 68, 55),
    Voice("nyc_sandro", "en-us-nyc+sandro", 160, 43, 60),
    Voice("us_miguel", "en-us+miguel", 167, 54, 65),
    Voice("rp_iven2", "en-gb-x-rp+iven2", 174, 65, 44),
    Voice("sco_gustave", "en-gb-scotland+gustave", 181, 40, 49),
    Voice("car_andy", "en-029+Andy", 162, 51, 54),
    Voice("nyc_jacky", "en-us-nyc+Jacky", 169, 62, 59),
    Voice("us_norbert", "en-us+norbert", 176, 37, 64),
    Voice("rp_ed", "en-gb-x-rp+ed", 183, 48, 43),
    Voice("sco_gene2", "en-gb-scotland+Gene2", 164, 59, 48),
    Voice("car_david", "en-029+david", 171, 70, 53),
    Voice("nyc_antonio", "en-us-nyc+antonio", 178, 45, 58),
    Voice("us_robert", "en-us+robert", 159, 56, 63),
)
HELD_OUT = (
    Voice("lan_grandma", "en-gb-x-gbclan+grandma", 166, 48, 50),
    Voice("wmd_m8", "en-gb-x-gbcwmd+m8", 160, 50, 55),
    Voice("us_mario", "en-us+Mario", 174, 55, 50),
    Voice("car_linda", "en-029+linda", 170, 42, 60),
)
