"""Entities in running text: sentences are found, tagged in batches, and told by their characters.

A tagger knows sentences of tokens. Text that nobody has cut is cut into sentences by
``splitting`` and into words by the tokenizer, which knows where each word stands; so an entity is
told by the characters of the text as it came in, whatever the tokenizer took out of it. Text is
read, tagged and forgotten block by block: what it costs in memory depends on a block, not on the
file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from bioptimus_lib.onnx_model import FILE, SMALL, OnnxModel
from bioptimus_lib.splitting import spans
from bioptimus_lib.tagger import NerSettings, Tagger, best_each, best_path, load_tagger
from bioptimus_lib.windows import Encoding, Piece, in_windows, room_of, special_of

if TYPE_CHECKING:
    import tokenizers
    from transformers import PreTrainedModel

BLOCK = 1 << 17  # characters that are tagged together, sorted by length
LONGEST = 1 << 20  # characters of a line that are read at a time
KIND = "ForTokenClassification"
#: What can compute: PyTorch, or a file beside the model that ``bioptimus release --onnx`` wrote.
ENGINES: dict[str, str | None] = {"torch": None, "onnx": FILE, "int8": SMALL}


class Mark(NamedTuple):
    """An entity: characters ``start:stop`` of a text, and the mean probability of its tags."""

    type: str
    start: int
    stop: int
    score: float


class Line(NamedTuple):
    """A line of a text, or a part of a very long one.

    number: from 1; the parts of a line have the same.
    start: characters of the whole text before it.
    text: without the line end.
    end: the line end as it was: ``\\n``, ``\\r\\n``, or none.
    """

    number: int
    start: int
    text: str
    end: str = "\n"


class Marked(NamedTuple):
    """A line and its entities, in their order; their characters are those of its text."""

    line: Line
    marks: list[Mark]


def read_lines(file: IO[str], *, longest: int = LONGEST) -> Iterator[Line]:
    """The lines of a text, opened with ``newline="\\n"``; no more than ``longest`` characters are
    held, and a longer line comes in parts, cut at a blank if there is one."""
    number, start, rest = 1, 0, ""
    while text := rest + file.readline(longest - len(rest)):
        ends = text.endswith("\n")
        if not ends and len(text) >= longest:
            cut = max(text.rfind(" "), text.rfind("\t")) + 1 or len(text)
            rest = text[cut:]
            yield Line(number, start, text[:cut], "")
            start += cut
            continue
        end = "\r\n" if text.endswith("\r\n") else "\n" if ends else ""
        yield Line(number, start, text.removesuffix(end), end)
        number, start, rest = number + 1, start + len(text), ""


# --- the tagger --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """Texts as words and pieces of a tokenizer, and what a tagger reads of them."""

    words: list[tokenizers.Encoding]
    encoding: Encoding


class TextTagger:
    """A tagger that reads text as it is.

    Args:
        tagger: a fine-tuned model. With ``constrained`` settings the tags of a sentence are the
            best that are valid; else each word has its best tag, as in Transformers' pipeline with
            ``aggregation_strategy="first"``, and an ``I-`` that continues nothing begins an entity.

    Raises:
        ValueError: the tokenizer is not one of BERT's kind, or cannot tell where a piece stands.
    """

    def __init__(self, tagger: Tagger) -> None:
        from tokenizers import Tokenizer

        backend = getattr(tagger.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ValueError("the tokenizer does not tell where pieces stand: save a fast one")
        self.tagger = tagger
        self.special = special_of(tagger.tokenizer)
        self.room = room_of(tagger.window)
        self.cutter = Tokenizer.from_str(backend.to_str())  # a copy: settings of it are ours
        self.cutter.no_truncation()
        self.cutter.no_padding()
        self.cutter.encode_special_tokens = True  # "[SEP]" in a text is a text
        self.outside = tagger.labels.index("O")
        self.counts = dict.fromkeys(("lines", "sentences", "words", "pieces", "entities"), 0)

    def cut(self, texts: Sequence[str]) -> Cut:
        """Sentences as the model reads them, long ones in windows."""
        words = self.cutter.encode_batch(list(texts), add_special_tokens=False)
        pieces: list[Piece] = []
        tokens = []
        for number, found in enumerate(words):
            ids, of = np.array(found.ids, np.int64), np.array(found.word_ids, np.int64)
            heads = np.flatnonzero(np.diff(of, prepend=-1))
            sizes = np.diff(heads, append=len(ids))
            tokens.append(len(heads))
            if len(sizes) and sizes.max() > self.room:  # the first pieces of a word that long
                kept = np.arange(len(ids)) - np.repeat(heads, sizes) < self.room
                ids, sizes = ids[kept], np.minimum(sizes, self.room)
            overlap = self.tagger.settings.overlap
            pieces += in_windows(number, ids, sizes, self.special, room=self.room, overlap=overlap)
        report = {"sentences": len(words), "tokens": sum(tokens), "windows": len(pieces),
                  "pieces": sum(len(piece.ids) for piece in pieces)}  # fmt: skip
        return Cut(words, Encoding(pieces, tokens, report))

    def tag(self, sentences: Sequence[str]) -> list[list[Mark]]:
        """The entities of each sentence."""
        cut = self.cut(sentences)
        rows = self.tagger.scores(cut.encoding)
        found = [self._marks(*one) for one in zip(rows, cut.words, strict=True)]
        self.counts["sentences"] += len(sentences)
        self.counts["words"] += cut.encoding.report["tokens"]
        self.counts["pieces"] += cut.encoding.report["pieces"]
        self.counts["entities"] += sum(map(len, found))
        return found

    def tag_lines(self, lines: Iterable[Line], *, block: int = BLOCK) -> Iterator[Marked]:
        """Each line with its entities, in order; about ``block`` characters are tagged together."""
        held: list[Marked] = []
        texts: list[str] = []
        places: list[tuple[list[Mark], int]] = []  # of the line of each sentence, and its start
        size = 0

        def tag() -> None:
            for (marks, start), found in zip(places, self.tag(texts), strict=True):
                marks += (m._replace(start=m.start + start, stop=m.stop + start) for m in found)
            texts.clear()
            places.clear()

        for line in lines:
            marked = Marked(line, [])
            held.append(marked)
            self.counts["lines"] = line.number
            size += 1  # of empty lines, too, not too many are held
            for start, stop in spans(line.text):
                texts.append(line.text[start:stop])
                places.append((marked.marks, start))
                size += stop - start
                if size >= block:
                    tag()
                    size = 0
            if texts and size >= block:
                tag()
            if not texts:
                yield from held
                held.clear()
                size = 0
        if texts:
            tag()
        yield from held

    def _marks(self, row: np.ndarray, words: tokenizers.Encoding) -> list[Mark]:
        """The entities of a sentence, from scores (words, labels)."""
        best = row.argmax(-1) if len(row) else row
        if not len(row) or (best == self.outside).all():
            return []
        labels = self.tagger.labels
        choose = best_path if self.tagger.settings.constrained else best_each
        tags = choose(row, labels)
        found = []
        for kind, first, last in runs(tags):
            own = [row[i, labels.index(tags[i])] for i in range(first, last)]
            # None is said of words that are not there.
            ends = (cast("tuple[int, int]", words.word_to_chars(n)) for n in (first, last - 1))
            (start, _), (_, stop) = ends
            found.append(Mark(kind, start, stop, float(np.exp(own).mean())))
        return found


def runs(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Types and words of the entities that tags spell; an ``I-`` that continues nothing begins one.

    >>> runs(("O", "I-Drug", "I-Drug", "B-Drug", "I-Gene"))
    [('Drug', 1, 3), ('Drug', 3, 4), ('Gene', 4, 5)]
    """
    found: list[tuple[str, int, int]] = []
    before = "O"
    for i, tag in enumerate(tags):
        if tag != "O":
            kind = tag[2:]
            if tag[0] == "I" and before[2:] == kind:
                found[-1] = (kind, found[-1][1], i + 1)
            else:
                found.append((kind, i, i + 1))
        before = tag
    return found


def load_text_tagger(
    folder: str | Path, *, device: str = "cpu", engine: str = "torch", **settings: Any
) -> TextTagger:
    """A fine-tuned tagger for text, from its own folder or from one that ``bioptimus ner`` kept.

    Args:
        engine: of ``ENGINES``; what is not PyTorch runs on the CPU.
        settings: fields of ``NerSettings`` that matter here: ``precision`` (fp32 if not given),
            ``batch_tokens``, ``max_length``, ``overlap``, ``constrained``.

    Raises:
        FileNotFoundError: no model in the folder, or no file for the engine.
        ValueError: a model for something else, weights that are not safetensors, or an engine that
            is unknown or not for the device.
        ModuleNotFoundError: the packages of the engine are missing.
    """
    from bioptimus_lib.models import place
    from bioptimus_lib.sources import model_path

    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r} is unknown: choose one of {', '.join(ENGINES)}")
    if ENGINES[engine] and device != "cpu":
        raise ValueError(f"engine {engine} is for the CPU: leave out --device {device}")
    inside = Path(folder) / "model"
    own = Path(folder) / "config.json"
    path = model_path(inside if inside.is_dir() and not own.is_file() else folder)
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    kinds = config.get("architectures") or ["none"]
    if not kinds[0].endswith(KIND):
        raise ValueError(
            f"{folder} holds a {kinds[0]}, not a tagger: fine-tune it first "
            "(bioptimus ner --save-model)"
        )
    labels = list(config.get("id2label", {}).values())
    wrong = [label for label in labels if label != "O" and label[:2] not in ("B-", "I-")]
    if wrong or "O" not in labels:
        raise ValueError(f"{folder} has labels that are not IOB2 ({', '.join(wrong) or 'no O'})")
    tagger = load_tagger(path, settings=NerSettings(**{"precision": "fp32"} | settings))
    file = ENGINES[engine]
    model = OnnxModel(path / file, tagger.model.config) if file else place(tagger.model, device)
    return TextTagger(replace(tagger, model=cast("PreTrainedModel", model)))  # it answers as one
