"""The masking lab, its static twin, and what a chapter shares: set-up, workspace, ledger, quiz."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from bioptimus_lib import chapter, evidence, pictures, widgets
from bioptimus_lib.curriculum import PHASES
from bioptimus_lib.masking import Masking
from bioptimus_lib.sources import model_path
from bioptimus_lib.vocab import SPECIAL_PIECES, bert_tokenizer

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
TEXT = "the cat sat on the bronchial mat and the dog ran to the bronchial house"


@pytest.fixture(scope="module")
def tokenizer():
    words = ["the", "cat", "sat", "on", "mat", "and", "dog", "ran", "to", "house"]
    return bert_tokenizer([*SPECIAL_PIECES, *words, "bro", "##nch", "##ial"])


# -- masks ---------------------------------------------------------------------------------------


def test_masked_text_shows_the_sentence_and_repeats(tokenizer):
    cells = pictures.masked_text(tokenizer, TEXT, Masking("word", 0.3, True), seed=3)
    assert [cell.piece for cell in cells] == tokenizer.tokenize(TEXT)
    assert cells == pictures.masked_text(tokenizer, TEXT, Masking("word", 0.3, True), seed=3)
    assert all(cell.seen == cell.piece for cell in cells if not cell.guessed)
    drawn = {
        tuple(c.guessed for c in pictures.masked_text(tokenizer, TEXT, Masking(), seed=seed))
        for seed in range(9)
    }
    assert len(drawn) > 3


def test_whole_words_are_hidden_whole(tokenizer):
    for seed in range(30):
        cells = pictures.masked_text(tokenizer, TEXT, Masking("word", 0.3, False), seed=seed)
        assert {cell.kind for cell in cells} <= {"plain", "mask"}
        for start, cell in enumerate(cells):
            if cell.piece == "bro":
                assert len({one.guessed for one in cells[start : start + 3]}) == 1


def test_static_twin_shows_every_phase(tokenizer):
    html = widgets.masks_of_phases(tokenizer, TEXT)
    assert all(f"{p.version}: {p.masking}" in html for p in PHASES)


def test_lab_follows_its_controls(tokenizer):
    import ipywidgets

    lab = widgets.masking_lab(tokenizer, TEXT)
    controls = {w.description: w for w in lab.children if hasattr(w, "description")}
    assert isinstance(lab.children[-1], ipywidgets.Output)

    def now():
        return Masking(*(controls[name].value for name in ("unit", "rate", "corruption")))

    assert controls["phase"].value == "v0.1" and now() == PHASES[0].masking
    for phase in (*PHASES[::-1], *PHASES):
        controls["phase"].value = phase.version
        assert now() == phase.masking and controls["phase"].value == phase.version
    controls["rate"].value = 0.5
    assert controls["phase"].value == widgets.FREE and now() == Masking("word", 0.5, False)
    controls["rate"].value = 0.2 + 1e-9
    assert controls["phase"].value == "v0.4"


def test_every_control_has_a_hint(tokenizer):
    """ipywidgets 8 writes "null" over the label of a slider without one."""
    *controls, _ = widgets.masking_lab(tokenizer, TEXT).children
    assert [c.tooltip for c in controls] == ["phase", "unit", "rate", "corruption", "draw"]


def test_widgets_take_only_what_ipywidgets_7_has():
    """Names that came with version 8 are not used: Colab has 7.7."""
    library = Path(widgets.__file__).parent
    sources = [path.read_text("utf-8") for path in library.glob("*.py")]
    used = set(re.findall(r"ipywidgets\.([A-Za-z_]+)", "\n".join(sources)))
    assert used == {
        "Checkbox", "Dropdown", "FloatSlider", "IntSlider", "Layout", "Text", "Textarea", "VBox",
        "interactive_output",
    }  # fmt: skip


# -- set-up --------------------------------------------------------------------------------------


def test_where_we_are_says_versions_device_profile_and_minutes(monkeypatch):
    monkeypatch.setenv("BIOPTIMUS_PROFILE", "pocket")
    lines = chapter.where_we_are().splitlines()
    assert [line.split()[0] for line in lines] == ["versions", "device", "profile", "minutes"]
    assert "torch" in lines[0] and "pocket" in lines[2] and "3 minutes" in lines[3]


def test_every_profile_has_its_minutes():
    from bioptimus_lib.profile import PROFILES

    assert set(chapter.MINUTES) == set(PROFILES)


def test_set_up_runs_twice_and_installs_nothing_outside_colab(monkeypatch, capsys):
    monkeypatch.setenv("BIOPTIMUS_PROFILE", "pocket")
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("a command was run"))
    import matplotlib

    with matplotlib.rc_context():
        chapter.setup()
        chapter.setup()
    assert capsys.readouterr().out.count("profile   pocket") == 2


def set_up_cell():
    first = json.loads((NOTEBOOKS / "00_start_here.ipynb").read_text(encoding="utf-8"))
    marked = (c for c in first["cells"] if "setup" in c["metadata"].get("tags", []))
    return "".join(next(marked)["source"])


def test_in_colab_the_cell_gets_the_course_once_and_uses_it(tmp_path):
    """Against a course of our own, so that nothing but the cell itself is tested."""
    course = tmp_path / "course"
    (course / "bioptimus_lib").mkdir(parents=True)
    (course / "bioptimus_lib" / "__init__.py").touch()
    (course / "bioptimus_lib" / "chapter.py").write_text("def setup(): print(__file__)")
    git = ["git", "-C", str(course), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    (tmp_path / "content").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", f"{set_up_cell()}\n{set_up_cell()}"],
        cwd=tmp_path / "content",
        env={**os.environ, "COLAB_RELEASE_TAG": "x", "BIOPTIMUS_COURSE": f"file://{course}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = tmp_path / "content" / "bioptimus" / "bioptimus_lib" / "chapter.py"
    assert done.stdout.split() == [str(expected)] * 2


def write_project(path, *lines):
    listed = ", ".join(f'"{line}"' for line in lines)
    path.write_text(f"[project]\ndependencies = [{listed}]\n")
    return path


def test_only_what_is_missing_is_installed_and_the_rest_is_held(tmp_path, monkeypatch):
    project = write_project(tmp_path / "p.toml", "torch>=99", "no-such-package>=1,<2", "numpy")
    seen = {}

    def run(command, **_):
        held = open(command[command.index("-c") + 1], encoding="utf-8").read().splitlines()
        seen["held"] = {line.split("==")[0].lower() for line in held}
        seen["wanted"] = command[command.index("-c") + 2 :]
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert chapter.install_missing(project) == ["no-such-package>=1,<2"]
    assert seen["wanted"] == ["no-such-package>=1,<2"]
    assert {"torch", "numpy", "transformers"} <= seen["held"]


def test_nothing_missing_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("a command was run"))
    assert chapter.install_missing(write_project(tmp_path / "p.toml", "numpy>=99")) == []


def test_a_failed_installation_says_what_and_why(tmp_path, monkeypatch):
    project = write_project(tmp_path / "p.toml", "no-such-package")
    failed = subprocess.CompletedProcess([], 1, "", "no network")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: failed)
    with pytest.raises(RuntimeError, match="no-such-package: no network"):
        chapter.install_missing(project)


# -- workspace -----------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("BIOPTIMUS_RUNS", str(tmp_path))
    monkeypatch.setenv("BIOPTIMUS_PROFILE", "pocket")
    monkeypatch.setattr(chapter, "_held", {})
    return tmp_path


def test_workspace_is_the_same_each_time_and_new_for_other_code(runs, monkeypatch):
    first = chapter.workspace("00_start_here")
    assert first.parent == runs and first.name.startswith("00_start_here-pocket-")
    assert chapter.workspace("00_start_here") == first
    assert chapter.workspace("01_corpus") != first
    monkeypatch.setattr(chapter, "fingerprint", lambda: "f" * 64)
    assert chapter.workspace("00_start_here").name == "00_start_here-pocket-ffffffff"


def test_two_processes_do_not_share_a_workspace(runs):
    first = chapter.workspace("00_start_here")
    command = "from bioptimus_lib import chapter; print(chapter.workspace('00_start_here'))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(first) not in done.stdout and "00_start_here-pocket-" in done.stdout


def test_another_process_begins_with_a_copy_of_what_is_finished(runs):
    first = chapter.workspace("phases")
    for name in ("config.json", "stages/corpus.json", "stages/.phase1.json.x.part",
                 "corpus/a.txt", ".trial.x/log.jsonl", "training/v0.1/log.jsonl",
                 "training/v0.1/checkpoint-5/trainer_state.json"):  # fmt: skip
        (first / name).parent.mkdir(parents=True, exist_ok=True)
        (first / name).write_text(name)
    command = (
        "from bioptimus_lib import chapter; folder = chapter.workspace('phases')\n"
        "print(folder, *sorted(str(p.relative_to(folder)) for p in folder.rglob('*')"
        " if p.is_file()))"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    folder, *names = done.stdout.split()
    assert folder != str(first) and not Path(folder).exists(), "gone with its process"
    assert names == ["config.json", "corpus/a.txt", "stages/corpus.json", "training/v0.1/log.jsonl"]


# -- ledger --------------------------------------------------------------------------------------


def test_ledger_table_groups_seeds(tmp_path, monkeypatch):
    from bioptimus_lib import ledger

    row = {"model": "v0.4", "dataset": "NCBI-disease", "profile": "laptop", "device": "CPU",
           "command": "bioptimus run --profile laptop", "versions": {}, "data": {}, "commit": None}
    rows = [{**row, "seed": seed, "metrics": {"f1": f1}} for seed, f1 in enumerate((70.0, 72.0))]
    timed = {"steps": 1096, "tokens": 2_244_608, "command": "bioptimus run --minutes 25 --quiet"}
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    assert "holds no rows of <b>run</b> yet" in evidence.score_table("run")
    assert "bioptimus run --profile laptop" in evidence.score_table("run")
    ledger.append("run", rows, folder=tmp_path)
    html = evidence.score_table("run")
    assert "71.00 / 1.41" in html and "NCBI-disease" in html and ">1 × 2<" in html
    assert "pieces read" not in html and "fitted into" not in html
    ledger.append("run", [{**rows[0], "model": "v0.1", **timed}], folder=tmp_path)
    html = evidence.score_table("run")
    assert ">1,096<" in html and ">2,244,608<" in html and ">–<" in html
    assert "--quiet</code>, as many steps as fitted into 25 minutes<" in html
    assert html.count("fitted into") == 1
    assert "no rows of <b>run</b> for this yet" in evidence.score_table("run", metric="accuracy")


def test_rows_table_shows_rows_and_where_they_come_from(tmp_path, monkeypatch):
    from bioptimus_lib import ledger

    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    assert "bioptimus bench sentences" in evidence.rows_table("sentences")
    row = {"dataset": "traps", "profile": "any", "command": "bioptimus bench", "device": "cpu",
           "versions": {}, "data": {}, "commit": None, "seed": None}  # fmt: skip
    rows = [{**row, "model": name, "metrics": {"right_ones": n}} for n, name in enumerate("<b")]
    ledger.append("sentences", rows)
    html = evidence.rows_table("sentences")
    assert "&lt;, traps" in html and "right ones" in html and html.count("bioptimus bench") == 1
    html = evidence.rows_table("sentences", {"who": lambda r: r["model"], "n": lambda r: 7})
    assert "<td>b</td><td class=n>7</td>" in html and "traps" not in html


# -- quiz ----------------------------------------------------------------------------------------

QUESTION = {
    "question": "One and one?",
    "type": "multiple_choice",
    "answers": [
        {"answer": "two", "correct": True, "feedback": "Yes."},
        {"answer": "<b>three</b>", "correct": False, "feedback": "One too many."},
    ],
}


def test_quiz_needs_no_network_and_leaves_no_box_open():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    InteractiveShell.instance()
    with capture_output() as captured:
        chapter.quiz([QUESTION])
    box, script = (output.data for output in captured.outputs)
    html = box["text/html"]
    assert html.count("<div") == html.count("</div>")
    assert "All answers in words" in html and "&lt;b&gt;three" in html
    text = script["application/javascript"]
    assert json.dumps("One and one?") in text
    assert "src=" not in text.replace("img src", "") and "http" not in text.split("function")[0]


@pytest.mark.parametrize(
    "answers, message",
    [
        ([{**a, "correct": True} for a in QUESTION["answers"]], "2 right answers"),
        ([{**a, "correct": False} for a in QUESTION["answers"]], "0 right answers"),
        ([{**a, "feedback": ""} for a in QUESTION["answers"]], "not explained"),
    ],
)
def test_a_quiz_that_cannot_be_answered_is_refused(answers, message):
    with pytest.raises(ValueError, match=message):
        chapter.quiz([{**QUESTION, "answers": answers}])


@pytest.mark.parametrize(("name", "cell"), [("00_start_here", "masks"), ("07_phase2", "run")])
def test_the_masks_of_a_chapter_show_what_its_text_says(name, cell):
    """One piece of the long word is hidden in phase 1, and all five of them in phase 2."""
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text("utf-8"))
    cells = {c["id"]: "".join(c["source"]) for c in notebook["cells"]}
    (text,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(cells[cell]).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "text"
    )
    seed = int(re.search(r"seed=(\d+)", cells[cell])[1])
    tokenizer = AutoTokenizer.from_pretrained(model_path("pocket-bert"), local_files_only=True)
    hidden = []
    for phase in PHASES[:2]:
        shown = pictures.masked_text(tokenizer, text, phase.masking, seed=seed)
        start = [piece.piece for piece in shown].index("bron")
        hidden.append([piece.seen for piece in shown[start : start + 5] if piece.guessed])
    assert hidden == [["[MASK]"], ["[MASK]"] * 5]
