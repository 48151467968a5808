"""The house: one list of packages, one address, commands that exist, no path of a machine."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import adopt
import colab
import pipeline_picture
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import bioptimus_lib
from bioptimus_lib import cli

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(
        (re.sub(r"[-_.]+", "-", name).lower(), version)
        for name, version in (line.split("==") for line in lines if line and line[0] != "#")
    )


def test_conda_environment_equals_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    listed = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    wanted = [*PROJECT["dependencies"], *EXTRAS["dev"], *EXTRAS["book"], "-e ."]
    assert sorted(listed) == sorted(wanted)


def test_constraints_pin_every_package_inside_its_range():
    pins = pinned()
    for line in [*PROJECT["dependencies"], *EXTRAS["dev"], *EXTRAS["book"]]:
        wanted = Requirement(line)
        version = pins[re.sub(r"[-_.]+", "-", wanted.name).lower()]
        assert version in wanted.specifier, f"{line}, but constraints.txt has {version}"
        assert "+" not in version, f"{wanted.name} is pinned to a local build"


def test_pinned_packages_install_on_the_first_release_of_the_oldest_python():
    """Debian's Python is 3.11.2; a package that asks for 3.11.5 ends `make setup` on it."""
    oldest = f"{PROJECT['requires-python'].removeprefix('>=')}.0"
    for name, version in pinned().items():
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        if package.version == version and (asks := package.metadata.get("Requires-Python")):
            assert oldest in SpecifierSet(asks), f"{name} {version} asks for Python {asks}"


COLAB = {  # the versions of Colab that are known; the course must not replace any of them
    wanted.name: str(next(iter(wanted.specifier)).version)
    for wanted in map(Requirement, colab.lines_of(colab.PACKAGES))
    if "==" in str(wanted.specifier)
}


@pytest.mark.parametrize("name", COLAB)
def test_ranges_admit_what_colab_has(name):
    ranges = {r.name: r for r in map(Requirement, PROJECT["dependencies"] + EXTRAS["hub"])}
    assert COLAB[name] in ranges[name].specifier


def imported(path: Path) -> set[str]:
    """The packages that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"bioptimus_lib"}


def test_what_the_library_imports_is_asked_for():
    def plain(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    wanted = [*PROJECT["dependencies"], *EXTRAS["hub"], *EXTRAS["release"], *EXTRAS["scale"]]
    asked = {plain(Requirement(line).name) for line in wanted}
    packages = importlib.metadata.packages_distributions()
    for path in sorted((ROOT / "bioptimus_lib").rglob("*.py")):
        for module in imported(path) - {"google"}:  # there in Colab
            names = {plain(name) for name in packages.get(module, [module])}
            assert names & asked, f"{path.name} imports {module}, pyproject.toml lacks it"


def test_importing_the_package_loads_no_framework():
    code = (
        "import sys, bioptimus_lib, bioptimus_lib.cli;"
        "print([m for m in ('torch', 'transformers', 'pandas') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.strip() == "[]", run.stderr


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.search(r"^\.PHONY: (.*)$", makefile, re.M).group(1).split())


def test_make_help_has_a_line_for_every_target():
    run = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True)
    listed = re.findall(r"^  make (\w+) +\S", run.stdout, re.M)
    assert run.returncode == 0 and sorted(listed) == sorted(targets())
    assert {"setup", "book", "test", "lint", "bench", "notebooks", "adopt", "clean"} <= targets()


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "book").glob("*.md")),
]


def commands(text: str, program: str) -> set[str]:
    """The words that follow a program's name where a page shows a command."""
    shown = re.findall(r"```(?:sh|bash)\n(.*?)```", text, re.S) + re.findall(r"`([^`\n]+)`", text)
    pattern = rf"(?:^|[/ ]){program} ([a-z][a-z-]*)"
    return {word for code in shown for word in re.findall(pattern, code, re.M)}


@pytest.mark.parametrize("page", PAGES)
def test_commands_on_a_page_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert commands(text, "make") <= targets()
    parser = cli.build_parser()
    known = next(action.choices for action in parser._actions if isinstance(action.choices, dict))
    assert commands(text, "bioptimus") <= set(known)


def test_commands_are_found_in_a_page():
    text = "say `make nothing`, then\n```sh\n.venv/bin/bioptimus dance --far  # make haste\n```"
    assert commands(text, "make") >= {"nothing"} and commands(text, "bioptimus") == {"dance"}


# Written in parts, so that this file does not hold what it looks for.
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.:/<~$}-])/(?:"
    + "|".join(("work", "tmp", "root", "home", "Users"))
    + r")/(?!reader/|ann/)\w",  # made-up people, in examples
    "a host of a package index": r"(?:py" + r"pi\.org|python" + r"hosted\.org|npm" + r"js\.org)",
}


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_nothing_of_one_machine_in_the_files(kind):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in adopt.files(ROOT)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(FORBIDDEN[kind], line)
    ]
    assert not found, "\n".join(found)


def test_forbidden_patterns_find_what_they_should():
    bad = ["cd /" + "tmp/x", "'/" + "home/someone/data'", "open(/" + "work/main)"]
    good = ["https://host/" + "tmp/x", "data/" + "work/x", "~/" + "home/x"]
    pattern = FORBIDDEN["a path of somebody's machine"]
    assert all(re.search(pattern, text) for text in bad)
    assert not any(re.search(pattern, text) for text in good)
    assert re.search(FORBIDDEN["a host of a package index"], "from https://py" + "pi.org/simple")


def test_the_address_stands_only_where_it_must():
    allowed = {"_config.yml", "pyproject.toml", "CITATION.cff", "README.md"}
    found = {path.relative_to(ROOT).as_posix() for path in adopt.places(adopt.current(ROOT), ROOT)}
    assert allowed <= found
    assert {name for name in found - allowed if not name.startswith("notebooks/")} == set()


@pytest.fixture
def clone(tmp_path):
    """A repository of its own with the files of this one, as they are now."""
    for path in adopt.files(ROOT):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "add", "-A"], check=True)
    return tmp_path


def test_adopt_replaces_the_address_everywhere(clone):
    old = adopt.current(clone)
    changed = adopt.adopt("https://github.com/ann/my.course.git", clone)
    assert adopt.current(clone) == "ann/my.course"
    assert not adopt.places(old, clone) and len(changed) >= 4
    readme = (clone / "README.md").read_text(encoding="utf-8")
    assert "colab.research.google.com/github/ann/my.course/blob/main/" in readme
    assert adopt.adopt("https://github.com/ann/my.course", clone) == []


@pytest.mark.parametrize("url", ["", "ann/course", "https://example.org/ann/course"])
def test_adopt_refuses_what_colab_cannot_open(url, clone):
    before = adopt.current(clone)
    with pytest.raises(ValueError, match="should look like"):
        adopt.adopt(url, clone)
    assert adopt.current(clone) == before


def test_adopt_leaves_longer_names_alone(clone):
    old = adopt.current(clone)
    (clone / "README.md").write_text(f"{old} and {old}-extra", encoding="utf-8")
    adopt.adopt("https://github.com/ann/x", clone)
    assert (clone / "README.md").read_text(encoding="utf-8") == f"ann/x and {old}-extra"


def test_wheel_carries_the_library_and_its_data(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {"bioptimus_lib/cli.py", "bioptimus_lib/py.typed", "bioptimus_lib/_data/README.md"}
    assert wanted <= names
    shipped = {
        f"bioptimus_lib/_{path.relative_to(ROOT).as_posix()}"
        for path in adopt.files(ROOT)
        if path.is_relative_to(ROOT / "data")
    }
    assert shipped <= names


def test_citation_names_the_paper_and_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == bioptimus_lib.__version__
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Pavlova", "Makhlouf"]
    assert f"## {bioptimus_lib.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_pipeline_pictures_are_what_their_script_draws():
    static = ROOT / "book" / "_static"
    assert (static / "pipeline.svg").read_text(encoding="utf-8") == pipeline_picture.draw()
    narrow = (static / "pipeline-narrow.svg").read_text(encoding="utf-8")
    assert narrow == pipeline_picture.draw(columns=2)
    assert "you are here" in pipeline_picture.draw(here=3) and "you are here" not in narrow


def test_without_a_command_it_says_what_there_is(capsys):
    assert cli.main([]) == cli.BAD_INPUT
    said = capsys.readouterr().err
    names = re.findall(r"^    ([a-z-]+)\s{2,}", said, re.M)
    assert len(names) == len(cli.COMMANDS)
    for line in re.findall(r"^  bioptimus ([a-z-]+)(.*?)\s{2,}", said, re.M):
        assert line[0] in names, "a first step that does not exist"
    assert "bioptimus run" in said
