"""The card of a release: what one should know before one uses a model, with metadata for the hub.

What is known stands in ``release_facts``; here it becomes words. What was not measured is called an
estimate, with the assumption that it rests on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bioptimus_lib.release_facts import Facts, Material

if TYPE_CHECKING:
    from bioptimus_lib.release_facts import Tagged

#: Watts of a whole machine that are assumed where nobody has measured them.
WATTS = {"cpu": 65.0, "cuda": 400.0}
PAPER = "https://aclanthology.org/2023.bionlp-1.31/"
#: Licences of sources as the hub names them.
LICENCES = {"Apache-2.0": "apache-2.0", "CC BY 4.0": "cc-by-4.0"}
OTHER_NAME, OTHER_LINK = "see-training-data", "README.md"


def card(
    facts: Facts, *, parameters: int, pieces: int, onnx: Mapping[str, Any] | None = None
) -> str:
    """The text of ``README.md``: metadata between two lines of dashes, and what they leave out.

    Args:
        parameters: of the model.
        pieces: of its vocabulary.
        onnx: what ``onnx_release.add_onnx`` measured, if the release has these files.
    """
    parts = [
        "---", metadata(facts), "---", f"# {facts.name}", about(facts, parameters, pieces),
        "## How to use it", use(facts), "## Intended use and limits", limits(facts),
        "## Training data", data(facts), "## Training", training(facts),
        "## Time, device and energy", cost(facts), "## Results", results(facts),
        *(("## ONNX", about_onnx(onnx)) if onnx else ()),
        "## Licence and citation", licence(facts),
    ]  # fmt: skip
    return "\n\n".join(parts).replace("---\n\n", "---\n", 1).replace("\n\n---", "\n---", 1) + "\n"


SCORES = ("f1", "precision", "recall")


def metadata(facts: Facts) -> str:
    """The YAML that the hub reads, with the ``model-index``."""
    from huggingface_hub import EvalResult, ModelCardData

    tags = ["biomedical", "bert", "curriculum-learning", "vocabulary", "bioptimus"]
    found = [] if facts.tagger else [
        EvalResult(
            task_type="fill-mask", task_name="Masked pieces", dataset_type=facts.corpus.name,
            dataset_name=f"{facts.corpus.name}, held-out documents", dataset_split="held-out",
            metric_type=name, metric_name=f"{name} of the hidden pieces", metric_value=value,
        )
        for name in ("accuracy", "loss") if (value := _round(facts.held_out.get(name))) is not None
    ]  # fmt: skip
    for name, value, what in scores(facts):
        shown = facts.tagger.dataset if facts.tagger else facts.dataset
        found.append(EvalResult(
            task_type="token-classification", task_name="Named entities, strict, whole entities",
            dataset_type=shown.name, dataset_name=shown.name, dataset_split="test",
            metric_type=name, metric_name=f"{name}, {what}", metric_value=value,
        ))  # fmt: skip
    named: dict[str, Any] = {"license": facts.licence or default_licence(facts)}
    if named["license"] == "other":
        named |= {"license_name": OTHER_NAME, "license_link": OTHER_LINK}
    sets = [facts.corpus.name, *([facts.tagger.dataset.name] if facts.tagger else [])]
    return ModelCardData(
        language="en", **named, library_name="transformers",
        pipeline_tag="token-classification" if facts.tagger else "fill-mask",
        tags=tags, base_model=facts.backbone.hub, datasets=sets, metrics=["f1"],
        model_name=facts.name, eval_results=found,
    ).to_yaml()  # fmt: skip


def scores(facts: Facts) -> list[tuple[str, float, str]]:
    """(metric, per cent, how it was found) of the test set: of the tagger, or the mean over the
    seeds of the run, from the rows of the ledger."""
    if facts.tagger:
        how = f"seed {facts.tagger.seed}"
        return [(name, round(float(facts.tagger.metrics[name]), 4), how) for name in SCORES]
    own = [row["metrics"] for row in facts.rows if row["model"] == facts.version]
    if not own:  # a run need not test the versions between
        return []
    how = f"mean of {len(own)} fine-tunings" if len(own) > 1 else "one fine-tuning"
    return [
        (name, round(float(sum(m[name] for m in own) / len(own)), 4), how)
        for name in SCORES
    ]


def default_licence(facts: Facts) -> str:
    """What ``licence_of`` says of all that went into a model."""
    tagged = [facts.tagger.dataset] if facts.tagger else []
    return licence_of([facts.backbone, facts.corpus, *tagged])


def licence_of(materials: Sequence[Material]) -> str:
    """Where all have one licence that the hub knows: that one; else ``other``, for what follows
    from several is not for a program to say.

    >>> licence_of([Material("a", "a model", "Apache-2.0"), Material("b", "text", "CC BY 4.0")])
    'other'
    """
    named = {material.licence for material in materials}
    return LICENCES.get(named.pop(), "other") if len(named) == 1 else "other"


# --- the parts ---------------------------------------------------------------------------------


def about(facts: Facts, parameters: int, pieces: int) -> str:
    """What the model is."""
    what = (
        f"A tagger of named entities ({', '.join(_types(facts.tagger))}), fine-tuned from version "
        f"{facts.version}, a biomedical BERT" if facts.tagger
        else f"Version {facts.version} of a biomedical BERT"
    )  # fmt: skip
    return (
        f"{what} with a vocabulary of its own ({pieces:,} pieces, {parameters / 1e6:.1f} million "
        "parameters). The first embeddings of new pieces were distilled from the general model in "
        "the contexts where the words stand; then came phases of masked pre-training, the last "
        f"with: {facts.masking}. It is an independent re-creation, in the size of the profile "
        f"`{facts.profile}`, of BIOptimus ([Pavlova and Makhlouf, 2023]({PAPER})); the paper's "
        "authors have no part in it, and its numbers are not those of the paper."
    )


def use(facts: Facts) -> str:
    """A call that works with plain Transformers."""
    if not facts.tagger:
        task, more, text = "fill-mask", "", "The patients received [MASK] for the pain."
        after = ""
    else:
        task, more = "token-classification", ', aggregation_strategy="first"'
        text = "Aspirin relieves fever in most patients."
        after = (
            '\n\n`"first"` is how it was trained: the label of a word is that of its first piece. '
            "Sentences are read one by one; a longer text is better cut into sentences first, as "
            "`bioptimus tag` does."
        )
    return (
        f'```python\nfrom transformers import pipeline\n\nmodel = pipeline("{task}", '
        f'model="PATH-OR-NAME"{more})\nmodel("{text}")\n```{after}'
    )


def limits(facts: Facts) -> str:
    """What it is for, and what not."""
    what = (
        "finding these entities in English biomedical articles" if facts.tagger
        else "fine-tuning on English biomedical text, and teaching"
    )  # fmt: skip
    return (
        f"- For {what}.\n"
        "- Not for decisions about patients, nor for any text whose mistakes would harm somebody: "
        "it was never tested for that.\n"
        f"- It read {facts.tokens:,} pieces in blocks of {facts.length}; on longer texts it "
        "has not been trained on.\n"
        "- It knows lower case, and English alone. What its texts say too often, or wrongly, it "
        "has learnt too; its guesses are no facts.\n"
        f"- The scores below are of one set ({facts.dataset.name}); on other texts expect less."
    )


def data(facts: Facts) -> str:
    """Texts and models that went in, and the terms that they came under."""
    rows = [
        f"- Start: {facts.backbone}",
        f"- Text: {facts.corpus}; {facts.megabytes:.1f} MB of clean sentences, each fiftieth "
        "document held out",
    ]
    if facts.tagger:
        many = f"{facts.tagger.sentences:,}" if facts.tagger.sentences else "all"
        rows.append(f"- Entities: {facts.tagger.dataset}; {many} sentences of train")
    return "\n".join(rows)


def training(facts: Facts) -> str:
    """Steps, seed, versions."""
    versions = ", ".join(f"{name} {value}" for name, value in facts.versions.items())
    commit = f", commit `{facts.commit}`" if facts.commit else ""
    return (
        f"{facts.steps:,} optimiser steps in all phases up to this one, {facts.tokens:,} pieces, "
        f"seed {facts.seed}. On held-out documents: loss {facts.held_out['loss']:.3f}, accuracy "
        f"{facts.held_out['accuracy']:.1%} of the hidden pieces. Made with {versions}{commit}."
    )


def cost(facts: Facts) -> str:
    """Measured time, and energy as what it is."""
    kind = "cuda" if facts.device.startswith("cuda") else "cpu"
    seconds = facts.seconds + (facts.tagger.seconds if facts.tagger else 0)
    hours = seconds / 3600
    watts = facts.watts or WATTS[kind]
    how = "measured by the releaser" if facts.watts else "assumed for the whole machine"
    return (
        f"Measured: {_duration(seconds)} for all stages up to this version, on one machine "
        f"({facts.device}); how the start was made is not in it.\n\n"
        f"Estimated, not measured: about {hours * watts / 1000:.2g} kWh, which is this time by "
        f"{watts:g} W ({how}). No emissions are stated: they depend on where the machine stood."
    )


def results(facts: Facts) -> str:
    """F1 of the run's models beside each other, with the spread over seeds."""
    from bioptimus_lib.stats import summary

    lines = [
        f"Strict entity-level F1 in per cent on the test part of {facts.dataset.name}, after "
        f"fine-tuning on {facts.sentences:,} sentences of train.", "",
        "| model | F1 | seeds |", "|---|---|---|",
    ]  # fmt: skip
    for model in dict.fromkeys(row["model"] for row in facts.rows):
        values = facts.f1(model)
        found = summary(values)
        spread = f" ± {found.sd:.1f}" if len(values) > 1 else ""
        shown = f"**{model}**" if model == facts.version else model
        lines.append(f"| {shown} | {found.mean:.1f}{spread} | {len(values)} |")
    lines += [
        "",
        "`old` is the general model as it was; `continued` is the same model trained on the same "
        "corpus for as many steps, with its old vocabulary: its pieces are shorter, so in as many "
        "pieces it read less text. The seeds are those of fine-tuning; each model was pre-trained "
        "once. A difference smaller than the spread over seeds is no difference; one seed has no "
        "spread to show. "
        + ("These are rows of the course's ledger (`data/results/run`)." if facts.in_ledger
           else "These numbers are the run's own; the course's ledger does not hold them."),
    ]  # fmt: skip
    if facts.tagger:
        own = ", ".join(f"{name} {value:.2f}" for name, value, _ in scores(facts))
        lines += ["", f"This tagger (seed {facts.tagger.seed}), on the test part of "
                  f"{facts.tagger.dataset.name}: {own}. All scores are of the best *valid* tags of "
                  "a sentence, without an `I-` that continues nothing. The pipeline above takes "
                  "the best tag of each word: its score may differ by some tenths."]  # fmt: skip
    return "\n".join(lines)


def about_onnx(onnx: Mapping[str, Any]) -> str:
    """The two ONNX files, and how their answers differ."""
    text = onnx["text"]
    if "f1" in text:
        cost = (
            f"On the {text['sentences']:,} test sentences, in 32 bits, F1 is {text['f1']:.2f} with "
            f"the first and {text['int8_f1']:.2f} with the second "
            f"({text['int8_f1'] - text['f1']:+z.2f})."
        )
    else:
        cost = (
            f"At {text['hidden']:,} hidden pieces of {text['sentences']:,} sentences, the second "
            f"has the same first guess as the first {text['same_guesses']:.1%} of the time, and a "
            f"loss of {text['int8_loss']:.3f} where the first has {text['loss']:.3f}."
        )
    return (
        "- `model.onnx`: the same weights. Its logits were held against PyTorch's on rows of "
        f"several shapes: they differ by at most {onnx['difference']:.2g}, the largest logit being "
        f"{onnx['largest_logit']:.3g}.\n"
        "- `model-int8.onnx`: matrices in 8 bits, for CPUs. Logits differ by up to "
        f"{onnx['int8_difference']:.2g}. {cost}\n\n"
        "Both take `input_ids` and `attention_mask` (int64, rows × positions) and give `logits`."
    )


def licence(facts: Facts) -> str:
    """What the weights may be used for, as far as it is known, and whom to cite."""
    chosen = facts.licence or default_licence(facts)
    terms = (
        "No single licence follows from the terms of what went in (above): look at them, and take "
        "the strictest." if chosen == "other" else f"Weights: {chosen}."
    )  # fmt: skip
    return (
        f"{terms} Cite the paper whose way this is: Vera Pavlova and Mohammed Makhlouf. "
        "*BIOptimus: Pre-training an Optimal Biomedical Language Model with Curriculum Learning "
        f"for Named Entity Recognition.* BioNLP workshop at ACL 2023. {PAPER}"
    )


def _types(tagger: Tagged) -> list[str]:
    return sorted({label[2:] for label in tagger.labels if label != "O"})


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
