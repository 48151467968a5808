"""Runs chapters as Colab does: with its versions, from its set-up cell, with nothing else there.

    python tests/colab/colab.py [--work DIR] [--python PYTHON] [--jobs N] notebooks/*.ipynb

An environment with the packages of ``packages.txt`` stands in for Colab's (made once; ``PIP_ARGS``
goes to pip). A folder holds nothing but the notebooks. The set-up cell clones the last commit of
this repository into it and installs what is missing; then every chapter runs there. Asked is that
the set-up takes less than a minute, that the second one installs nothing, that no package which was
there has another version afterwards, and that no cell fails.

Two things differ from Colab: its Python, unless ``--python`` says so, and torch, whose builds
depend on the machine: it is the one of ``constraints.txt``.

Exit code 1 when something was found, 2 when the check could not run.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_tools"))

import execute  # noqa: E402
from tidy import tags  # noqa: E402

PACKAGES = Path(__file__).with_name("packages.txt")
LONGEST_SET_UP = 60.0  # seconds


def lines_of(path: Path) -> list[str]:
    """The lines of a list of packages, without comments."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def wanted() -> list[str]:
    """Colab's packages, with the torch of ``constraints.txt``."""
    (torch,) = (line for line in lines_of(ROOT / "constraints.txt") if line.startswith("torch=="))
    return [torch if line.startswith("torch==") else line for line in lines_of(PACKAGES)]


def environment(folder: Path, python: str) -> Path:
    """The Python of an environment with Colab's packages.

    One that was made from the same list is kept, without what chapters have installed in it.
    """
    made, inside = folder / "made-from.json", folder / "bin" / "python"
    pip = [str(inside), "-m", "pip", "--disable-pip-version-check"]
    asked = [python, *wanted()]
    there = json.loads(made.read_text(encoding="utf-8")) if made.is_file() else {}
    if there.get("asked") == asked:
        if new := sorted(installed(inside).keys() - there["packages"].keys()):
            subprocess.run([*pip, "uninstall", "--quiet", "--yes", *new], check=True)
        return inside
    print(f"making {folder} (some minutes) ...", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    more = shlex.split(os.environ.get("PIP_ARGS", ""))
    subprocess.run([*pip, "install", "--quiet", *more, *wanted()], check=True)
    made.write_text(json.dumps({"asked": asked, "packages": installed(inside)}), encoding="utf-8")
    return inside


def installed(python: Path) -> dict[str, str]:
    """Every package of an environment and its version."""
    code = (
        "import json; from importlib.metadata import distributions as all_of_them;"
        "print(json.dumps({d.metadata['Name'].lower(): d.version for d in all_of_them()}))"
    )
    asked = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    return json.loads(asked.stdout)


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What became of packages that were there, in words; new packages are no change."""
    return [
        f"{name} {version} is {after.get(name, 'gone')} now"
        for name, version in sorted(before.items())
        if after.get(name) != version
    ]


def like_colab(work: Path) -> dict[str, str]:
    """The variables that a notebook finds there; the course comes from the last commit."""
    course = work / "course.git"
    shutil.rmtree(course, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", "--bare", str(ROOT), str(course)], check=True)
    profile = os.environ.get("BIOPTIMUS_PROFILE", "pocket")
    return {
        "COLAB_RELEASE_TAG": "check", "BIOPTIMUS_COURSE": course.as_uri(),
        "BIOPTIMUS_PROFILE": profile,
    }  # fmt: skip


def set_up(python: Path, notebook: Path, variables: dict[str, str]) -> float:
    """Seconds that the set-up cell of a notebook takes in its folder.

    Raises:
        subprocess.CalledProcessError: it failed; its output is printed.
    """
    cells = nbformat.read(notebook, nbformat.NO_CONVERT)["cells"]
    (source,) = (cell["source"] for cell in cells if "setup" in tags(cell))
    began = time.monotonic()
    subprocess.run(
        [str(python), "-c", source], cwd=notebook.parent, env=os.environ | variables, check=True
    )
    return time.monotonic() - began


def use_kernel(folder: Path, python: Path, variables: dict[str, str]) -> None:
    """From now on notebooks of this process run with that Python and these variables."""
    spec = folder / "kernels" / "python3"
    spec.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({
        "argv": command, "display_name": "as in Colab", "language": "python", "env": variables,
    }))  # fmt: skip
    os.environ["JUPYTER_PATH"] = str(folder)


def check(notebooks: list[Path], work: Path, *, python: str, jobs: int) -> list[str]:
    """Everything that a reader in Colab would trip over, in words."""
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):  # IPython 7 would import from the latter
        os.environ.pop(name, None)
    inside = environment(work / "venv", python)
    before, variables = installed(inside), like_colab(work)
    content = work / "content"
    shutil.rmtree(content, ignore_errors=True)
    content.mkdir()
    copies = [Path(shutil.copy(path, content)) for path in notebooks]
    problems = []
    first, second = (set_up(inside, copies[0], variables) for _ in range(2))
    new = sorted(installed(inside).keys() - before.keys())
    print(f"set-up: {first:.0f} s, again: {second:.0f} s; installed: {', '.join(new)}", flush=True)
    if first > LONGEST_SET_UP:
        problems.append(f"the set-up took {first:.0f} s, more than {LONGEST_SET_UP:.0f}")
    use_kernel(work / "jupyter", inside, variables)
    timeout = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["execute"]["timeout"]
    failed = execute.execute_all(copies, cache=work / "cache", jobs=jobs, timeout=timeout)
    problems += [f"{path.stem} failed:\n{problem}" for path, problem in failed]
    return problems + changed(before, installed(inside))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run chapters with the packages of Colab.")
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, default=ROOT / "_build" / "colab", help="folder")
    parser.add_argument("--python", default=sys.executable, help="3.13 is Colab's (this one)")
    parser.add_argument("--jobs", type=int, default=1, help="chapters at a time (1)")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        problems = check(
            options.notebooks, options.work.resolve(), python=options.python, jobs=options.jobs
        )
    except (OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(problems) if problems else f"{len(options.notebooks)} chapters ran as in Colab")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
