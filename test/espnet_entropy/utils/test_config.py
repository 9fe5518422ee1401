from dataclasses import dataclass, field
from typing import Literal

import pytest

from espnet_entropy.utils.config import from_dict, load_config, read_yaml, to_dict, write_yaml


@dataclass(frozen=True)
class Inner:
    width: int = 4
    rate: float = 15.0


@dataclass(frozen=True)
class Outer:
    name: str
    mode: Literal["start", "end"] = "start"
    inner: Inner = field(default_factory=Inner)
    rates: list[float] = field(default_factory=list)
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit: expected at least 1, got {self.limit}.")


def test_round_trip_through_yaml(tmp_path):
    config = Outer("a", "end", Inner(8, 7.5), [24.0, 15.0], 3)
    write_yaml(tmp_path / "c.yaml", config)
    assert load_config(Outer, tmp_path / "c.yaml") == config
    assert to_dict(config)["inner"] == {"width": 8, "rate": 7.5}


def test_number_that_yaml_takes_for_a_string(tmp_path):
    (tmp_path / "c.yaml").write_text("rate: 1e-4\n")
    assert read_yaml(tmp_path / "c.yaml")["rate"] == "1e-4"  # PyYAML's trap
    assert load_config(Inner, tmp_path / "c.yaml").rate == 1e-4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"name": "a", "mod": "end"}, "unknown key 'mod'.*Did you mean 'mode'"),
        ({"name": "a", "mode": "strat"}, "unknown mode 'strat'.*Did you mean 'start'"),
        ({}, "missing key.*name"),
        ({"name": 3}, "name: expected a string, got 3"),
        ({"name": "a", "inner": {"widht": 3}}, "inner: unknown key 'widht'.*'width'"),
        ({"name": "a", "inner": {"width": 2.5}}, "inner: width: expected a whole number"),
        ({"name": "a", "inner": {"width": True}}, "inner: width: expected a whole number"),
        ({"name": "a", "rates": [1, "x"]}, r"rates\[1\]: expected a number, got 'x'"),
        ({"name": "a", "limit": 0}, "limit: expected at least 1, got 0"),
        ({"name": "a", "inner": [1]}, "inner: expected a mapping"),
    ],
)
def test_wrong_content_is_named(content, message):
    with pytest.raises(ValueError, match=message):
        from_dict(Outer, content, where="conf/x.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n- b\n", "expected 'key: value'"), ("a: [1\n", "not valid YAML")],
)
def test_wrong_file_is_named(tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_config(Inner, tmp_path / "c.yaml")


def test_yaml_cannot_run_code(tmp_path):
    (tmp_path / "c.yaml").write_text("width: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ValueError, match="not valid YAML"):
        load_config(Inner, tmp_path / "c.yaml")
