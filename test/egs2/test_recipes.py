"""Every recipe is short, whole and consistent; nothing here needs its corpus."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from espnet_entropy.corpora import CORPORA
from espnet_entropy.entropy_lm.config import EntropyLMConfig
from espnet_entropy.segmenter.config import load_plan
from espnet_entropy.tokenizer.config import TokenizerConfig
from espnet_entropy.tokenizer.mfcc import MfccConfig
from espnet_entropy.utils.config import from_dict, load_config, read_yaml

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "egs2/TEMPLATE/units1/units.sh"


def tracked(pattern):
    """Files of the repository that match, present or future: what git tracks or would."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", pattern]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:  # an archive without git
        everything = pattern if "/" in pattern else "**/*"
        return [path for path in ROOT.glob(everything) if ".venv" not in path.parts]
    return [
        path for name in listed.stdout.split("\0") if name and os.path.lexists(path := ROOT / name)
    ]


SCRIPTS = [path for path in tracked("egs2/**/*.sh") if "TEMPLATE" not in path.parts]
RUNS = [path for path in SCRIPTS if path.name == "run.sh"]
RECIPES = [path.parent for path in RUNS if path.parent.name == "units1"]
recipes = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parent.name)


def test_the_recipes_are_found():
    assert {recipe.parent.name for recipe in RECIPES} >= {
        "mini_synth",
        "speechocean762",
        "mboshi_french",
    }


@pytest.mark.parametrize("script", [DRIVER, *SCRIPTS], ids=lambda p: str(p.relative_to(ROOT)))
def test_scripts_parse_and_are_executable(script):
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("run", RUNS, ids=lambda p: str(p.parent.relative_to(ROOT / "egs2")))
def test_run_is_short_and_hands_its_options_on(run):
    assert len(run.read_text().splitlines()) < 40
    assert '"$@"' in run.read_text()


def test_the_driver_is_short():
    assert len(DRIVER.read_text().splitlines()) <= 250


def test_there_are_no_symbolic_links():
    assert [path for path in tracked("*") if path.is_symlink()] == []


def check_tokenizer(path):
    config = load_config(TokenizerConfig, path)
    if config.features == "mfcc":
        from_dict(MfccConfig, config.features_conf)
    return config


def check_lm(path, num_clusters=500):
    training = read_yaml(path)
    assert training["lm"] == "entropy_lm"
    return from_dict(
        EntropyLMConfig, {"num_clusters": num_clusters} | training["lm_conf"], "lm_conf"
    )


CHECKS = {"tokenizer": check_tokenizer, "segmenter": load_plan, "train_entropy_lm": check_lm}


@pytest.mark.parametrize(
    "config", tracked("egs2/*/units1/conf/*.yaml"), ids=lambda p: str(p.relative_to(ROOT / "egs2"))
)
def test_configurations_load(config):
    kinds = [kind for kind in CHECKS if config.name.startswith(kind)]
    assert len(kinds) == 1, "what is this file for?"
    CHECKS[kinds[0]](config)


@recipes
def test_the_data_script_names_a_known_corpus_and_place(recipe):
    script = (recipe / "local/data.sh").read_text()
    places = re.findall(r": \"\$\{([A-Z0-9_]+):=", (ROOT / "egs2/TEMPLATE/db.sh").read_text())
    assert set(re.findall(r"\$\{([A-Z0-9_]+)\}", script)) <= set(places)
    assert recipe.parent.name in CORPORA
    assert recipe.parent.name in script


@recipes
def test_the_readme_tells_results(recipe):
    readme = recipe / "README.md"
    assert readme.is_file(), "a recipe without README"
    assert "| " in readme.read_text() or "untrained" in readme.read_text()


def declared_options():
    """Name to type and default, from the driver's declarations."""
    pattern = r'^option (\w+) +(\w+) +("[^"]*"|\S*) +"'
    found = re.findall(pattern, DRIVER.read_text(), re.MULTILINE)
    return {name: (kind, default.strip('"')) for name, kind, default in found}


@recipes
def test_help_lists_every_option(recipe):
    options = declared_options()
    assert len(options) == DRIVER.read_text().count("\noption ")
    shown = subprocess.run(
        [recipe / "run.sh", "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ESPNET_ENTROPY_PYTHON": "/none"},  # help needs no environment
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    for name, (kind, default) in options.items():
        lines = [line for line in shown.stdout.splitlines() if line.split()[:1] == [f"--{name}"]]
        assert len(lines) == 1, name
        assert re.search(rf"\({kind}, default: .*\)$", lines[0])
        if kind == "int" and name not in (recipe / "run.sh").read_text():
            assert lines[0].endswith(f"default: {default})")
