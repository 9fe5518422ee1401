"""Tables of what users get wrong: the message of each mistake, frozen.

A message says what, where, got, expected and what to do. In a table ``TMP`` stands for the row's
own directory, ``GOOD`` and ``OTHER`` for two models, ``HASH`` for a fingerprint, and ``<*>`` for
the words of another library.
"""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def read_table(path):
    """Messages by ``<part>: <name>``."""
    table = yaml.safe_load(path.read_text())
    return {f"{part}: {name}": text for part, rows in table.items() for name, text in rows.items()}


def check_message(action, w, capsys, wanted):
    """Do what the row does, and compare what the user reads."""
    message = seen(action, w, capsys)
    expected = ".*".join(map(re.escape, wanted.split("<*>")))
    assert re.fullmatch(expected, message), message
    assert not (w.tmp / "ran").exists(), "code of a file was run"


def seen(action, w, capsys):
    """What the user reads, with names in the place of paths and fingerprints."""
    try:
        action(w)
    except ValueError as error:  # run_main prints it after "error: "
        message = str(error)
    except SystemExit:  # argparse has printed it
        message = capsys.readouterr().err.strip().splitlines()[-1]
    else:
        pytest.fail("nothing was wrong")
    for path, word in ((w.tmp, "TMP"), (w.good, "GOOD"), (w.other, "OTHER"), (ROOT, "ROOT")):
        message = message.replace(str(path), word)
    return re.sub(r"\b[0-9a-f]{16}\b", "HASH", message)
