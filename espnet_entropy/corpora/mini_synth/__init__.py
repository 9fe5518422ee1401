"""A corpus out of nothing: text from a grammar of our own, speech and boundaries from espeak-ng.

``lexicon`` (words) -> ``sampler``, ``grammar`` (meanings) -> ``phrases``, ``clauses``,
``sentences`` (said in English, Spanish, French, Chinese) -> ``synthesis`` (``espeak``, ``voices``)
-> ``boundaries`` (mended), ``verify`` (measured) -> ``prepare`` (data directories).

Measured on the defaults (85 minutes, small vocabulary, seed 0): 2200 utterances, 86.0 minutes,
about 10 phones per second; over 315 utterances, 7802 inner phone boundaries, spectral change peaks
0 ms from the boundaries (-2 to +2 ms by voice) at 2.3 times its mean, silences lie 29 dB below
the speech (that is the noise added). The large vocabulary uses 1681 words in as many minutes.
"""
