import pytest

from espnet_entropy.launch.stamp import main


@pytest.fixture
def stage(tmp_path, capsys):
    (tmp_path / "conf.yaml").write_text("k: 1")
    out = tmp_path / "out"

    def run(action, settings="nj", remake="false"):
        files = ["--inputs", str(tmp_path / "conf.yaml"), "--outputs", str(out)]
        options = ["--stage", "tokenize", "--settings", settings, "--remake", remake]
        main([action, str(tmp_path / "s.json"), *options, *files])
        return capsys.readouterr().out.strip()

    return run


def test_a_stage_is_run_once(stage, tmp_path):
    assert stage("check") == "run"
    assert stage("check") == "run"  # begun, killed, run again: not done
    (tmp_path / "out").mkdir()
    stage("write")
    assert stage("check") == "done"


def test_a_stage_whose_output_was_removed_runs_again(stage, tmp_path):
    (tmp_path / "out").mkdir()
    stage("write")
    (tmp_path / "out").rmdir()
    assert stage("check") == "run"


def test_a_stale_stage_says_what_changed_and_is_remade_on_demand(stage, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    stage("write")
    (tmp_path / "conf.yaml").write_text("k: 2")
    with pytest.raises(ValueError, match=r"conf.yaml has changed.*--stage tokenize --remake true"):
        stage("check")
    with pytest.raises(ValueError, match="settings were 'nj' and are now 'other'"):
        stage("check", settings="other")
    assert (tmp_path / "out" / "old").exists()
    assert stage("check", remake="true") == "run"
    assert not (tmp_path / "out").exists()


def test_a_half_done_stage_is_not_continued_with_other_settings(stage):
    assert stage("check") == "run"
    with pytest.raises(ValueError, match="made from something else"):
        stage("check", settings="other")


def test_a_missing_input_says_which_stages_to_run(stage, tmp_path):
    (tmp_path / "conf.yaml").unlink()
    with pytest.raises(ValueError, match="run the stages before it first"):
        stage("check")


def test_a_stage_that_made_nothing_is_not_stamped(stage):
    with pytest.raises(ValueError, match="ended without making"):
        stage("write")


def test_an_added_input_runs_the_stage_and_keeps_what_it_made(tmp_path, capsys):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()

    def run(action, *inputs):
        files = [str(tmp_path / name) for name in inputs]
        options = ["--stage", "format", "--outputs", str(tmp_path / "out")]
        main([action, str(tmp_path / "s.json"), *options, "--inputs", *files])
        return capsys.readouterr().out.strip()

    run("write", "a")
    assert run("check", "a") == "done"
    assert run("check", "a", "b") == "run"
    assert (tmp_path / "out" / "old").exists()


@pytest.mark.parametrize(("whole", "kept"), [("false", True), ("true", False)])
def test_other_sets_for_a_stage_of_all_sets_together(tmp_path, capsys, whole, kept):
    for name in ("train", "valid", "other", "out"):
        (tmp_path / name).write_text(name)

    def run(action, *inputs, remake="false"):
        options = ["--stage", "lm", "--outputs", str(tmp_path / "out"), "--remake", remake]
        files = [str(tmp_path / name) for name in inputs]
        main([action, str(tmp_path / "s.json"), *options, "--whole", whole, "--inputs", *files])
        return capsys.readouterr().out.strip()

    run("write", "train", "valid")
    assert run("check", "train", "valid") == "done"
    for inputs in (("valid", "train"), ("train", "other"), ("train",)):
        if kept:  # the stage runs, and what it made for the sets is still right
            assert run("check", *inputs) == "run"
        else:
            with pytest.raises(ValueError, match=r"it read \S*train \S*valid and now reads"):
                run("check", *inputs)
    if not kept:  # as before; a newly known input is no other set
        assert run("check", "train", "valid") == "done"
        assert run("check", "train", "valid", "other") == "run"
        assert (tmp_path / "out").exists()
        assert run("check", "train", remake="true") == "run"
        assert not (tmp_path / "out").exists()


def test_a_stage_killed_while_its_outputs_are_removed_is_not_done(stage, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    stage("write")
    (tmp_path / "conf.yaml").write_text("k: 2")

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        stage("check", remake="true")
    (tmp_path / "conf.yaml").write_text("k: 1")  # the user thinks better of it
    assert stage("check") == "run"
