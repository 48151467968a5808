"""What a scan gives: for each keyword a sample of its sentences, how often it occurs, and a report.

Parquet holds all of it. JSON is ``{keyword: [sentence, …]}``, the form that qik-find writes; its
counts and its report lie in a second file beside it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_write

if TYPE_CHECKING:
    import pyarrow

FORMAT = "bioptimus contexts 1"


@dataclass(frozen=True)
class ScanReport:
    """What a scan has read and found.

    Args:
        files, bytes, lines: read, unpacked.
        invalid_bytes: bytes that are not UTF-8; in contexts they are U+FFFD.
        seconds: time taken, once what does the work is loaded.
        keywords: how many were looked for.
        missing: keywords that occur nowhere.
        contexts: sentences kept.
        skipped: what was wrong with files that were left out.
    """

    files: int
    bytes: int
    lines: int
    invalid_bytes: int
    seconds: float
    keywords: int
    missing: tuple[str, ...]
    contexts: int
    skipped: tuple[str, ...] = ()

    @property
    def megabytes_per_second(self) -> float:
        """Text read per second of the whole scan, in 10^6 bytes."""
        return self.bytes / 1e6 / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        skipped = f"; {len(self.skipped):,} left out" if self.skipped else ""
        files = "1 file" if self.files == 1 else f"{self.files:,} files"
        return (
            f"{files}, {self.lines:,} lines, {self.bytes / 1e6:.1f} MB "
            f"in {self.seconds:.1f} s ({self.megabytes_per_second:.0f} MB/s), "
            f"{self.invalid_bytes:,} invalid bytes; {self.contexts:,} contexts of "
            f"{self.keywords:,} keywords, {len(self.missing):,} of them without a hit{skipped}"
        )


class Contexts(Mapping[str, list[str]]):
    """Keyword → its sentences, keywords in the order in which they were given.

    The sentences of a keyword are a uniform sample of the lines that hold it, in random order:
    the first n of them are the sample that ``contexts=n`` would have given.

    counts: keyword → number of lines that hold it; empty if not known.
    report: ``ScanReport`` or None.

    >>> Contexts({"il": ["IL-2 rose."], "zinc": []}).missing
    ['zinc']
    """

    def __init__(
        self,
        sentences: Mapping[str, list[str]],
        *,
        counts: Mapping[str, int] | None = None,
        report: ScanReport | None = None,
    ) -> None:
        import pyarrow as pa

        kind = pa.large_list(pa.large_string())
        self._set(list(sentences), pa.array(sentences.values(), kind), counts, report)

    @classmethod
    def of_columns(
        cls,
        keywords: list[str],
        sentences: pyarrow.LargeListArray,
        *,
        counts: Mapping[str, int] | None = None,
        report: ScanReport | None = None,
    ) -> Contexts:
        """Contexts of a column of Arrow, whose sentences become strings when they are asked for."""
        self = cls.__new__(cls)
        self._set(keywords, sentences, counts, report)
        return self

    def _set(
        self,
        keywords: list[str],
        sentences: pyarrow.LargeListArray,
        counts: Mapping[str, int] | None,
        report: ScanReport | None,
    ) -> None:
        self._row = dict(zip(keywords, range(len(keywords)), strict=True))
        self._sentences = sentences
        self.counts = dict(counts or {})
        self.report = report

    def __getitem__(self, keyword: str) -> list[str]:
        sentences: list[str] = self._sentences[self._row[keyword]].as_py()
        return sentences

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)

    def __repr__(self) -> str:
        sentences = len(self._sentences.flatten())
        return f"Contexts({len(self)} keywords, {sentences} sentences)"

    @property
    def missing(self) -> list[str]:
        """The keywords without a sentence."""
        many = self._sentences.value_lengths().to_numpy()
        return [keyword for keyword, row in self._row.items() if not many[row]]

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Write ``{keyword: [sentence, …]}``, and counts and report to ``….report.json``."""
        path = Path(path)
        with atomic_write(_beside(path)) as file:
            json.dump(self._facts(), file, ensure_ascii=False, indent=1)
        with atomic_write(path) as file:
            json.dump(dict(self), file, ensure_ascii=False, indent=1)
        return path

    def to_parquet(self, path: str | os.PathLike[str]) -> Path:
        """Write a row per keyword: keyword, lines that hold it, sentences; the report as metadata.

        The column ``lines`` is null where the count is not known.
        """
        import pyarrow as pa
        from pyarrow import parquet

        table = pa.table(
            {
                "keyword": pa.array(self._row, pa.string()),
                "lines": pa.array(list(map(self.counts.get, self._row)), pa.int64()),
                "contexts": self._sentences,
            },
            metadata={"bioptimus": json.dumps({"format": FORMAT, **self._facts(counts=False)})},
        )
        with atomic_write(path, "wb") as file:
            parquet.write_table(table, file, compression="zstd")
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Contexts:
        """Read what ``to_json`` or ``to_parquet`` wrote, or the JSON of qik-find.

        Raises:
            FileNotFoundError: no such file.
            DataError: it is neither.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}")
        return cls._from_json(path) if path.suffix == ".json" else cls._from_parquet(path)

    def _facts(self, *, counts: bool = True) -> dict[str, Any]:
        facts: dict[str, Any] = {"report": None if self.report is None else vars(self.report)}
        return facts | ({"counts": self.counts} if counts else {})

    @classmethod
    def _from_json(cls, path: Path) -> Contexts:
        found = _read_json(path)
        good = isinstance(found, dict) and all(
            isinstance(lines, list) and all(isinstance(line, str) for line in lines)
            for lines in found.values()
        )
        if not good:
            raise DataError("expected {keyword: [sentence, …]}", path=path)
        facts = _read_json(_beside(path)) if _beside(path).is_file() else {}
        return cls(found, counts=facts.get("counts"), report=_report(facts.get("report")))

    @classmethod
    def _from_parquet(cls, path: Path) -> Contexts:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            table = parquet.read_table(path)
            facts = json.loads((table.schema.metadata or {})[b"bioptimus"])
            names = table["keyword"].to_pylist()
            kind = pa.large_list(pa.large_string())
            found = table["contexts"].combine_chunks().cast(kind)
            counts = dict(zip(names, table["lines"].to_pylist(), strict=True))
        except (pa.ArrowInvalid, KeyError, ValueError) as error:
            raise DataError(f"not a Parquet file of contexts: {error}", path=path) from None
        known = {keyword: count for keyword, count in counts.items() if count is not None}
        return cls.of_columns(names, found, counts=known, report=_report(facts["report"]))


def _beside(path: Path) -> Path:
    return path.with_name(path.stem + ".report.json")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"not JSON: {error}", path=path) from None


def _report(facts: dict[str, Any] | None) -> ScanReport | None:
    lists = {name: tuple(value) for name, value in (facts or {}).items() if isinstance(value, list)}
    return ScanReport(**{**facts, **lists}) if facts else None
