"""A model as an ONNX file: written, held against PyTorch, made small, and run without it.

A file that was only written has proved nothing. So ``exported`` asks both the same questions, in
rows of all shapes that the file promises, and refuses a file whose logits are others. The copy in
8 bits (dynamic quantisation: weights are rounded once, activations batch by batch) does answer
otherwise; what that costs is measured and stands beside it.

The packages are an extra, ``release``. PyTorch's exporter of today (``dynamo=True``) is used, not
the older one that goes through TorchScript.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

FILE, SMALL = "model.onnx", "model-int8.onnx"
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "logits"
TOLERANCE = 1e-4  # of the largest logit: the order of sums differs, and 32 bits have 7 digits
NEEDED = ("onnx", "onnxscript", "onnxruntime")
#: Rows and positions that are tried: one piece, full windows, padding of several lengths.
SHAPES = ((1, 1), (1, 3), (1, None), (3, 17), (8, 40))

Batch = Mapping[str, "torch.Tensor"]


class Gap(NamedTuple):
    """The largest difference of two models' logits, and the largest logit of the first."""

    difference: float
    largest: float

    @property
    def relative(self) -> float:
        """The difference as a share of the largest logit."""
        return self.difference / max(self.largest, 1e-9)


def check_installed() -> None:
    """ModuleNotFoundError, with what to do, unless the packages of the extra are there."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"ONNX needs {', '.join(missing)}: pip install 'bioptimus-lib[release]'"
        )


# --- a file that answers -----------------------------------------------------------------------


class OnnxModel:
    """A file of ONNX in the place of a model: tensors in, an object with ``logits`` out.

    It runs on the CPU with as many threads as torch has when it is opened.

    Args:
        file: as ``exported`` writes it.
        config: of the model that it was made from.

    Raises:
        FileNotFoundError: no such file.
        ModuleNotFoundError: the extra is not installed.
    """

    def __init__(self, file: str | Path, config: PreTrainedConfig) -> None:
        check_installed()
        import onnxruntime
        import torch

        if not Path(file).is_file():
            raise FileNotFoundError(f"no file {file}: make it with 'bioptimus release --onnx'")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        self.config, self.device, self.training = config, torch.device("cpu"), False

    def eval(self) -> OnnxModel:
        """Itself: it cannot be trained."""
        return self

    def __call__(self, **inputs: torch.Tensor) -> Any:
        import torch

        given = {name: inputs[name].numpy() for name in INPUTS}
        return SimpleNamespace(logits=torch.from_numpy(self.session.run([OUTPUT], given)[0]))


# --- writing -----------------------------------------------------------------------------------


def write(model: PreTrainedModel, file: Path) -> None:
    """A model as ONNX, rows and positions free up to the model's window; on the CPU, in 32 bits."""
    import torch

    class Plain(torch.nn.Module):
        """Logits, and nothing else, from ids and mask."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            answer = self.inner(input_ids=input_ids, attention_mask=attention_mask)
            logits: torch.Tensor = answer.logits
            return logits

    ids = torch.full((2, 8), model.config.pad_token_id or 0)
    free = {0: torch.export.Dim("rows"),
            1: torch.export.Dim("positions", max=model.config.max_position_embeddings)}  # fmt: skip
    with _quiet():
        torch.onnx.export(
            Plain().eval(), (ids, torch.ones_like(ids)), str(file), dynamo=True,
            input_names=INPUTS, output_names=[OUTPUT], dynamic_shapes=dict.fromkeys(INPUTS, free),
            external_data=False, verbose=False,
        )  # fmt: skip


def shrink(
    file: Path, small: Path, *, embeddings: bool = False, all_bits: bool = False
) -> None:
    """A copy whose matrices are of 8 bits, with a scale for each column.

    Args:
        file, small: what is read, and what is written.
        embeddings: round them, too; in the release they have 32 bits, since it changes many first
            guesses of a masked model (chapter 17 shows it).
        all_bits: use all eight. In the release one is left unused: CPUs without VNNI overflow with
            all of them, in silence, and a release goes to machines that nobody knows.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            str(file), str(small), weight_type=QuantType.QInt8, per_channel=True,
            op_types_to_quantize=["MatMul", *(["Gather"] if embeddings else [])],
            reduce_range=not all_bits,
        )  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the packages from talking about what is theirs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# --- are they the same? ------------------------------------------------------------------------


def questions(
    model: PreTrainedModel | OnnxModel, tokenizer: PreTrainedTokenizerBase, *, seed: int = 0
) -> list[Batch]:
    """Batches of random pieces in all ``SHAPES``; each row of a batch is a little shorter than the
    one before, and padded."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    window = min(model.config.max_position_embeddings, tokenizer.model_max_length)
    batches: list[Batch] = []
    for rows, length in SHAPES:
        length = min(length or window, window)
        ids = torch.randint(len(tokenizer), (rows, length), generator=generator)
        mask = torch.ones_like(ids)
        for row in range(rows):
            mask[row, max(1, length - 2 * row) :] = 0
        ids[mask == 0] = tokenizer.pad_token_id
        batches.append({"input_ids": ids, "attention_mask": mask})
    return batches


def gap(one: Any, other: Any, batches: Sequence[Batch]) -> Gap:
    """How far apart two models' logits are, wherever there is text."""
    import torch

    worst, largest = 0.0, 0.0
    with torch.inference_mode():
        for batch in batches:
            there = batch["attention_mask"].bool()
            mine, theirs = (model(**batch).logits[there] for model in (one, other))
            difference = (mine - theirs).abs().max()
            worst = max(worst, float("inf") if difference.isnan() else float(difference))
            largest = max(largest, float(mine.abs().max()))
    return Gap(worst, largest)


def exported(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path
) -> dict[str, Any]:
    """Write ``model.onnx``, checked, and ``model-int8.onnx``, measured, into a folder.

    Returns:
        What was found: ``difference`` and ``largest_logit`` of the first, ``int8_difference`` of
        the second, over the same batches; ``tolerance``, a share of the largest logit.

    Raises:
        ModuleNotFoundError: the extra is not installed.
        ValueError: the file answers otherwise than PyTorch; it is taken away.
    """
    check_installed()
    model = model.cpu().eval()
    file, small = Path(folder) / FILE, Path(folder) / SMALL
    write(model, file)
    batches = questions(model, tokenizer)
    found = gap(model, OnnxModel(file, model.config), batches)
    if not found.relative <= TOLERANCE:
        file.unlink()
        raise ValueError(
            "the ONNX file answers otherwise than PyTorch: logits differ by "
            f"{found.difference:.3g} of {found.largest:.3g}, more than {TOLERANCE:g} of it. "
            "No file is kept"
        )
    shrink(file, small)
    rounded = gap(model, OnnxModel(small, model.config), batches)
    return {
        "tolerance": TOLERANCE, "difference": found.difference, "largest_logit": found.largest,
        "int8_difference": rounded.difference,
    }  # fmt: skip
