"""Releases: what plain Transformers loads, what the card says, and what is refused; a fake hub on
this machine gets them."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import shutil
from dataclasses import asdict, replace

import pytest
import yaml
from conftest import learner
from test_ner import PIECES, toy

torch = pytest.importorskip("torch")

from bioptimus_lib import hub, ledger  # noqa: E402
from bioptimus_lib.cli import main  # noqa: E402
from bioptimus_lib.conll import write_conll  # noqa: E402
from bioptimus_lib.fake_hub import TOKEN, fake_hub  # noqa: E402
from bioptimus_lib.pipeline import STAGES, Run  # noqa: E402
from bioptimus_lib.profile import profile  # noqa: E402
from bioptimus_lib.provenance import ABSOLUTE  # noqa: E402
from bioptimus_lib.release import MANIFEST, fine_tuned, release  # noqa: E402
from bioptimus_lib.run_rows import rows_of  # noqa: E402
from bioptimus_lib.vocab import bert_tokenizer  # noqa: E402

F1 = {"old": (60.0, 62.0), "continued": (61.0, 61.0), "v0.1": (61.5,), "v0.2": (62.0,),
      "v0.3": (63.0,), "v0.4": (64.0, 67.0)}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run folder as a finished run leaves it, with tiny models and made-up scores."""
    from bioptimus_lib.models import save_model

    place = tmp_path_factory.mktemp("release")
    for number, (split, size) in enumerate({"train": 60, "devel": 20, "test": 20}.items()):
        write_conll(place / "toys" / f"{split}.tsv", toy(size, number))
    out, tokenizer = place / "run", bert_tokenizer(PIECES)
    small = replace(profile("pocket"), ner_epochs=1, ner_sentences=30)
    out.mkdir()
    (out / "config.json").write_text(json.dumps({
        "profile": asdict(small), "minutes": 0, "corpus": None, "ner": str(place / "toys"),
        "seed": 0,
    }))  # fmt: skip
    (out / "stages").mkdir()
    for stage in STAGES:
        row = {"stage": stage.name, "seconds": 60.0, "size": "", "measure": "", "bytes": 4_000_000,
               "steps": 120, "tokens": 245_760, "held_out": {"loss": 3.25, "accuracy": 0.4}}
        if stage.name != "warm-up":
            (out / "stages" / f"{stage.name}.json").write_text(json.dumps(row))
    (out / "ner").mkdir()
    for model, values in F1.items():
        for seed, f1 in enumerate(values):
            metrics = {"f1": f1, "precision": f1 + 1, "recall": f1 - 1}
            result = {"metrics": metrics, "settings": {"seed": seed}, "seconds": 12.0}
            (out / "ner" / f"{model}-seed{seed}.json").write_text(json.dumps(result))
    made = ledger.provenance(command="bioptimus run", device="cpu")
    report = {"dataset": "toys", "sentences": 30, "provenance": made}
    (out / "report.json").write_text(json.dumps(report))
    for number, version in enumerate(("v0.1", "v0.4")):
        model = learner(tokenizer, seed=number, hidden=16, layers=1)
        save_model(model, tokenizer, out / "models" / version)
    return out


@pytest.fixture(scope="module")
def released(finished, tmp_path_factory):
    return release(finished, "0.4", tmp_path_factory.mktemp("out"), licence="cc-by-4.0")


def metadata(folder):
    _, head, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), text


# --- what is made ------------------------------------------------------------------------------


def test_plain_transformers_fills_masks_with_a_release(released, finished):
    from transformers import AutoModelForMaskedLM, pipeline

    assert released.name == "v0.4"
    found = pipeline("fill-mask", model=str(released))("a [MASK] b")
    assert len(found) == 5 and all(0 < one["score"] <= 1 for one in found)
    mine, there = (AutoModelForMaskedLM.from_pretrained(folder)
                   for folder in (released, finished / "models" / "v0.4"))  # fmt: skip
    for (name, a), (other, b) in zip(mine.state_dict().items(), there.state_dict().items(),
                                     strict=True):  # fmt: skip
        assert name == other and torch.equal(a, b)


def test_a_release_holds_what_it_should_and_no_path(released):
    names = {path.name for path in released.iterdir()}
    assert {"README.md", "model.safetensors", "config.json", "tokenizer.json", MANIFEST} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    for path in released.glob("*.json"):
        if path.name != "tokenizer.json":
            assert not ABSOLUTE.search(path.read_text(encoding="utf-8")), path.name
    manifest = json.loads((released / MANIFEST).read_text())
    assert set(manifest["files"]) == names - {MANIFEST}
    assert manifest["run"]["profile"] == "pocket" and manifest["version"] == "v0.4"


def test_the_card_has_the_rows_of_the_ledger(released, finished):
    from huggingface_hub import ModelCard

    head, text = metadata(released)
    run = Run.opened(finished)
    rows = rows_of(run, json.loads((finished / "report.json").read_text()))
    own = [row["metrics"]["f1"] for row in rows if row["model"] == "v0.4"]
    assert head["license"] == "cc-by-4.0" and head["language"] == "en"
    assert head["pipeline_tag"] == "fill-mask" and head["datasets"] == ["pocket"]
    (index,) = head["model-index"]
    found = {(r["task"]["type"], m["type"]): m["value"]
             for r in index["results"] for m in r["metrics"]}  # fmt: skip
    assert found["token-classification", "f1"] == sum(own) / 2 == 65.5
    assert found["fill-mask", "loss"] == 3.25 and found["fill-mask", "accuracy"] == 0.4
    card = ModelCard.load(str(released / "README.md"))
    assert {r.metric_value for r in card.data.eval_results if r.metric_type == "f1"} == {65.5}
    assert "| **v0.4** | 65.5 ± 2.1 | 2 |" in text and "| v0.1 | 61.5 | 1 |" in text
    assert "the course's ledger does not hold them" in text
    assert "it read less text" in text and "each model was pre-trained once" in text
    assert "no part in it" in text and "Not for decisions about patients" in text


def test_time_is_measured_and_energy_says_that_it_is_not(released, finished, tmp_path):
    _, text = metadata(released)
    stages = len([s for s in STAGES if s.name not in ("warm-up", "continued", "ner")])
    assert f"Measured: {stages} minutes" in text
    assert "Estimated, not measured" in text and "65 W (assumed" in text
    kwh = stages / 60 * 65 / 1000
    assert f"about {kwh:.2g} kWh" in text
    _, other = metadata(release(finished, "v0.1", tmp_path, watts=20))
    assert "20 W (measured by the releaser)" in other and f"Measured: {stages - 3} min" in other


def test_a_ledger_that_holds_the_run_is_named(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path / "results")
    report = json.loads((finished / "report.json").read_text())
    rows = rows_of(Run.opened(finished), report)
    ledger.append("run", rows, file="test")
    assert "rows of the course's ledger" in metadata(release(finished, "0.4", tmp_path / "a"))[1]
    rows[-1]["metrics"] = rows[-1]["metrics"] | {"f1": 1.0}
    ledger.append("run", rows[-1], file="test", replace=True)
    assert "does not hold them" in metadata(release(finished, "0.4", tmp_path / "b"))[1]


def test_a_tagger_is_released_with_labels_and_its_score(finished, tmp_path, caplog):
    from transformers import pipeline

    from bioptimus_lib.tagging import load_text_tagger

    place = fine_tuned(finished, "0.4", 1, progress=False)
    assert "was 67.00 in the run" in caplog.text, "made-up scores are another machine's"
    made = release(finished, "0.4", tmp_path, tagger=place)
    assert made.name == "v0.4-toys"
    pipe = pipeline("token-classification", model=str(made), aggregation_strategy="first")
    labels = set(pipe.model.config.id2label.values())
    assert labels == {"O", "B-Drug", "I-Drug", "B-Gene", "I-Gene"}
    text = "e a - b c d"
    mine = load_text_tagger(made, constrained=False).tag([text])[0]
    assert [(m.type, m.start, m.stop) for m in mine] == [
        (one["entity_group"], one["start"], one["end"]) for one in pipe(text)
    ]
    head, card = metadata(made)
    result = json.loads((place / "result.json").read_text())
    assert head["pipeline_tag"] == "token-classification"
    values = [r["metrics"][0]["value"] for r in head["model-index"][0]["results"]]
    assert values[0] == pytest.approx(result["metrics"]["f1"], abs=1e-4)
    assert 'aggregation_strategy="first"' in card and "Drug, Gene" in card
    assert "best *valid* tags" in card  # which the pipeline's are not
    with pytest.raises(ValueError, match="another model"):
        release(finished, "0.1", tmp_path, tagger=place)
    with pytest.raises(ValueError, match=re.escape("no seed 7 of v0.4: there are [0, 1]")):
        fine_tuned(finished, "0.4", 7)
    with pytest.raises(FileNotFoundError, match="no fine-tuning with its model"):
        release(finished, "0.4", tmp_path, tagger=tmp_path)


# --- what is refused ---------------------------------------------------------------------------


def test_a_run_that_is_not_complete_is_refused(finished, tmp_path, capsys):
    part = shutil.copytree(finished, tmp_path / "part")
    (part / "stages" / "phase3.json").unlink()
    assert main(["release", str(part), "--version", "0.4", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "stage phase3 is missing" in said and "bioptimus run" in said
    assert not (tmp_path / "out").exists()
    (part / "config.json").unlink()
    assert main(["release", str(part), "--version", "0.4", "--out", str(tmp_path / "out")]) == 2
    assert "holds no run" in capsys.readouterr().err


class Trap:
    """A pickle that leaves a trace when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_is_refused_and_never_loaded(finished, tmp_path, capsys):
    bad = shutil.copytree(finished, tmp_path / "run")
    folder, trace = bad / "models" / "v0.4", tmp_path / "trace"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(trace)))
    made = release(bad, "0.4", tmp_path / "out")  # beside safetensors it is left behind
    assert not (made / "pytorch_model.bin").exists()
    (folder / "model.safetensors").unlink()
    assert main(["release", str(bad), "--version", "0.4", "--out", str(tmp_path / "new")]) == 2
    assert "pickles are not loaded" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    (made / "extra.pkl").write_bytes(pickle.dumps(Trap(trace)))
    with pytest.raises(ValueError, match="a pickle can run code"):
        hub.plan(made, "ann/model")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("model", "owner/name"), ("a/b/c", "owner/name"), ("/b", "owner/name"), ("", "owner/name"),
        ("ann/my model", "letters"), ("ann/-model", "letters"), ("ann/mödel", "letters"),
        ("ann/a--b", "'--'"), ("ann/a..b", "'--'"), ("ann/model.git", ".git"),
        ("ann/" + "x" * 100, "at most 96"), ("ann/model\n", "letters"),
    ],
)  # fmt: skip
def test_malformed_names_are_refused_before_any_work(name, why, capsys):
    words = ["--version", "0.4", "--out", "nowhere", "--push", name]
    assert main(["release", "no-such-run", *words]) == 2
    said = capsys.readouterr().err
    assert "malformed" in said and why in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--version", "0.5"], "version '0.5' is unknown: choose one of 0.1, 0.2, 0.3, 0.4"),
        (["--version", "0.4", "--yes"], "--push OWNER/NAME"),
        (["--version", "0.4", "--watts", "0"], "--watts 0"),
        (["--version", "0.4"], "holds no run"),
    ],
)
def test_impossible_wishes_are_refused(words, says, tmp_path, capsys):
    assert main(["release", str(tmp_path), *words, "--out", str(tmp_path / "out")]) == 2
    assert says in capsys.readouterr().err


def test_a_folder_that_is_no_release_is_left_alone(finished, tmp_path):
    (tmp_path / "v0.4").mkdir()
    (tmp_path / "v0.4" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="is no release"):
        release(finished, "0.4", tmp_path)
    assert (tmp_path / "v0.4" / "thesis.txt").read_text() == "years of work"


def test_a_changed_release_is_not_sent(released, tmp_path):
    copy = shutil.copytree(released, tmp_path / "v0.4")
    (copy / "README.md").write_text("F1 is 100")
    with pytest.raises(ValueError, match="README.md is not as it was made"):
        hub.plan(copy, "ann/model")
    (copy / "config.json").unlink()
    with pytest.raises(ValueError, match="is not as it was made|is missing"):
        hub.plan(copy, "ann/model")


# --- a hub on this machine ---------------------------------------------------------------------


@pytest.fixture
def fake():
    with fake_hub() as server:
        yield server


def test_a_dry_run_asks_nobody(finished, tmp_path, fake, capsys):
    words = ["--version", "0.4", "--out", str(tmp_path), "--push", "ann/bioptimus"]
    assert main(["release", str(finished), *words]) == 0
    said = capsys.readouterr().out
    assert "a dry run" in said and "model.safetensors" in said and f"{fake.url}/ann/" in said
    assert fake.asked == [] and "ann/bioptimus" not in fake.repos


def test_a_push_brings_every_file_whole(finished, tmp_path, fake, capsys):
    words = ["--version", "0.4", "--out", str(tmp_path), "--push", "ann/bioptimus", "--yes"]
    assert main(["release", str(finished), *words]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{fake.url}/ann/bioptimus"
    there = {k: v for k, v in fake.repos["ann/bioptimus"].items() if k != ".gitattributes"}
    assert there == {path.name: path.read_bytes() for path in (tmp_path / "v0.4").iterdir()}
    weights = there["model.safetensors"]
    assert fake.large == {hashlib.sha256(weights).hexdigest(): weights}
    assert fake.private["ann/bioptimus"] in (True, "private")
    assert sum("/commit/" in asked for asked in fake.asked) == 1


def test_a_taken_name_is_refused_and_left_alone(released, fake):
    with pytest.raises(ValueError, match="ann/taken is taken"):
        hub.push(released, "ann/taken")
    assert fake.repos["ann/taken"] == {"README.md": b"mine"}


def test_a_push_that_was_cut_can_be_done_again(released, fake):
    fake.broken = True
    with pytest.raises(OSError, match="answers 418"):
        hub.push(released, "ann/again")
    assert set(fake.repos["ann/again"]) == {".gitattributes"}
    fake.broken = False
    assert hub.push(released, "ann/again", private=False) == f"{fake.url}/ann/again"
    assert "model.safetensors" in fake.repos["ann/again"]


def test_no_token_a_wrong_one_and_no_server(released, fake, monkeypatch):
    import huggingface_hub

    with pytest.raises(PermissionError, match="does not take the token"):
        hub.push(released, "ann/model", token="hf_wrong")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    asked = len(fake.asked)
    with pytest.raises(PermissionError, match="no token: 'hf auth login'"):
        hub.push(released, "ann/model")
    assert len(fake.asked) == asked
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="cannot be reached"):
        hub.push(released, "ann/model", token=TOKEN)
