"""``tools/setup_env.sh`` without network: its messages, its stamp, the named Python."""

import ast
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path):
    """A copy of what the script needs; its .venv is the test's own."""
    root = tmp_path / "tree with space"
    (root / "tools").mkdir(parents=True)
    for name in ("setup_env.sh", "check_packages.py", "requirements.lock"):
        shutil.copy(ROOT / "tools" / name, root / "tools" / name)
    (root / "setup.py").write_text("# stands for the real one\n")
    return root


@pytest.fixture
def tool_path(tmp_path):
    """A PATH with the usual tools and no Python at all."""
    folder = tmp_path / "bin"
    folder.mkdir()
    names = "awk bash cat command cp dirname flock grep head mkdir mktemp mv rm sed sha256sum tail"
    for name in names.split():
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    return folder


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def setup(tree, path, *words, **env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ESPNET_", "UV_"))}
    return subprocess.run(
        [str(tree / "tools" / "setup_env.sh"), *words],
        env={**clean, "PATH": str(path), **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_linked_environment_is_left_alone(tree, tool_path, tmp_path):
    others = tmp_path / "others" / ".venv"
    script(others / "bin" / "python", "echo 3.11.7")
    (tree / ".venv").symlink_to(others)
    tool_path.joinpath("readlink").symlink_to(shutil.which("readlink"))
    done = setup(tree, tool_path)
    assert done.returncode == 1
    assert f"ESPNET_ENTROPY_PYTHON={others}/bin/python" in done.stderr
    assert (others / "bin" / "python").is_file()


def test_no_python_at_all(tree, tool_path):
    done = setup(tree, tool_path)
    assert done.returncode == 1
    assert "error: Python 3.10 or newer is needed on PATH (none was found)" in done.stderr
    assert "--python PATH" in done.stderr
    assert not (tree / ".venv").exists()


def test_only_old_pythons(tree, tool_path):
    script(tool_path / "python3", "echo 3.8.18")
    script(tool_path / "python", "echo 2.7.18")
    done = setup(tree, tool_path)
    assert done.returncode == 1
    assert "(python3 is 3.8.18, python is 2.7.18)" in done.stderr


def test_a_later_name_is_found_when_the_first_is_old(tree, tool_path):
    script(tool_path / "python3", "echo 3.8.18")
    fails = 'test "$2" = -S && { echo 3.11.9; exit; }; echo "the right one: $@"; exit 1'
    script(tool_path / "python3.11", fails)
    done = setup(tree, tool_path)
    assert "the right one: -m venv" in done.stderr


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            "The virtual environment was not created because ensurepip is not available",
            r"lacks the venv or ensurepip module\. Install it \(Debian, Ubuntu: python3-venv\)",
        ),
        ("[Errno 28] No space left on device", r"the disk is full\. Free about 10 GB"),
        ("[Errno 13] Permission denied: '/x/.venv'", r"cannot be written\. Check the owner"),
        ("[Errno -3] Temporary failure in name resolution", r"package index cannot be reached"),
        ("something else", r"something else\n.*its last words are above"),
    ],
)
def test_a_failing_step_is_explained(tree, tool_path, output, sentence):
    python = f'test "$2" = -S && {{ echo 3.11.9; exit; }}; echo "{output}"; exit 1'
    script(tool_path / "python3", python)
    temporary = tree / "tmp"
    temporary.mkdir()
    done = setup(tree, tool_path, TMPDIR=str(temporary))
    assert done.returncode == 1
    assert re.search(sentence, done.stderr)
    assert "making .venv failed" in done.stderr
    assert not list(temporary.iterdir())


def make_done(tree):
    """A .venv as the script leaves it: a Python and the stamp."""
    script(tree / ".venv/bin/python", "echo 3.11.9")
    content = (tree / "tools/requirements.lock").read_bytes() + (tree / "setup.py").read_bytes()
    stamp = f"{tree}\n{hashlib.sha256(content).hexdigest()}  - 3.11.9 locked\n"
    (tree / ".venv/.setup_done").write_text(stamp)


def test_nothing_is_done_twice(tree, tool_path):
    make_done(tree)
    done = setup(tree, tool_path)  # no Python on PATH: any work would fail
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tree}/.venv/bin/python\n"


def change_lock(tree):
    with (tree / "tools/requirements.lock").open("a") as stream:
        stream.write("more==1.0\n")


def change_setup(tree):
    (tree / "setup.py").write_text("# another\n")


def change_python(tree):
    script(tree / ".venv/bin/python", 'test "$2" = -S && echo 3.12.0 && exit; exit 1')


@pytest.mark.parametrize("change", [change_lock, change_setup, change_python])
def test_a_change_is_noticed(tree, tool_path, change):
    make_done(tree)
    change(tree)
    done = setup(tree, tool_path)
    assert done.returncode == 1
    assert "installing about 200 packages" in done.stderr
    assert re.search("error: installing .* failed", done.stderr)
    assert not (tree / ".venv/.setup_done").exists()


def moved(tree):
    stamp = tree / ".venv/.setup_done"
    stamp.write_text(stamp.read_text().replace(str(tree), "/elsewhere"))


def half_way(tree):
    (tree / ".venv/.setup_done").rename(tree / ".venv/.setup_begun")


def broken(tree):
    script(tree / ".venv/bin/python", "exit 127")


@pytest.mark.parametrize("harm", [moved, half_way, broken])
def test_a_harmed_environment_is_made_anew(tree, tool_path, harm):
    make_done(tree)
    harm(tree)
    script(tool_path / "python3", 'test "$2" = -S && { echo 3.11.9; exit; }; echo "$@"; exit 1')
    done = setup(tree, tool_path)
    assert done.returncode == 1
    assert "repairing .venv" in done.stderr
    assert "-m venv --clear" in done.stderr


def test_the_named_python_is_only_checked(tree, tool_path):
    bare = tree / "bare/python"
    text = f'test "$2" = -S && {{ echo 3.11.9; exit; }}; exec "{sys.executable}" -I -S "$@"'
    script(bare, text)
    for words, env in (
        (("--python", str(bare)), {}),
        ((), {"ESPNET_ENTROPY_PYTHON": str(bare)}),
    ):
        done = setup(tree, tool_path, *words, **env)
        assert done.returncode == 1
        assert re.search(r"lacks \d+ package\(s\)", done.stderr)
        assert re.search(r"torch +ModuleNotFoundError: No module named 'torch'", done.stderr)
        assert re.search(r"-m pip install torch torchaudio espnet", done.stderr)
        assert done.stdout == ""
    assert not (tree / ".venv").exists()


def test_a_check_is_remembered_until_something_changes(tree, tmp_path):
    modules = tmp_path / "modules"
    modules.mkdir()
    text = (ROOT / "tools/check_packages.py").read_text()
    for module in re.findall(r'^    "(\w+)": ', text, re.M):
        (modules / f"{module}.py").write_text("import os; os.write(1, b'!')\n")
    command = [sys.executable, "-S", "-B", str(tree / "tools/check_packages.py")]
    env = {**os.environ, "PYTHONPATH": str(modules), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def check():
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    code, output = check()
    assert code == 0
    assert set(output) == {"!"}
    assert check() == (0, "")
    (modules / "torch.py").unlink()
    code, output = check()
    assert code == 1
    assert "lacks 1 package(s):\n    torch " in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--python",), "--python needs one path"),
        (("--python", "/no/python"), "/no/python: no such Python"),
        (("--pyton", "x"), "unknown option '--pyton'"),
    ],
)
def test_usage(tree, tool_path, words, message):
    done = setup(tree, tool_path, *words)
    assert done.returncode == 1
    assert message in done.stderr


def test_help_is_the_head_of_the_script(tree, tool_path):
    done = setup(tree, tool_path, "--help")
    assert done.returncode == 0
    assert "ESPNET_ENTROPY_PYTHON=PATH does the same" in done.stdout
    assert "pipefail" not in done.stdout


def requirements(keyword):
    """What setup.py names, read without running it."""
    call = next(
        node
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    )
    value = next(k.value for k in call.keywords if k.arg == keyword)
    return ast.literal_eval(value)


def names(found):
    return {re.split(r"[<>=]", requirement)[0].lower() for requirement in found}


def test_setup_check_and_lock_name_the_same_packages():
    spec = importlib.util.spec_from_file_location("check", ROOT / "tools/check_packages.py")
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    core = names(requirements("install_requires"))
    assert set(check.CORE.values()) == core
    extras = names(name for extra in requirements("extras_require").values() for name in extra)
    assert set(check.TEST.values()) <= extras
    lock = (ROOT / "tools/requirements.lock").read_text()
    locked = set(re.findall(r"^([\w.-]+)==", lock, re.M))
    assert core | extras <= locked
    wanted = (ROOT / "tools/requirements.in").read_text()
    wanted = names(re.findall(r"^[\w-]+[^\s#]*", wanted, re.M))
    assert core | extras <= wanted <= locked


def test_the_lock_has_hashes_and_no_address():
    lock = (ROOT / "tools/requirements.lock").read_text()
    assert not re.search(r"https?:|index-url|find-links", lock)
    entries = re.split(r"^(?=[a-z])", lock, flags=re.M)[1:]
    assert len(entries) > 100
    assert all("--hash=sha256:" in entry for entry in entries)
