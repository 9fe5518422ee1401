"""The recipes' shell glue, run by bash."""

import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OPTIONS = f"""
set -euo pipefail
. {ROOT}/utils/options.sh
option nj int 2 "pieces at the same time"
option tokenizer_config file "" "configuration of the tokenizer"
option remake bool false "make stale stages anew"
parse_options "$@"
echo "$nj $remake ${{tokenizer_config:-none}}"
"""

STAGES = f"""
set -euo pipefail
export PYTHONPATH={ROOT}
. {ROOT}/utils/stages.sh
stages=(data format report)
stage=${{1:-1}} stop_stage=${{2:-}} remake=false
select_stages
make() {{ echo "$1"; touch "$1"; }}
data() {{ make data; }}
format() {{ make format; }}
report() {{ make report; }}
run_stage data "" data "" data
run_stage format data format "x=1" format
run_stage report format report "" report
"""


def bash(script, *args, cwd=None):
    return subprocess.run(
        ["bash", "-c", script, "run.sh", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


@pytest.mark.parametrize(
    ("args", "out"),
    [
        ([], "2 false none"),
        (["--nj", "8", "--remake", "true"], "8 true none"),
        (["--nj=8"], "8 false none"),
    ],
)
def test_options(args, out):
    assert bash(OPTIONS, *args).stdout.strip() == out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--nk", "3"], "unknown option '--nk'. Did you mean '--nj'?"),
        (["--tokeniser-config", "x"], "Did you mean '--tokenizer_config'?"),
        (["--nj", "two"], "--nj: expected a whole number, got 'two'"),
        (["--nj"], "--nj: a value is missing"),
        (["--remake", "yes"], "expected true or false"),
        (["--tokenizer_config", "none.yaml"], "no such file: 'none.yaml'"),
        (["three"], "unexpected argument 'three'"),
    ],
)
def test_wrong_options(args, message):
    result = bash(OPTIONS, *args)
    assert result.returncode == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    "text",
    ["", "  ", "a b", "--x 'a b' --y=* \"\" c\\ d", "--last ''", "--lr 1e-3\n--more"],
)
def test_words_are_those_of_shlex(text, tmp_path):
    (tmp_path / "a_file").touch()  # no word is a pattern
    script = f'. {ROOT}/utils/options.sh; split_words w "$1"; printf \'%s\\0\' "${{w[@]}}"'
    found = bash(f"set -euo pipefail; {script}", text, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split("\0")[:-1] == (shlex.split(text) or [""])  # printf of nothing


def test_words_without_an_end():
    found = bash(f'. {ROOT}/utils/options.sh; split_words w "$1"; echo on', "it's")
    assert (found.returncode, found.stdout) == (2, "")
    assert "error: No closing quotation in: it's" in found.stderr


def test_help_lists_every_option_with_its_default():
    result = bash(OPTIONS, "--help")
    assert result.returncode == 0
    assert "--nj" in result.stdout
    assert "(int, default: 2)" in result.stdout


def test_stages_run_once_by_number_or_name(tmp_path):
    assert bash(STAGES, cwd=tmp_path).stdout.split() == ["data", "format", "report"]
    again = bash(STAGES, cwd=tmp_path)
    assert again.stdout == ""
    assert again.stderr.count("done before, nothing changed") == 3
    for path in tmp_path.glob("exp/stamps/*.json"):
        path.unlink()
    assert bash(STAGES, "format", "format", cwd=tmp_path).stdout.split() == ["format"]
    assert bash(STAGES, "3", cwd=tmp_path).stdout.split() == ["report"]


def test_wrong_stages(tmp_path):
    result = bash(STAGES, "fromat", cwd=tmp_path)
    assert result.returncode == 2
    assert "no stage 'fromat'; stages: 1 data, 2 format, 3 report" in result.stderr
    for number in ("4", "99", "0"):
        result = bash(STAGES, number, cwd=tmp_path)
        assert result.returncode == 2, number
        assert f"no stage '{number}'" in result.stderr
    result = bash(STAGES, "report", cwd=tmp_path)
    assert result.returncode == 2
    assert "stage report: missing input format; run the stages before it" in result.stderr
