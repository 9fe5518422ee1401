"""Write a working recipe for a new corpus: ``tools/new_recipe.sh NAME TASK``.

Copies ``tools/recipe_template/<task>``, the recipe of a corpus called ``mycorpus``, under the new
name, and adds the corpus to the registry, to ``egs2/TEMPLATE/db.sh`` and to the guide's list. It
runs at once on audio files with a ``metadata.tsv``; what it says at the end is what to edit.
"""

from __future__ import annotations

import argparse
import keyword
import re
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main
from espnet_entropy.utils.config import check_choice
from espnet_entropy.utils.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "tools/recipe_template"
OLD = "mycorpus"
UNITS = "units1"
TASKS = sorted(path.name for path in TEMPLATE.iterdir() if path.is_dir())
REGISTRY = ROOT / "espnet_entropy/corpora/__init__.py"
PLACES = ROOT / "egs2/TEMPLATE/db.sh"
GUIDE = ROOT / "egs2/README.md"
LONGEST = 30  # characters: lines of the templates stay within ruff's limit
# In capitals the name is a shell variable; these mean something already
TAKEN = ("path", "home", "user", "shell", "lang", "pwd", "oldpwd", "tmpdir", "term", "uid", "euid")


def check_name(name: str) -> str:
    """The name, if it can be a folder, a Python module and, in capitals, a shell variable.

    Raises:
        ValueError: if it cannot.
    """
    if not re.fullmatch(rf"[a-z][a-z0-9_]{{1,{LONGEST - 1}}}", name):
        raise ValueError(
            f"NAME '{name}': expected 2 to {LONGEST} lower-case letters, digits and '_', a letter "
            "first: it names a folder, a Python module and (in capitals) a shell variable."
        )
    if keyword.iskeyword(name) or name in (*TAKEN, OLD):
        raise ValueError(
            f"NAME '{name}': means something in Python, to the shell or here; add a word to it, "
            f"for instance '{name}_corpus'."
        )
    return name


def plan(name: str, task: str) -> dict[Path, Path]:
    """Template file to the file that it becomes, none of which is there yet.

    Raises:
        ValueError: for an unusable name, an unknown task, or if something would be overwritten.
    """
    check_name(name)
    check_choice(task, TASKS, "TASK")
    tasks = [task]
    if task != UNITS and not (ROOT / "egs2" / name / UNITS).is_dir():
        tasks.insert(0, UNITS)
    made = {
        path: ROOT / str(path.relative_to(TEMPLATE / part)).replace(OLD, name)
        for part in tasks
        for path in sorted((TEMPLATE / part).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    there = [str(path.relative_to(ROOT)) for path in made.values() if path.exists()]
    if UNITS in tasks:
        if f'"{name}":' in REGISTRY.read_text(encoding="utf-8"):
            there.append(f"'{name}' in {REGISTRY.relative_to(ROOT)}")
        if re.search(rf"\b{name.upper()}\b", PLACES.read_text(encoding="utf-8")):
            there.append(f"{name.upper()} in {PLACES.relative_to(ROOT)}")
    if there:
        some = ", ".join(there[:5]) + (", …" if len(there) > 5 else "")
        raise ValueError(
            f"{name} {task}: there already: {some}. Nothing was written; choose another NAME, or "
            "remove or finish what is there."
        )
    return made


class Insertions:
    """Lines to add to files; none is written before all have found their place."""

    def __init__(self) -> None:
        self.texts: dict[Path, str] = {}  # as the files shall be

    def add(self, path: Path, pattern: str, added: str) -> None:
        """Before the one place that matches.

        Raises:
            ValueError: if there is no such place, or several.
        """
        text = self.texts[path] if path in self.texts else path.read_text(encoding="utf-8")
        found = list(re.finditer(pattern, text, re.MULTILINE | re.DOTALL))
        if len(found) != 1:
            raise ValueError(
                f"{path.relative_to(ROOT)}: {added.strip()!r} is to go where the pattern "
                f"{pattern} matches, expected once, found {len(found)} times. Nothing was "
                "written; restore what was there (git diff shows it)."
            )
        at = found[0].start(1)
        self.texts[path] = text[:at] + added + text[at:]

    def write(self) -> None:
        """Write the files, each atomically."""
        for path, text in self.texts.items():
            with atomic_write(path) as stream:
                stream.write(text)


def plan_insertions(name: str, recipes: Sequence[Path]) -> Insertions:
    """The lines for new recipes: in the guide, and of ``units1`` in the registry and ``db.sh``.

    Raises:
        ValueError: as :meth:`Insertions.add`.
    """
    lines = Insertions()
    for recipe in recipes:
        link = f"[`{name}/{recipe.name}`]({name}/{recipe.name}/README.md)"
        lines.add(GUIDE, r"^(<!-- new_recipe)", f"| {link} | TODO | untrained |\n")
        if recipe.name == UNITS:
            line = f'    "{name}": "espnet_entropy.corpora.{name}:prepare",\n'
            lines.add(REGISTRY, r"^CORPORA: [^}]*^(\})", line)
            variable = name.upper()
            place = f': "${{{variable}:=${{shared}}/{name}}}"\n'
            lines.add(PLACES, r'^(if \[ -f "\$\{root\}/egs2/TEMPLATE/db\.local\.sh)', place)
            lines.add(PLACES, r"^export [^\n]*(\n)", f" {variable}")
    return lines


def write_recipe(name: str, task: str) -> list[Path]:
    """Write the recipe.

    Returns:
        The new files and those that got a line, relative to the repository.

    Raises:
        ValueError: as :func:`plan` and :func:`plan_insertions`; nothing is written then.
    """
    made = plan(name, task)
    recipes = [path.parent for path in made.values() if path.name == "run.sh"]
    lines = plan_insertions(name, recipes)
    for source, target in made.items():
        text = source.read_text(encoding="utf-8")
        with atomic_write(target) as stream:
            stream.write(text.replace(OLD, name).replace(OLD.upper(), name.upper()))
        target.chmod(source.stat().st_mode & 0o777)
    lines.write()
    return [path.relative_to(ROOT) for path in (*made.values(), *lines.texts)]


def describe(name: str, files: Sequence[Path]) -> str:
    """What was written, and what to do next."""
    module = Path(f"espnet_entropy/corpora/{name}.py")
    test = Path(f"test/espnet_entropy/corpora/test_{name}.py")
    recipes = [path.parent for path in files if path.name == "run.sh"]
    marked = [GUIDE.relative_to(ROOT), *recipes]
    steps = []
    if module in files:
        marked += [module, test]
        steps = [
            f"echo '{name.upper()}=/where/it/is' >> egs2/TEMPLATE/db.local.sh",
            f"edit read_corpus() in {module}, and the miniature corpus in {test}",
            f"tools/run_tests.sh {test}",
            f"egs2/{name}/{UNITS}/run.sh --stop_stage data    # then without --stop_stage",
        ]
    steps.append(f"grep -rn TODO {' '.join(map(str, marked))}    # what only you can say")
    written = ["written, or given a line:", *(f"    {path}" for path in files)]
    return "\n".join(
        [*written, "next (egs2/README.md is the guide):", *(f"    {s}" for s in steps)]
    )


def get_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = Parser(prog="new_recipe.sh", description="Write a working recipe for a new corpus.")
    parser.add_argument("name", metavar="NAME", help="of the corpus: lower case, as in 'my_corpus'")
    parser.add_argument("task", metavar="TASK", help=f"one of {', '.join(TASKS)}")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    print(describe(args.name, write_recipe(args.name, args.task)))


if __name__ == "__main__":
    run_main(main)
