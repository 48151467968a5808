"""A release as tables for a page: its files, its card, the terms of what went in, its engines.

What comes from a release is read from its own folder; what comes from the ledger says so, with the
command that fills it where there is nothing yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bioptimus_lib import evidence
from bioptimus_lib.bench_onnx import EXPERIMENT as ENGINES
from bioptimus_lib.bench_tag import EXPERIMENT as RATES
from bioptimus_lib.onnx_model import FILE, SMALL
from bioptimus_lib.pictures import table
from bioptimus_lib.plots import image
from bioptimus_lib.plots_release import engines
from bioptimus_lib.release import MANIFEST

#: What each file of a release is for.
ABOUT = {
    "README.md": "the card",
    "config.json": "the shape of the network, and its labels",
    "model.safetensors": "the weights, and nothing that could run",
    "tokenizer.json": "the vocabulary, and how text is cut",
    "tokenizer_config.json": "settings of the tokenizer",
    FILE: "the same model for other runtimes",
    SMALL: "a copy of it in 8 bits",
    MANIFEST: "what it was made by, and the hash of every file",
}
#: What a licence asks of who passes the work on, in short; its text is what counts.
ASKS = {
    "Apache-2.0": "keep its text and notices, say what you changed",
    "Apache-2.0 (repository)": "the repository's; the data may have other owners",
    "MIT": "keep its notice",
    "CC BY 4.0": "name the source and the licence, say what you changed",
    "CC BY 4.0 (repository)": "as CC BY 4.0, of the collection; the corpora may have owners",
    "CC BY 4.0 (as listed)": "as CC BY 4.0; a catalogue says so, the file's repository does not",
    "CC BY-SA 3.0": "as CC BY 4.0, and pass on what you adapt under the same terms",
    "GPL-3.0": "pass on what you change under the same terms, with its source",
    "GENIA licence": "read it at its page",
    "NLM terms": "read them at their page; the texts themselves may have owners",
    "per article": "as many answers as articles",
    "none stated": "ask: nobody has been given leave to copy it",
}


def files_table(folder: str | Path) -> str:
    """The files of a release, with sizes and the beginning of their hashes, as HTML."""
    folder = Path(folder)
    hashes = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    return table([
        {"file": name, "kB": f"{(folder / name).stat().st_size / 1e3:,.1f}",
         "what it is": ABOUT.get(name, ""), "sha256": f"{hashes[name][:6]}…" if name in hashes
         else "–"}
        for name in sorted(path.name for path in folder.iterdir())
    ], numbers=["kB"])  # fmt: skip


def metadata_of(folder: str | Path) -> dict[str, Any]:
    """What the hub reads of a card: the part between its two lines of dashes."""
    from huggingface_hub import ModelCard

    found: dict[str, Any] = ModelCard.load(str(Path(folder) / "README.md")).data.to_dict()
    return found


def index_table(folder: str | Path) -> str:
    """The ``model-index`` of a card as HTML: task, set and split, measure, value."""
    (model,) = metadata_of(folder)["model-index"]
    return table([
        {"task": result["task"]["type"], "measured on":
         f"{result['dataset']['type']}, {result['dataset']['split']}",
         "measure": measure["name"], "value": f"{measure['value']:.4g}"}
        for result in model["results"] for measure in result["metrics"]
    ], numbers=["value"])  # fmt: skip


def section(folder: str | Path, heading: str) -> str:
    """One section of a card, as it stands there.

    Raises:
        ValueError: no such section.
    """
    text = (Path(folder) / "README.md").read_text(encoding="utf-8")
    for part in text.split("\n## ")[1:]:
        name, _, body = part.partition("\n")
        if name == heading:
            return body.strip()
    raise ValueError(f"the card has no section {heading!r}")


def terms_table() -> str:
    """The licences of the course's sources, what is under each, and what it asks, as HTML."""
    from bioptimus_lib.source_table import table as sources

    under: dict[str, list[str]] = {}
    for name, row in sources().items():
        under.setdefault(row.licence, []).append(name)
    return table([
        {"licence": licence, "it asks (in short)": ASKS.get(licence, "read it"),
         "what is under it here": ", ".join(names)}
        for licence, names in sorted(under.items(), key=lambda item: -len(item[1]))
    ])  # fmt: skip


def engines_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of ``bench_onnx.measure`` as HTML."""
    return table([
        {"engine": row["engine"], "MB": f"{row['megabytes']:.1f}",
         "ms, one sentence": f"{row['milliseconds']:.1f}",
         "times as fast": f"{row['one']['ratio']:.2f}",
         "sentences/s, all": f"{row['sentences_per_second']:,.0f}",
         "times as fast, all": f"{row['many']['ratio']:.2f}", "F1": f"{row['f1']:.2f}",
         "other entities": str(row["differing"])}
        for row in rows
    ], numbers=["MB", "ms, one sentence", "times as fast", "sentences/s, all",
                "times as fast, all", "F1", "other entities"])  # fmt: skip


def engines_at_scale() -> str:
    """The engines' rows of the ledger, a figure and a table for each setting, as HTML."""
    rows = evidence.rows_of(ENGINES)
    if not rows:
        return evidence.nothing_in(ENGINES)
    settings: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        found = row["metrics"] | {
            "engine": row["model"], "one": {"ratio": row["metrics"]["faster_one"]},
            "many": {"ratio": row["metrics"]["faster_many"]},
        }  # fmt: skip
        settings.setdefault((row["dataset"], row["variant"]), []).append(found)
    parts = []
    for (dataset, variant), some in settings.items():
        title = f"{dataset}: {variant}"
        said = "; ".join(
            f"{row['engine']} {row['milliseconds']:.1f} ms, {row['sentences_per_second']:,.0f} a "
            "second" for row in some
        )  # fmt: skip
        alt = f"Bars of time for one sentence and of sentences per second. {title}. {said}."
        parts.append(image(engines(some, title=title), alt=alt) + engines_table(some))
    return "".join(parts) + evidence.origins(rows)


def rates_at_scale() -> str:
    """``bioptimus tag`` beside the bare model and the pipeline, from the ledger, as HTML."""
    rows = [row for row in evidence.rows_of(RATES) if "ratio" in row["metrics"]]
    if not rows:
        return evidence.nothing_in(RATES)
    return table([
        {"tag beside": row["model"].removesuffix(" / tag"), "text": row["dataset"],
         "sentences": f"{row['sentences']:,}", "setting": row["variant"],
         "its time / ours": f"{row['metrics']['ratio']:.2f}",
         "least to most": f"{row['metrics']['least']:.2f} to {row['metrics']['most']:.2f}",
         "other entities": str(row["metrics"].get("differing", "–"))}
        for row in rows
    ], numbers=["sentences", "its time / ours", "least to most", "other entities"],
    ) + evidence.origins(rows)  # fmt: skip
