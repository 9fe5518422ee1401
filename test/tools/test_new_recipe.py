"""``tools/new_recipe.sh``: what it writes runs at once; what it refuses."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from miniatures import write_audio

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("new_recipe", ROOT / "tools/new_recipe.py")
new_recipe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(new_recipe)
NAME = "a_new_corpus"
TOOLS = Path(sys.executable).parent
ENV = {
    **os.environ,
    "ESPNET_ENTROPY_PYTHON": sys.executable,
    "PATH": f"{TOOLS}:{os.environ['PATH']}",
}


@pytest.mark.parametrize("name", ["mls2", "x" * new_recipe.LONGEST, "a_b"])
def test_names(name):
    assert new_recipe.check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x",
        "My",
        "2x",
        "a-b",
        "a b",
        "../x",
        "x" * 31,
        "class",
        "path",
        "mycorpus",
        "é1",
        "a1\n",
    ],
)
def test_names_that_cannot_be(name):
    with pytest.raises(
        ValueError, match=r"(?s)NAME '.*': (expected 2 to 30 lower|means something)"
    ):
        new_recipe.check_name(name)


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("mini_synth", "units1", r"there already: egs2/mini_synth/units1/README\.md"),
        ("mini_synth", "asr1", "there already: .*asr1"),
        (
            "hours",
            "units1",
            r"there already: espnet_entropy/corpora/hours\.py.*choose another NAME",
        ),
        ("ljspeech_mini", "units1", "LJSPEECH_MINI in egs2/TEMPLATE/db.sh"),
        ("fresh", "units2", "unknown TASK 'units2'.*Did you mean 'units1'"),
    ],
)
def test_nothing_is_overwritten(name, task, message):
    with pytest.raises(ValueError, match=message):
        new_recipe.plan(name, task)


def test_the_templates_are_whole():
    """Every task has what the tool and the tests of recipes ask for."""
    assert set(new_recipe.TASKS) >= {"units1", "asr1"}
    for task in new_recipe.TASKS:
        recipe = new_recipe.TEMPLATE / task / "egs2" / new_recipe.OLD / task
        assert {"run.sh", "README.md", "conf"} <= {path.name for path in recipe.iterdir()}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """What the tool and a recipe need of the repository."""
    root = tmp_path_factory.mktemp("copy") / "tree"
    for name in ("egs2", "utils", "tools", "espnet_entropy", "test/helpers", "test/egs2"):
        ignored = shutil.ignore_patterns("__pycache__", "data", "dump", "exp", "*.local.*")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    (root / "test/espnet_entropy/corpora").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def call(copy, *words, **env):
    """Status and output of a command in the copy."""
    words = list(map(str, words))
    done = subprocess.run(
        words, cwd=copy, capture_output=True, text=True, check=False, env={**ENV, **env}
    )
    return done.returncode, done.stdout + done.stderr


def test_recognition_brings_its_units():
    made = new_recipe.plan("fresh", "asr1").values()
    runs = [path.relative_to(ROOT / "egs2/fresh") for path in made if path.name == "run.sh"]
    assert list(map(str, runs)) == ["units1/run.sh", "asr1/run.sh"]


@pytest.mark.parametrize("lost", ["GUIDE", "REGISTRY", "PLACES"])
def test_nothing_is_written_where_a_line_has_no_place(lost, tmp_path, monkeypatch):
    monkeypatch.setattr(new_recipe, "ROOT", tmp_path)
    for name in ("GUIDE", "REGISTRY", "PLACES"):
        path = tmp_path / getattr(new_recipe, name).relative_to(ROOT)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "" if name == lost else (ROOT / path.relative_to(tmp_path)).read_text()
        path.write_text(text)
        monkeypatch.setattr(new_recipe, name, path)
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"matches, expected once, found 0 times. Nothing was"):
        new_recipe.write_recipe("fresh", "units1")
    assert before == {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def recipe(copy):
    """The recipes of a new corpus, its units as the guide tells."""
    code, said = call(copy, "tools/new_recipe.sh", NAME, "units1")
    assert code == 0, said
    said = said.replace(NAME, "ljspeech").replace(NAME.upper(), "LJSPEECH")
    assert (
        f"$ tools/new_recipe.sh ljspeech units1\n{said}```" in (ROOT / "egs2/README.md").read_text()
    )
    code, said = call(copy, "tools/new_recipe.sh", NAME, "asr1")
    assert code == 0, said
    return copy / "egs2" / NAME


@pytest.mark.slow
def test_what_is_written_passes_the_checks(copy, recipe):
    made = [
        path for path in copy.rglob("*") if NAME in str(path.relative_to(copy)) and path.is_file()
    ]
    texts = {path: path.read_text() for path in made}
    assert len(texts) >= 11
    assert not any("mycorpus" in text.lower() for text in texts.values())
    python = [path for path in made if path.suffix == ".py"]
    for command in (
        ["ruff", "check", *python],
        ["ruff", "format", "--check", *python],
        ["shellcheck", "--shell=bash", "-e", "SC1091", *(p for p in made if p.suffix == ".sh")],
    ):
        code, said = call(copy, *command)
        assert code == 0, said
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", NAME]
    words += [f"test/espnet_entropy/corpora/test_{NAME}.py", "test/egs2/test_recipes.py"]
    code, said = call(copy, sys.executable, *words, PYTHONPATH=str(copy))
    # all is there and consistent; what only its author can say is the one thing left
    failed = [line.split("::")[1].split(" ")[0] for line in said.splitlines() if "FAILED" in line]
    assert code == 1
    assert failed == [f"test_nothing_is_left_to_do[{NAME}/{task}]" for task in ("asr1", "units1")]
    assert "TODO" in (copy / "egs2/README.md").read_text()


@pytest.mark.slow
def test_it_runs_at_once_from_its_corpus_to_units(copy, recipe, tmp_path):
    lines = ["utterance\tspeaker\ttext"]
    for i in range(12):
        write_audio(tmp_path / f"corpus/deep/u{i}.flac", seed=i, seconds=1.0)
        lines.append(f"u{i}\ts{i % 4}\tNUMBER {i}")
    (tmp_path / "corpus/metadata.tsv").write_text("\n".join(lines) + "\n")
    (recipe / "units1/conf/tokenizer.yaml").write_text("quantizer_conf: {num_clusters: 8}\n")
    words = [recipe / "units1/run.sh", "--stop_stage", "tokenize", "--nj", "1"]
    code, said = call(copy, *words, **{NAME.upper(): str(tmp_path / "corpus")})
    assert code == 0, said
    counts = {
        name: len((recipe / "units1/dump/units" / name / "units.scp").read_text().splitlines())
        for name in ("train", "valid", "test")
    }
    assert counts == {"train": 6, "valid": 3, "test": 3}
    code, said = call(copy, "tools/new_recipe.sh", NAME, "units1")
    assert code == 2
    assert "there already" in said
