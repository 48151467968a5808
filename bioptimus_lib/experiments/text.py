"""Two texts of the same kind, and the sentences of known words in each.

What is fitted is fitted on one text, and tested on the other: a regression must not meet the
sentences, nor the articles, that it was made from.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bioptimus_lib.contexts import Contexts
from bioptimus_lib.experiments.cells import Setting

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_CONTEXTS = 50  # sentences that are kept of each word; the first n of them are a sample of n
SHARD_MEGABYTES = 3
TEXTS = ("fit", "test")


def corpus(setting: Setting, name: str | None = None) -> Path:
    """The folder of a corpus, by default that of a setting: a source, or a folder."""
    from bioptimus_lib import sources
    from bioptimus_lib.source_table import table

    name = name or setting.corpus
    if name in table():
        return sources.fetch(name, progress=setting.progress)
    if not Path(name).exists():
        raise FileNotFoundError(f"{name} is neither a folder nor a source: see `fetch`")
    return Path(name)


def two_texts(setting: Setting) -> dict[str, list[Path]]:
    """Shards of clean sentences for ``fit`` and for ``test``; they hold different documents."""
    from bioptimus_lib import pubmed

    folder = setting.out / "text" / "shards"
    if not (folder / "corpus.json").exists():
        pubmed.write_shards(
            corpus(setting), folder, megabytes=setting.megabytes,
            shard_megabytes=min(SHARD_MEGABYTES, setting.megabytes / 4), progress=setting.progress,
        )  # fmt: skip
    shards = sorted(folder.glob("*.txt"))
    # Every other shard, so both are of the same kinds of text.
    return {name: shards[n::2] for n, name in enumerate(TEXTS)}


def known_word_contexts(
    setting: Setting, tokenizer: PreTrainedTokenizerBase
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Sentences of the words that the tokenizer has whole, from the text to fit and to test.

    Those of ``fit_corpus`` come behind those of the text to fit, for words that have too few.
    """
    from bioptimus_lib.scan import count_words, find_contexts
    from bioptimus_lib.vocab import calibration_words

    files = {name: setting.out / "text" / f"{name}.parquet" for name in TEXTS}
    if not all(file.exists() for file in files.values()):
        texts = two_texts(setting)
        counts = count_words([path for some in texts.values() for path in some])
        words = calibration_words(tokenizer, counts, n=len(counts))
        for name, file in files.items():
            found = find_contexts(
                words, texts[name], contexts=MOST_CONTEXTS, progress=setting.progress
            )
            found.to_parquet(file)
    fit, test = (dict(Contexts.load(file)) for file in files.values())
    if setting.fit_corpus:
        file = setting.out / "text" / "more.parquet"
        if not file.exists():
            more = [corpus(setting, setting.fit_corpus)]
            counts = count_words(more)
            words = calibration_words(tokenizer, counts, n=len(counts))
            find_contexts(
                words, more, contexts=MOST_CONTEXTS, progress=setting.progress
            ).to_parquet(file)
        for word, sentences in Contexts.load(file).items():
            fit[word] = (fit.get(word, []) + sentences)[:MOST_CONTEXTS]
    return fit, test
