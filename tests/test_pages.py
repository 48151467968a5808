"""The pages that are made when the book is built: the library, the commands, the execution."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import api_page
import command_page
import execute
import execution_page
import nbformat
import pytest
from jupyter_cache import get_cache

from bioptimus_lib import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"api": "{api}", "commands": "{command-help}", "execution": "{execution-report}"}
CONF = """
import sys
sys.path.insert(0, {ext!r})
extensions = ["myst_parser", "api_page", "command_page", "execution_page"]
html_theme = "basic"
suppress_warnings = ["myst.xref_missing"]
nb_execution_cache_path = {cache!r}
def setup(app):
    app.add_config_value("nb_execution_cache_path", "", "env")
"""


def notebook(path: Path, *cells: str | tuple[str, str]) -> Path:
    """A notebook with text and code cells; code is (source, tag)."""
    made = nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_markdown_cell(cell) if isinstance(cell, str)
        else nbformat.v4.new_code_cell(cell[0], metadata={"tags": [cell[1]]})
        for cell in cells
    ])  # fmt: skip
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(made, path)
    return path


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> tuple[Path, Path]:
    """(folder, cache) of two chapters, of which one was executed by the real tool."""
    folder = tmp_path_factory.mktemp("chapters")
    one = notebook(
        folder / "00_one.ipynb",
        "# One", ("print('device    an abacus\\nprofile   pocket: small')", "setup"),
        "## 1 · Quick", ("print(1)", "a"),
        "## 2 · Slow", ("import time; time.sleep(0.6)", "b"), ("1 / 0", "raises-exception"),
    )  # fmt: skip
    notebook(folder / "01_two.ipynb", "# Two", ("2", "setup"))
    assert execute.execute_all([one], cache=folder / "cache", jobs=1, timeout=60) == []
    return folder, folder / "cache"


@pytest.fixture(scope="module")
def built(tmp_path_factory, executed) -> Path:
    """The three pages, built by Sphinx without a theme."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "book").mkdir()
    (folder / "notebooks").mkdir()
    for name in PAGES:
        text = (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
        (folder / "book" / f"{name}.md").write_text(text, encoding="utf-8")
    (folder / "index.md").write_text(
        "# Index\n\n```{toctree}\n:glob:\nbook/*\n```\n"
        "\n{py:func}`bioptimus_lib.scan.find_contexts`",
        encoding="utf-8",
    )
    conf = CONF.format(ext=str(ROOT / "book" / "_ext"), cache=str(executed[1]))
    (folder / "conf.py").write_text(conf, encoding="utf-8")
    out = folder / "html"
    run = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "-b", "html", str(folder), str(out)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    return out


MODULES = [module for some in api_page.rooms().values() for module in some]
NAMES = [(module.name, name) for module in MODULES for name in module.names]


def test_each_page_has_its_directive():
    for name, directive in PAGES.items():
        assert f"```{directive}\n" in (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")


# -- the library ---------------------------------------------------------------------------------


def test_every_module_and_public_name_says_what_it_is():
    silent = [module.name for module in MODULES if not module.says]
    silent += [f"{module}.{name.name}" for module, name in NAMES if not name.says]
    assert not silent


def test_a_name_without_words_would_be_found():
    source = "def a():\n  ''' >>> a() '''\ndef b(): ...\ndef c():\n  'Gives.'"
    assert [n.name for n in api_page.names_of(ast.parse(source)) if not n.says] == ["a", "b"]


def test_every_module_of_the_package_is_on_the_page_once():
    package = ROOT / "bioptimus_lib"
    there = {
        ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
        for path in package.rglob("*.py")
    } - {"__init__", "__main__"}
    assert Counter(module.name for module in MODULES) == Counter(there)


@pytest.mark.parametrize("name", ["scan", "masking", "stats", "ner", "source_table", "mini_albert"])
def test_names_and_arguments_are_those_of_the_imported_module(name):
    module = import_module(f"bioptimus_lib.{name}")
    (found,) = [each for each in MODULES if each.name == name]
    public = {
        key: value for key, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
        and not key.startswith("_") and value.__name__ == key  # a lambda has another name
        and (inspect.isclass(value) or inspect.isfunction(inspect.unwrap(value)))
    }  # fmt: skip
    assert {each.name for each in found.names} >= set(public)
    for each in found.names:
        if each.name not in public or not each.signature:
            continue
        value = public[each.name]
        if inspect.isclass(value) and value.__init__ is object.__init__ and value.__new__ is object:
            continue
        said = ast.parse(f"def f{each.signature}: ...").body[0].args
        names = [argument.arg for argument in (*said.posonlyargs, *said.args, *said.kwonlyargs)]
        wanted = inspect.signature(value).parameters.values()
        several = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
        assert names == [one.name for one in wanted if one.kind not in several], each.name


def test_the_page_has_each_public_name_once_to_link_to_and_is_light(built):
    text = (built / "book" / "api.html").read_text(encoding="utf-8")
    for module, name in NAMES:
        assert text.count(f'id="bioptimus_lib.{module}.{name.name}"') == 1, (module, name.name)
    assert text.count("<details") == text.count("</details>") == len(MODULES)
    assert len(text) < 500_000
    index = (built / "index.html").read_text(encoding="utf-8")
    assert 'href="book/api.html#bioptimus_lib.scan.find_contexts"' in index


# -- the commands --------------------------------------------------------------------------------


def test_each_command_is_on_the_page_with_its_help(built):
    text = (built / "book" / "commands.html").read_text(encoding="utf-8")
    programs = [parser.prog for parser in command_page.parsers(cli.build_parser())]
    assert len(set(programs)) == len(programs) > len(cli.COMMANDS)
    for program in programs:
        assert text.count(f'id="{program.replace(" ", "-")}"') == 1, program
        assert f"usage: {program} " in text


def test_each_command_says_what_it_does_and_each_argument_what_it_is():
    for parser in command_page.parsers(cli.build_parser()):
        assert parser.description, parser.prog
        silent = [action.dest for action in parser._actions
                  if not action.help and type(action).__name__ != "_SubParsersAction"]  # fmt: skip
        assert not silent, parser.prog


def test_help_does_not_depend_on_the_terminal(monkeypatch):
    parser = cli.build_parser()
    monkeypatch.setenv("COLUMNS", "40")
    narrow = command_page.help_of(parser)
    monkeypatch.setenv("COLUMNS", "200")
    assert command_page.help_of(parser) == narrow


# -- the execution -------------------------------------------------------------------------------


def test_times_are_those_of_the_execution(executed):
    folder, cache = executed
    one = execution_page.chapter(folder / "00_one.ipynb", get_cache(cache))
    assert one.cells == 4 and one.raised == 1 and "on purpose" in one.status
    assert one.slowest[1] == "2 · Slow" and 0.6 <= one.slowest[0] <= one.seconds < 60
    assert one.said == {"device": "an abacus", "profile": "pocket: small"}
    two = execution_page.chapter(folder / "01_two.ipynb", get_cache(cache))
    assert two == execution_page.Chapter("01_two", 1) and two.status == "not executed"
    facts = dict(execution_page.facts([one, two]))
    assert facts["chapters executed"] == "1 of 2" and facts["device"] == "an abacus"
    assert facts["executed"].endswith("UTC") and set(facts) >= {"profile"}


def test_a_chapter_that_has_changed_since_is_not_taken_for_executed(executed, tmp_path):
    folder, cache = executed
    text = json.loads((folder / "00_one.ipynb").read_text(encoding="utf-8"))
    text["cells"][3]["source"] = "print(2)"
    (tmp_path / "00_one.ipynb").write_text(json.dumps(text), encoding="utf-8")
    assert execution_page.chapter(tmp_path / "00_one.ipynb", get_cache(cache)).seconds is None


def test_package_versions_are_on_the_page(built):
    text = (built / "book" / "execution.html").read_text(encoding="utf-8")
    rows = execution_page.packages(ROOT / "pyproject.toml")
    assert {"torch", "transformers", "jupyter-book"} <= {name for name, *_ in rows}
    for name, _, version in rows:
        assert f"<p>{name}</p>" in text and f"<p>{version}</p>" in text
