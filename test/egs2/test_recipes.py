"""Every recipe is short, whole and consistent; nothing here needs its corpus."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from espnet_entropy.cale.config import CaleConfig, PoolingConfig
from espnet_entropy.corpora import CORPORA
from espnet_entropy.entropy_lm.config import EntropyLMConfig
from espnet_entropy.evaluation.unit_systems import UnitQualityConfig
from espnet_entropy.launch.study_file import Study, study_rows
from espnet_entropy.launch.sweep_file import SweepRow, load_sweep
from espnet_entropy.launch.sweep_rows import encoder_keys, row_training
from espnet_entropy.recognizer.config import DecodingConfig, read_decoding
from espnet_entropy.segmenter.config import load_plan
from espnet_entropy.tokenizer.config import TokenizerConfig
from espnet_entropy.tokenizer.mfcc import MfccConfig
from espnet_entropy.utils.config import from_dict, load_config, read_yaml

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = {
    "units1": ROOT / "egs2/TEMPLATE/units1/units.sh",
    "asr1": ROOT / "egs2/TEMPLATE/asr1/asr.sh",
    "ssl1": ROOT / "egs2/TEMPLATE/ssl1/ssl.sh",
    "study1": ROOT / "egs2/TEMPLATE/study1/study.sh",
}


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
ASR_RECIPES = [path.parent for path in RUNS if path.parent.name == "asr1"]
recipes = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parent.name)
all_recipes = pytest.mark.parametrize(
    "recipe", [run.parent for run in RUNS], ids=lambda path: f"{path.parent.name}/{path.name}"
)


def test_the_recipes_are_found():
    assert {recipe.parent.name for recipe in RECIPES} >= {
        "mini_synth",
        "speechocean762",
        "mboshi_french",
        "librispeech",
        "mls_en",
    }
    assert {recipe.parent.name for recipe in ASR_RECIPES} >= {
        "mini_synth",
        "speechocean762",
        "librispeech",
        "mls_en",
    }


@pytest.mark.parametrize(
    "script", [*DRIVERS.values(), *SCRIPTS], ids=lambda p: str(p.relative_to(ROOT))
)
def test_scripts_parse_and_are_executable(script):
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


SHAPE = re.compile(
    r"#!/usr/bin/env bash\n"
    r"(# .+\n)+"
    r"set -euo pipefail\n"
    r'cd "\$\(dirname "\$\{BASH_SOURCE\[0\]\}"\)"\n\n'
    r"\.\./\.\./TEMPLATE/(?P<driver>\S+) \\\n"
    r"(?P<options>(    --\w+ .+ \\\n)+)"
    r'    "\$@"\n'
)


def given_options(recipe):
    """What run.sh gives its driver."""
    shape = SHAPE.fullmatch((recipe / "run.sh").read_text())
    assert shape, "not of the shape that all run.sh have"
    found = re.findall(r"^    --(\w+) (.+) \\$", shape["options"], re.MULTILINE)
    return {name: value.strip('"') for name, value in found}


@all_recipes
def test_run_has_the_shape_of_all(recipe):
    """Sets first, then the recipe's own choices, then the user's: the stages are the driver's."""
    text, driver = (recipe / "run.sh").read_text(), DRIVERS[recipe.name]
    assert len(text.splitlines()) < 40
    assert list(given_options(recipe))[:3] == ["train_set", "valid_set", "test_sets"]
    assert given_options(recipe).keys() <= declared_options(driver).keys()
    assert SHAPE.fullmatch(text)["driver"] == f"{recipe.name}/{driver.name}"
    assert text.splitlines()[1].startswith(f"# {recipe.parent.name}")


@pytest.mark.parametrize("recipe", ASR_RECIPES, ids=lambda path: path.parent.name)
def test_recognition_uses_the_sets_of_its_units(recipe):
    own, units = given_options(recipe), given_options(recipe.parent / "units1")
    assert (own["train_set"], own["valid_set"]) == (units["train_set"], units["valid_set"])
    assert set(own["test_sets"].split()) <= set(units["test_sets"].split())


@all_recipes
def test_nothing_is_left_to_do(recipe):
    corpus = recipe.parent.name
    module = ROOT / f"espnet_entropy/corpora/{corpus}.py"
    files = [*recipe.rglob("*.md"), *recipe.rglob("*.sh"), *(recipe / "conf").glob("*.yaml")]
    made = ("data", "dump", "exp")
    own = [file for file in files if file.relative_to(recipe).parts[0] not in made]
    unfinished = [f for f in (*own, module) if f.is_file() and "TODO" in f.read_text()]
    assert unfinished == [], "tools/new_recipe.sh leaves these marks: say what they ask for"


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS)
def test_the_drivers_are_short(driver):
    assert len(driver.read_text().splitlines()) <= 250


def test_there_are_no_symbolic_links():
    assert [path for path in tracked("*") if path.is_symlink()] == []


def check_tokenizer(path):
    config = load_config(TokenizerConfig, path)
    if config.features == "mfcc":
        from_dict(MfccConfig, config.features_conf)
    elif config.features == "mel_encoder":
        from espnet_entropy.tokenizer.mel_features import MelEncoderOptions  # imports torch

        from_dict(MelEncoderOptions, config.features_conf)
    else:
        from espnet_entropy.tokenizer.speech_model import SpeechModelConfig  # imports torch

        from_dict(SpeechModelConfig, config.features_conf)
    return config


def check_lm(path, num_clusters=500):
    training = read_yaml(path)
    assert training["lm"] == "entropy_lm"
    if "num_iters_per_epoch" in training:  # then the length of the schedule is known
        updates = training["num_iters_per_epoch"] * training["max_epoch"]
        assert training["scheduler_conf"]["total_steps"] == updates
    return from_dict(
        EntropyLMConfig, {"num_clusters": num_clusters} | training["lm_conf"], "lm_conf"
    )


def check_encoder(path):
    from espnet_entropy.ssl.config import TrainingConfig  # imports torch

    assert load_config(TrainingConfig, path).steps > 0


def check_asr(path):
    """Through a sweep's row that changes nothing: it knows our keys without importing ESPnet."""
    training = row_training(read_yaml(path), SweepRow("same", "same"), "../units1")
    assert training["frontend"] == "units"
    encoder = from_dict(
        {"cale": CaleConfig, "unit_pooling": PoolingConfig}[training["encoder"]],
        {k: v for k, v in training["encoder_conf"].items() if k in encoder_keys("cale", True)},
        "encoder_conf",
    )
    decoder = training["decoder_conf"]
    assert encoder.width % decoder["attention_heads"] == 0
    assert training["keep_nbest_models"] >= n_average(path.parents[1])
    if "num_iters_per_epoch" in training:
        updates = training["num_iters_per_epoch"] * training["max_epoch"]
        assert training["scheduler_conf"]["total_steps"] == updates


def check_study(path):
    """Every row is a training, and its groups are among those that its units calibrate."""
    sweep, _ = study_rows(load_config(Study, path))
    plan = load_plan(path.parent / "segmenter.yaml")
    base = read_yaml(path.parents[2] / "asr1/conf/train_asr.yaml")
    for row in sweep.rows:
        training = row_training(base, row, row.options["units"])
        conf = training["frontend_conf"]
        assert conf["criterion"] in {criterion.label for criterion in plan.criteria}
        assert 0 < conf["rate"] <= 50
        from_dict(
            CaleConfig,
            {k: v for k, v in training["encoder_conf"].items() if k in encoder_keys("cale", True)},
        )


def n_average(recipe):
    """Epochs that the recipe averages: its own number, or the driver's."""
    own = re.findall(r"--n_average (\d+)", (recipe / "run.sh").read_text())
    return int(own[0] if own else declared_options(DRIVERS["asr1"])["n_average"][1])


CHECKS = {
    "tokenizer": check_tokenizer,
    "segmenter": load_plan,
    "train_entropy_lm": check_lm,
    "train_asr": check_asr,
    "train_masked": check_encoder,
    "train_ctc": check_encoder,
    "study": check_study,
    "unit_quality": lambda path: load_config(UnitQualityConfig, path),
    "inference_asr": lambda path: read_decoding(path, DecodingConfig()),
    "example_two_lines": lambda path: None,  # built in test_asr_task.py
}
TEMPLATES = tracked("tools/recipe_template/**/*.yaml")


@pytest.mark.parametrize(
    "config",
    [*tracked("egs2/**/*.yaml"), *TEMPLATES],
    ids=lambda p: "/".join(p.relative_to(ROOT).parts[1:]),
)
def test_every_configuration_loads(config):
    if config.parent.name == "sweep":
        assert load_sweep(config).rows
        return
    kinds = [kind for kind in CHECKS if config.name.startswith(kind)]
    assert len(kinds) == 1, "what is this file for?"
    CHECKS[kinds[0]](config)


@recipes
def test_the_data_script_names_a_known_corpus_and_place(recipe):
    script = (recipe / "local/data.sh").read_text()
    places = re.findall(r": \"\$\{([A-Z0-9_]+):=", (ROOT / "egs2/TEMPLATE/db.sh").read_text())
    assert set(re.findall(r"\$\{([A-Z0-9_]+)\}", script)) <= set(places)
    corpus = recipe.parent.name  # a model of several corpora is called by another name
    assert corpus in script if corpus in CORPORA else any(name in script for name in CORPORA)


@all_recipes
def test_the_readme_tells_results(recipe):
    readme = recipe / "README.md"
    assert readme.is_file(), "a recipe without README"
    text = readme.read_text()
    assert text.startswith(f"# {recipe.parent.name} / {recipe.name}\n")
    assert "./run.sh" in text
    assert re.search(r"^\|.*\d\.?\d", text, re.MULTILINE) or "untrained" in text


def test_the_guide_lists_every_recipe():
    listed = re.findall(r"^\| \[`(\w+/\w+)`\]", (ROOT / "egs2/README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(f"{run.parent.parent.name}/{run.parent.name}" for run in RUNS)


def declared_options(driver):
    """Name to type and default, from the driver's declarations."""
    pattern = r'^option (\w+) +(\w+) +("[^"]*"|\S*) +"'
    found = re.findall(pattern, driver.read_text(), re.MULTILINE)
    return {name: (kind, default.strip('"')) for name, kind, default in found}


def test_what_several_drivers_ask_for_has_one_name_and_default():
    units, asr = (declared_options(DRIVERS[name]) for name in ("units1", "asr1"))
    shared = units.keys() & asr.keys()
    assert shared >= {"nj", "ngpu", "num_nodes", "train_threads", "max_failed"}
    assert {name: units[name] for name in shared} == {name: asr[name] for name in shared}


@all_recipes
def test_help_lists_every_option(recipe):
    driver = DRIVERS[recipe.name]
    options = declared_options(driver)
    assert len(options) == driver.read_text().count("\noption ")
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
