"""``bioptimus words``: Zipf, Heaps, typical words and words by year of real corpora, as numbers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bioptimus_lib import options

TYPICAL = 60
LEAST = 200  # occurrences of a typical word: in some dozens of articles, not in one
#: Words whose use may have changed over the years, and two that no person wrote.
BY_YEAR = (
    "participants", "subjects", "patients", "registered", "clinicaltrials", "registry", "online",
    "internet", "smartphone", "app", "acceptability", "placebo", "blinded", "consort", "bayesian",
    "obesity", "hiv", "depression", "healthcare", "imaging", "guidelines", "adherence",
    "statistically", "prepub", "xmlns",
)  # fmt: skip


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "words",
        help="count words: Zipf, Heaps, what is typical of a corpus, words by year",
        description="Count the words of corpora. With two of them, the words that are most "
        "typical of the first are listed.",
    )
    parser.add_argument(
        "corpora", nargs="+", metavar="CORPUS", help="folders, or sources such as biomed, general"
    )
    parser.add_argument(
        "--years", action="store_true", help="also by year, from ARTICLES.tsv of the first corpus"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order of the documents")
    options.to_ledger(parser, "words")
    parser.add_argument(
        "--save-counts", metavar="FILE", help="write the frequent words of the last corpus"
    )
    parser.add_argument("--most", type=int, default=12_000, metavar="N", help="words to write")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from bioptimus_lib import ledger, wordstats
    from bioptimus_lib.records import readable_files

    options.one_name_each(arguments.corpora)
    folders = {name: _folder(name) for name in arguments.corpora}
    if arguments.years:
        table = next(iter(folders.values())) / "ARTICLES.tsv"
        if not table.is_file():
            raise FileNotFoundError(f"{table} is not there, so no year is known")
    rows: list[dict[str, Any]] = []
    tallies = []
    for name, folder in folders.items():
        found = wordstats.tally(_shuffled(folder, arguments.seed))
        zipf = wordstats.zipf_points(found.counts)
        tallies.append(found)
        rows.append({
            **_names(name, arguments.seed),
            "metrics": {
                "words": found.total,
                "different_words": len(found.counts),
                "met_once": sum(count == 1 for count in found.counts.values()),
                "zipf_exponent": round(wordstats.zipf_exponent(zipf), 4),
                "heaps_exponent": round(wordstats.heaps_exponent(found.growth), 4),
            },
            "zipf": [[rank, float(f"{share:.6g}")] for rank, share in zipf],
            "growth": found.growth,
        })
        print(f"{name}: " + ", ".join(f"{k} {v:,}" for k, v in rows[-1]["metrics"].items()))
    if len(tallies) > 1:
        other = wordstats.Background(tallies[1].counts, tallies[1].total)
        words = wordstats.typical(tallies[0].counts, other, least=LEAST)[:TYPICAL]
        rows[0]["typical"] = [[t.word, round(t.log_odds, 3), round(t.z, 1), t.times] for t in words]
        print("typical:", ", ".join(t.word for t in words))
    if arguments.years:
        by_year = wordstats.shares_by_year(wordstats.dated_articles(table), BY_YEAR)
        rows.append({
            **_names(arguments.corpora[0], None),
            "variant": "by year",
            "metrics": {"articles": sum(row[""] for row in by_year.values())},
            "years": by_year,
        })
        print(f"by year: {rows[-1]['metrics']['articles']:,} articles, {min(by_year)} on")
    if arguments.save_counts:
        _save(tallies[-1], Path(arguments.save_counts), arguments.most, arguments.corpora[-1])
    if arguments.ledger:
        origins = {
            Path(name).name: ledger.provenance(data=readable_files(folder))
            for name, folder in folders.items()
        }
        rows = [{**row, **origins[row["dataset"]]} for row in rows]
        print(ledger.append("words", rows, file=arguments.ledger, replace=True).name)
    return 0


def _names(corpus: str, seed: int | None) -> dict[str, Any]:
    return {"model": "word counts", "dataset": Path(corpus).name, "profile": "any", "seed": seed}


def _folder(name: str) -> Path:
    """A folder, or that of a source of text."""
    from bioptimus_lib import sources
    from bioptimus_lib.source_table import table

    if name in table() and table()[name].kind == "corpus":
        return sources.fetch(name)
    if not Path(name).is_dir():
        raise FileNotFoundError(f"{name} is neither a folder nor a source of text: see `fetch`")
    return Path(name)


def _shuffled(folder: Path, seed: int) -> list[str]:
    """Title and text of all documents in random order: growth must not follow the topics."""
    import random

    from bioptimus_lib.records import documents

    texts = [f"{document.title}\n{document.text}" for document in documents(folder)]
    random.Random(seed).shuffle(texts)
    return texts


def _save(found: Any, path: Path, most: int, name: str) -> None:
    """The frequent words as lines of word, tab, count, below the totals."""
    from bioptimus_lib.files import atomic_write

    with atomic_write(path) as file:
        file.write(f"# The {most:,} most frequent words of {name}: counts, made by\n")
        file.write(f"# bioptimus words {name} --save-counts {path.name} --most {most}\n")
        file.write(f"all\t{found.total}\ndifferent\t{len(found.counts)}\n")
        file.writelines(f"{word}\t{count}\n" for word, count in found.counts.most_common(most))
