"""The page of the library, read from its source when the book is built.

``{api}`` stands for the rooms of the map in ``bioptimus_lib/__init__.py``, in its order; a module
can be opened and shows its purpose, its public functions and classes with their signatures, and the
first sentence of what each says about itself. The source is parsed and not imported, so the page
needs neither torch nor time. Every name is an object of Sphinx's Python domain: ``{py:func}`` in a
page, and intersphinx from another project, find it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

PACKAGE = Path(__file__).resolve().parents[2] / "bioptimus_lib"
Definition = ast.FunctionDef | ast.ClassDef


class Name(NamedTuple):
    """A public name: its kind in Sphinx's Python domain, its signature, what it is, its methods."""

    name: str
    kind: str
    signature: str
    says: str
    methods: tuple[str, ...]


class Module(NamedTuple):
    """A module, named as it is imported, without the package: ``scan``, ``experiments.arms``."""

    name: str
    front: bool
    says: str
    names: tuple[Name, ...]


def map_of(text: str) -> dict[str, tuple[list[str], list[str]]]:
    """Room → (front doors, modules behind them), from the table in a docstring.

    >>> map_of("| room | front | behind |\\n|-|-|-|\\n| a | ``b`` ``c`` | |")
    {'a': (['b', 'c'], [])}
    """
    rows = [line.strip().strip("|").split("|") for line in text.splitlines() if line[:1] == "|"]
    found = {}
    for room, front, behind in rows[2:]:
        found[room.strip()] = re.findall(r"``(\w+)``", front), re.findall(r"``(\w+)``", behind)
    return found


def first_sentence(text: str | None) -> str:
    """What a docstring says first; nothing if it begins with an example.

    >>> first_sentence("Draw n lines, e.g. of a file.\\n\\nMore about it.")
    'Draw n lines, e.g. of a file.'
    >>> first_sentence("One. Two."), first_sentence(">>> 1 + 1"), first_sentence(None)
    ('One.', '', '')
    """
    paragraph = " ".join((text or "").strip().split("\n\n")[0].split())
    if paragraph.startswith(">>>"):
        return ""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", paragraph)[0]


def _decorators(node: Definition) -> str:
    return " ".join(map(ast.unparse, node.decorator_list))


def _fields(node: ast.ClassDef, beside: dict[str, ast.ClassDef]) -> list[str]:
    """What a dataclass or a named tuple is made from, what it inherits in its module first."""
    found: dict[str, str] = {}
    for base in map(ast.unparse, node.bases):
        if base in beside:
            found |= {text.split(":")[0]: text for text in _fields(beside[base], beside)}
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and not ast.unparse(item.target).startswith("_"):
            if "ClassVar" not in ast.unparse(item.annotation):
                found[ast.unparse(item.target)] = ast.unparse(item)
    return [re.sub(r" = field\(default_factory=.*\)$", " = ...", text) for text in found.values()]


def signature(node: Definition, beside: dict[str, ast.ClassDef]) -> str:
    """How it is called: arguments, and for a function what it gives."""
    if isinstance(node, ast.FunctionDef):
        gives = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"({ast.unparse(node.args)}){gives}"
    bases = " ".join(map(ast.unparse, node.bases))
    if "dataclass" in _decorators(node) or "NamedTuple" in bases or "TypedDict" in bases:
        return f"({', '.join(_fields(node, beside))})"
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            text = ast.unparse(item.args)
            return f"({re.sub(r'^self(, )?', '', text)})"
    return ""


def names_of(tree: ast.Module) -> Iterator[Name]:
    """The public functions and classes of a module, in the order of its source."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in tree.body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        methods = tuple(
            item.name
            for item in (node.body if isinstance(node, ast.ClassDef) else ())
            if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")
        )
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        says = first_sentence(ast.get_docstring(node))
        yield Name(node.name, kind, signature(node, classes), says, methods)


def modules_of(name: str, *, front: bool, package: Path) -> Iterator[Module]:
    """A module of the map; of a package, the package itself and what is in it."""
    inside = sorted((package / name).glob("*.py"))
    for path in inside or [package / f"{name}.py"]:
        dotted = ".".join(path.relative_to(package).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield Module(
            dotted.removesuffix(".__init__"), front, first_sentence(ast.get_docstring(tree)),
            tuple(names_of(tree)),
        )  # fmt: skip


def rooms(package: Path = PACKAGE) -> dict[str, list[Module]]:
    """Room → its modules, front doors first."""
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    return {
        room: [
            module
            for some, front in ((fronts, True), (behind, False))
            for name in some
            for module in modules_of(name, front=front, package=package)
        ]
        for room, (fronts, behind) in map_of(ast.get_docstring(tree) or "").items()
    }


# -- the page ------------------------------------------------------------------------------------


def words(text: str) -> list[nodes.Node]:
    """Text with what stands between backticks as code."""
    parts = re.split(r"``?([^`]+)``?", text)
    return [
        code(part) if number % 2 else nodes.Text(part) for number, part in enumerate(parts) if part
    ]


def code(text: str) -> nodes.raw:
    """Code in a line; docutils' own puts every word into a box, which doubles the page."""
    return nodes.raw("", f"<code>{escape(text, quote=False)}</code>", format="html")


def _html(text: str) -> str:
    return re.sub(r"``?([^`]+)``?", r"<code>\1</code>", escape(text))


class Api(SphinxDirective):
    """``{api}``: a section for each room, in it the modules to open."""

    def run(self) -> list[nodes.Node]:
        """The sections; the page is read again in every build, for the library may have changed."""
        self.env.note_reread()
        return [self.room(name, modules) for name, modules in rooms().items()]

    def room(self, name: str, modules: list[Module]) -> nodes.section:
        """A room: what one imports from first, then what is behind it."""
        section = nodes.section(ids=[nodes.make_id(f"room-{name}")])
        section += nodes.title("", name[0].upper() + name[1:])
        for module in modules:
            section += self.module(module)
        return section

    def module(self, module: Module) -> list[nodes.Node]:
        """A module, folded: its names come when it is opened."""
        full = f"bioptimus_lib.{module.name}"
        self.env.get_domain("py").note_object(full, "module", full, location=self.get_location())
        kind = "front" if module.front else "behind"
        head = (
            f'<details class="api {kind}" id="{full}"><summary><code>{module.name}</code> '
            f"{_html(module.says)}</summary>"
        )
        listed = nodes.definition_list(classes=["api"])
        for name in module.names:
            listed += self.described(f"{full}.{name.name}", name)
        return [
            nodes.raw("", head, format="html"),
            *([listed] if module.names else []),
            nodes.raw("", "</details>", format="html"),
        ]

    def described(self, full: str, name: Name) -> nodes.definition_list_item:
        """A function or a class: how it is called, what it is."""
        self.env.get_domain("py").note_object(full, name.kind, full, location=self.get_location())
        term = nodes.term("", "", nodes.strong("", name.name), ids=[full])
        if name.signature:
            term += code(name.signature)
        said = nodes.paragraph("", "", *words(name.says))
        if name.methods:
            said += nodes.Text(" Methods: ")
            for number, method in enumerate(name.methods):
                said += [nodes.Text(", ")] * bool(number) + [code(method)]
        return nodes.definition_list_item("", term, nodes.definition("", said))


def setup(app) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("api", Api)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
