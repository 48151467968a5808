"""A model that answers a text or a pair of texts: its settings, what it reads, how it answers.

The answer is made at the first piece, [CLS], by the head that Transformers gives the architecture.
What is too long is cut at the end, the longer text of a pair first, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from bioptimus_lib import batching
from bioptimus_lib.batching import BATCHINGS, Layout, by_length, model_inputs, padded
from bioptimus_lib.fitting import FitSettings, head_on, recipe_of, window_of
from bioptimus_lib.models import autocast, load_fine_tuned
from bioptimus_lib.task_data import Answer, Example, labels_of, number_of
from bioptimus_lib.task_table import Task

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bioptimus_lib.arrays import Ints

PROBLEMS = {
    "label": "single_label_classification",
    "labels": "multi_label_classification",
    "score": "regression",
}
SCORE = ("score",)  # what the one output of a task without labels is called


@dataclass(frozen=True)
class TaskSettings(FitSettings):
    """How to fine-tune: ``FitSettings``, with a row for each text.

    A text has one answer, at its beginning, so several in a row (``packed``) cannot be read; texts
    of like length share a batch within pools of batches.
    """

    batching: str = "pools"

    def __post_init__(self) -> None:
        super().__post_init__()
        if BATCHINGS[self.batching].lay is not padded:
            raise ValueError(
                f"batching {self.batching!r} lays several texts in a row, and an answer stands at "
                f"the beginning of one: choose {', '.join(sorted(row_each()))}"
            )


def row_each() -> list[str]:
    """The ways to make batches that give each text a row."""
    return [name for name, way in BATCHINGS.items() if way.lay is padded]


def settings_for(model: str | Path | PreTrainedModel, **changes: Any) -> TaskSettings:
    """The settings of ``fitting.RECIPES`` for a model or a folder, with some of them changed.

    Raises:
        FileNotFoundError: no model in the folder.
    """
    return TaskSettings(**recipe_of(model) | changes)


class Encoded(NamedTuple):
    """Examples as pieces.

    ids: of each example, with [CLS] and [SEP].
    types: 0 for the first text and 1 for the second; None for a model that does not ask.
    report: ``examples``, ``pieces``, ``truncated`` examples, ``cut`` pieces that they lost, and
        ``unknown`` pieces.
    """

    ids: list[np.ndarray]
    types: list[np.ndarray] | None
    report: dict[str, int]


def encode(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, *, window: int
) -> Encoded:
    """Examples as at most ``window`` pieces each; none is left out.

    Raises:
        ValueError: no example, or a window without room for a piece of each text.
    """
    if not examples:
        raise ValueError("no example to encode")
    pair = examples[0].second is not None
    special = tokenizer.num_special_tokens_to_add(pair=pair)
    if window < special + (2 if pair else 1):
        raise ValueError(
            f"a window of {window} pieces, {special} of them special: no room for a text"
        )
    texts = [example.text for example in examples]
    seconds = [example.second for example in examples] if pair else None
    whole = tokenizer(texts, seconds, split_special_tokens=True, verbose=False)
    ids, types = whole["input_ids"], whole.get("token_type_ids")
    long = [i for i, some in enumerate(ids) if len(some) > window]
    cut = sum(len(ids[i]) - window for i in long)
    if long:
        some = tokenizer(
            [texts[i] for i in long], [seconds[i] for i in long] if seconds else None,
            truncation="longest_first", max_length=window, split_special_tokens=True,
            verbose=False,
        )  # fmt: skip
        for place, i in enumerate(long):
            ids[i] = some["input_ids"][place]
            if types is not None:
                types[i] = some["token_type_ids"][place]
    return Encoded(
        [np.array(some, np.int64) for some in ids],
        None if types is None else [np.array(some, np.int64) for some in types],
        {
            "examples": len(examples),
            "pieces": sum(map(len, ids)),
            "truncated": len(long),
            "cut": cut,
            "unknown": sum(some.count(tokenizer.unk_token_id) for some in ids),
        },
    )


@dataclass(frozen=True)
class Classifier:
    """A model that answers the examples of a task.

    Args:
        scale: (mean, spread) of the scores of train, which the model learns as standard scores.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    task: Task
    settings: TaskSettings = field(default_factory=TaskSettings)
    scale: tuple[float, float] = (0.0, 1.0)

    @property
    def window(self) -> int:
        """Pieces that fit: the least of the model's, the tokenizer's and the wanted window."""
        return window_of(self.model, self.tokenizer, self.settings.max_length)

    def encode(self, examples: Sequence[Example]) -> Encoded:
        return encode(examples, self.tokenizer, window=self.window)

    def logits(self, encoded: Encoded, members: Ints, layout: Layout) -> torch.Tensor:
        """Outputs of the model for some examples in rows: (members, outputs), 32 bits."""
        import torch

        ids = [encoded.ids[i] for i in members]
        inputs = model_inputs(ids, layout, self.model, self.tokenizer)
        if encoded.types is not None:
            types = batching.filled([encoded.types[i] for i in members], layout, 0)
            inputs["token_type_ids"] = torch.from_numpy(types).to(self.model.device)
        with autocast(self.model.device, self.settings.precision):
            logits: torch.Tensor = self.model(**inputs).logits.float()
        return logits

    def outputs(self, encoded: Encoded) -> np.ndarray:
        """Outputs for all examples, in their order: float (examples, outputs)."""
        import torch

        self.model.eval()
        lengths = [len(ids) for ids in encoded.ids]
        out = np.zeros((len(lengths), cast(int, self.model.config.num_labels)), np.float32)
        # Without gradients a batch needs a fraction of the memory.
        for members in by_length(lengths, budget=4 * self.settings.batch_tokens):
            layout = padded([lengths[i] for i in members])
            with torch.inference_mode():
                out[members] = self.logits(encoded, members, layout).cpu().numpy()
        return out

    def predict(
        self, examples: Sequence[Example], encoded: Encoded | None = None
    ) -> list[Answer]:
        """An answer for every example; the examples' own are not looked at."""
        return self.answers(self.outputs(encoded or self.encode(examples)))

    def answers(self, outputs: np.ndarray) -> list[Answer]:
        """What outputs (examples, outputs) mean: the best label; of several each that is more
        likely than not; or the score."""
        labels = self.task.labels
        if self.task.answer == "label":
            return [labels[i] for i in outputs.argmax(-1)]
        if self.task.answer == "labels":
            return [
                tuple(label for label, value in zip(labels, row, strict=True) if value > 0)
                for row in outputs
            ]
        mean, spread = self.scale
        return [float(value) * spread + mean for value in outputs[:, 0]]

    def targets(self, examples: Sequence[Example]) -> np.ndarray:
        """What the outputs should be: int64 (examples,) of labels, else float32 (examples,
        outputs)."""
        labels = self.task.labels
        if self.task.answer == "label":
            return np.array([labels.index(str(e.answer)) for e in examples], np.int64)
        if self.task.answer == "labels":
            rows = [[label in labels_of(e.answer) for label in labels] for e in examples]
            return np.array(rows, np.float32)
        mean, spread = self.scale
        scores = [[(number_of(e.answer) - mean) / spread] for e in examples]
        return np.array(scores, np.float32)

    def loss(self, logits: torch.Tensor, targets: np.ndarray) -> torch.Tensor:
        """The mean over the examples of a batch: cross-entropy, of each label of a set, or squared
        error; no label has a weight of its own. A batch has fewer texts the longer they are."""
        import torch

        losses: dict[str, Callable[..., torch.Tensor]] = {
            "label": torch.nn.functional.cross_entropy,
            "labels": torch.nn.functional.binary_cross_entropy_with_logits,
            "score": torch.nn.functional.mse_loss,
        }
        return losses[self.task.answer](logits, torch.from_numpy(targets).to(logits.device))


def load_classifier(
    folder: str | Path, task: Task, *, settings: TaskSettings | None = None
) -> Classifier:
    """A fine-tuned classifier from the ``model`` folder that ``tasks.save`` wrote, on the CPU.

    Raises:
        FileNotFoundError: no model in the folder.
        ValueError: a model of another task.
    """
    from transformers import AutoModelForSequenceClassification

    model, tokenizer, labels = load_fine_tuned(folder, AutoModelForSequenceClassification)
    problem = model.config.problem_type
    if labels != (task.labels or SCORE) or problem != PROBLEMS[task.answer]:
        raise ValueError(f"{folder} answers {', '.join(labels)}, which is not task {task.name}")
    mean, spread = getattr(model.config, "score_scale", None) or (0.0, 1.0)
    return Classifier(model, tokenizer, task, settings or TaskSettings(), (mean, spread))


def classifier_on(
    model: str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase], task: Task, *, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A classifier for a task with the encoder of a folder, or of a model in memory.

    A masked language model has no pooler, so where the architecture wants one it is new, like the
    head. Errors are those of ``fitting.head_on``.
    """
    from transformers import AutoModelForSequenceClassification

    return head_on(
        model, task.labels or SCORE, AutoModelForSequenceClassification, seed=seed,
        new=("pooler",), problem_type=PROBLEMS[task.answer],
    )  # fmt: skip
