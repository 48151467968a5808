"""What every chapter does in the same way: set-up, a folder to work in, the quiz."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from html import escape
from importlib import metadata
from pathlib import Path
from typing import Any

from bioptimus_lib import __version__
from bioptimus_lib.files import data_dir
from bioptimus_lib.machine import machine_cores
from bioptimus_lib.profile import profile

#: Modules that show what a run has made and do not change it.
LEAVES = (
    "plots", "plots_corpus", "plots_scan", "plots_vocab", "plots_distill", "plots_ledger",
    "pictures", "controls", "widgets", "widgets_vocab", "widgets_distill", "checks", "chapter",
    "ledger", "evidence", "report", "scan_steps", "distill_steps", "samplers", "qik", "adding",
    "comparison", "word_classes", "cli", "masking_steps", "plots_masking", "plots_phases",
    "looks", "trials",
    "guessing", "gap_filling", "word_guesses", "plots_rates", "rate_steps", "visible_steps",
    "ner_errors", "ner_scoring", "ner_facts", "plots_ner",
    "finetune", "stability", "bias_correction", "plots_stability",
    "significance", "ner_runs", "evaluation_steps", "plots_ner_results",
    "ner_tables", "widgets_ner", "verdicts", "results_page",
    "task_steps", "read_apart", "task_tables", "task_facts", "plots_tasks",
    "plots_compact", "compact_tables", "plots_clinical",
    "release", "release_facts", "model_card", "hub", "fake_hub", "onnx_model", "onnx_release",
    "run_rows", "release_tables", "plots_release", "widgets_tag", "markup", "bench_tag",
    "bench_onnx",
    "advice", "scaling", "scale_steps", "plots_scale", "bench_scale", "cost",
)  # fmt: skip
SHOWN_VERSIONS = ("torch", "transformers", "tokenizers", "numpy")

#: How long a chapter takes, by profile; the header of each chapter says it more exactly.
MINUTES: dict[str, str] = {
    "glance": "under a minute on two CPU cores",
    "pocket": "about 3 minutes at most on two free CPU cores",
    "laptop": "about 10 minutes on two CPU cores",
    "small": "5 to 25 minutes on a T4, see its header; hours without a GPU",
    "base": "about an hour on a T4; days without a GPU",
    "paper": "days on several GPUs",
}


# -- set-up --------------------------------------------------------------------------------------


def setup() -> None:
    """Make the notebook ready, and say what it runs on; safe to call twice.

    In Colab what is missing is installed, nothing that is there is changed.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # or forks of a scan warn, and hang
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if "COLAB_RELEASE_TAG" in os.environ:
        install_missing(Path(__file__).resolve().parents[1] / "pyproject.toml")

    from transformers.utils import logging as transformers_logging

    from bioptimus_lib.plots import use_style

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    use_style()
    print(where_we_are())


def where_we_are() -> str:
    """Versions, device, profile and expected minutes, one line each."""
    chosen = profile()
    versions = " · ".join(f"{name} {_version(name)}" for name in SHOWN_VERSIONS)
    python = ".".join(map(str, sys.version_info[:3]))
    return "\n".join([
        f"versions  bioptimus_lib {__version__} · Python {python} · {versions}",
        f"device    {device()}",
        f"profile   {chosen.name}: {chosen.about}",
        f"minutes   a chapter takes {MINUTES[chosen.name]}",
    ])


def device() -> str:
    """The device that training will use, in words."""
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB"
    return f"CPU, {machine_cores()} cores, no GPU"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def extra(name: str) -> None:
    """Make sure that the packages of an extra are there, for the cells that need them.

    In Colab what is missing is installed, as in the set-up cell; elsewhere it is for the reader to
    say what is installed.

    Raises:
        ModuleNotFoundError: packages are missing; the message has the command.
    """
    pyproject = Path(__file__).resolve().parents[1] / "pyproject.toml"
    if not pyproject.is_file():  # installed as a wheel
        return
    if "COLAB_RELEASE_TAG" in os.environ:
        install_missing(pyproject, name)
    if missing := missing_requirements(pyproject, name):
        raise ModuleNotFoundError(
            f"{', '.join(missing)} missing: pip install 'bioptimus-lib[{name}]', or make setup"
        )


def missing_requirements(pyproject: Path, extra: str | None = None) -> list[str]:
    """The course's requirements, or those of an extra, of which no version is installed.

    What is there is taken as it is, whatever its version: a hosted notebook keeps its own.

    Raises:
        KeyError: there is no such extra.
    """
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    wanted = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return [line for line in wanted if _version(Requirement(line).name) == "missing"]


def install_missing(pyproject: Path, extra: str | None = None) -> list[str]:
    """Install what is missing, every installed package held at its version; gives what it was.

    Raises:
        RuntimeError: pip failed; the message ends with its last lines.
    """
    wanted = missing_requirements(pyproject, extra)
    if wanted:
        held = {d.metadata["Name"]: d.version for d in metadata.distributions()}
        with tempfile.TemporaryDirectory() as folder:
            constraints = Path(folder) / "held.txt"
            lines = (f"{name}=={version}\n" for name, version in sorted(held.items()) if name)
            constraints.write_text("".join(lines), encoding="utf-8")
            command = [sys.executable, "-m", "pip", "install", "--quiet", "-c", str(constraints)]
            done = subprocess.run([*command, *wanted], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(
                f"could not install {', '.join(wanted)}: {done.stderr.strip()[-500:]}"
            )
        importlib.invalidate_caches()  # or this process does not see them
    return wanted


# -- a folder to work in -------------------------------------------------------------------------

#: The folders of this process and their locks, kept until it ends.
_held: dict[str, tuple[Path, object]] = {}


def workspace(chapter: str) -> Path:
    """The folder of a chapter's run, kept between sessions, so that a killed one goes on.

    Its name holds a fingerprint of the library and of what ships in ``data/``: a run made by other
    code is not taken up again. Where another process works in it, such as another chapter that is
    still open, a temporary folder is given, with a copy of what is finished there.

    Args:
        chapter: name of the notebook, such as ``00_start_here``, or of what several share.
    """
    from filelock import FileLock, Timeout

    name = f"{chapter}-{profile().name}-{fingerprint()[:8]}"
    if name in _held:
        return _held[name][0]
    folder = runs_dir() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
        _held[name] = folder, lock
    except Timeout:
        temporary = tempfile.TemporaryDirectory(prefix=f"{name}-")
        _held[name] = Path(temporary.name) / "run", temporary
        _copy_finished(folder, _held[name][0])
    return _held[name][0]


def _copy_finished(folder: Path, copy: Path) -> None:
    """Copy a run that another process may be writing to.

    A stage writes its own file last. Those that are there before the copy begins are the ones that
    count: all that they promise is there, too, and is not changed any more.
    """
    if not (folder / "config.json").is_file():
        return
    stages = {path.name: path.read_bytes() for path in (folder / "stages").glob("*.json")}
    some = shutil.ignore_patterns(".*", "stages", "checkpoint-*")  # hidden: not yet in place
    shutil.copytree(folder, copy, ignore=some)
    (copy / "stages").mkdir()
    for name, content in stages.items():
        (copy / "stages" / name).write_bytes(content)


def runs_dir() -> Path:
    """Where runs are kept: ``$BIOPTIMUS_RUNS``, ``runs/`` of a clone, or the user's cache."""
    if given := os.environ.get("BIOPTIMUS_RUNS"):
        return Path(given)
    root = Path(__file__).resolve().parents[1]
    in_clone = (root / "pyproject.toml").is_file()
    return root / "runs" / "chapters" if in_clone else Path.home() / ".cache" / "bioptimus" / "runs"


def fingerprint() -> str:
    """One hash over the library without its leaves, and the data that ships with the course."""
    package = Path(__file__).resolve().parent
    files = [path for path in package.glob("*.py") if path.stem not in LEAVES]
    for folder in ("pocket", "pocket-bert"):
        files += [path for path in (data_dir() / folder).glob("*") if path.is_file()]
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


# -- the quiz ------------------------------------------------------------------------------------

QUIZ_COLOURS = {  # dark enough for white letters, blue and red-brown instead of green and red
    "--jq-multiple-choice-bg": "#1f2a37",
    "--jq-mc-button-bg": "#f4f7fa",
    "--jq-mc-button-border": "#d5dde6",
    "--jq-correct-color": "#00704f",
    "--jq-incorrect-color": "#a83c00",
    "--jq-text-color": "#ffffff",
}


def quiz(questions: Sequence[Mapping[str, Any]]) -> None:
    """Show a quiz, and below it all answers in words for print and for readers without scripts.

    Nothing is loaded from a network: questions and script stand in the page.

    Args:
        questions: of jupyterquiz's form: ``question``, ``type`` (``multiple_choice``) and
            ``answers``, each with ``answer``, ``correct`` and ``feedback``.

    Raises:
        ValueError: a question has not exactly one right answer, or an answer no explanation.
    """
    from IPython.display import HTML, Javascript, display
    from IPython.utils.capture import capture_output
    from jupyterquiz import display_quiz

    check_questions(questions)
    plain = [dict(question) for question in questions]
    with capture_output() as captured:
        display_quiz(plain, colors=QUIZ_COLOURS, max_width=720, border_radius=8)
    if not captured.outputs:  # not in a notebook: nothing to click on
        return
    box, script = (output.data for output in captured.outputs)
    # jupyterquiz leaves its box open, and the rest of the page would become part of it.
    display(HTML(box["text/html"] + "</div>" + answers_in_words(questions)))
    display(Javascript(script["application/javascript"]))


def check_questions(questions: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a quiz with a question that cannot be answered, or an answer that is not explained."""
    for question in questions:
        right = sum(bool(answer["correct"]) for answer in question["answers"])
        if right != 1:
            raise ValueError(f"{question['question']!r} has {right} right answers, it needs one")
        if silent := [a["answer"] for a in question["answers"] if not a.get("feedback")]:
            raise ValueError(f"{question['question']!r}: answer {silent[0]!r} is not explained")


def answers_in_words(questions: Sequence[Mapping[str, Any]]) -> str:
    """All questions with their explanations as HTML, folded away."""
    parts = []
    for question in questions:
        items = "".join(
            f"<li>{'<b>right</b>' if answer['correct'] else 'wrong'}: "
            f"{escape(answer['answer'].rstrip('.'))}. <i>{escape(answer['feedback'])}</i></li>"
            for answer in question["answers"]
        )
        parts.append(f"<li>{escape(question['question'])}<ul>{items}</ul></li>")
    return (
        "<details class='bio-answers'><summary>All answers in words</summary>"
        f"<ol>{''.join(parts)}</ol></details>"
    )
