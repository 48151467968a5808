"""Masked language models on disk and on devices: safetensors only, 32 bits in memory, checked."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_dir

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_Module = TypeVar("_Module", bound="torch.nn.Module")

log = logging.getLogger(__name__)


@contextmanager
def no_bars() -> Iterator[None]:
    """Keep Transformers' progress bars quiet: a small model loads before one could be read."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def no_report() -> Iterator[None]:
    """Keep Transformers from printing its table of weights: what matters of it we say ourselves."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def load_fine_tuned(
    folder: str | Path, kind: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, tuple[str, ...]]:
    """(model, tokenizer, what its outputs stand for) of a fine-tuned model, in 32 bits, on the CPU.

    Args:
        kind: an ``AutoModelFor…`` class, which knows the head.

    Raises:
        FileNotFoundError: no model in the folder.
    """
    import torch
    from transformers import AutoTokenizer

    from bioptimus_lib import mini_albert  # noqa: F401  (Transformers learns its name)

    if not (Path(folder) / "config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no model (no config.json)")
    with no_bars():
        model = kind.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
    labels = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return place(model, "cpu").eval(), tokenizer, labels


def load_masked_lm(
    folder: str | Path, *, needs_head: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a masked language model and its tokenizer from a folder, in 32 bits.

    An encoder that was published without its MLM head gets a random one, with a warning; or it is
    an error, if the head is needed.

    Raises:
        FileNotFoundError: no such folder, or one without ``config.json``.
        DataError: no safetensors, weights of the encoder that are missing or no numbers, a
            tokenizer of another size, or no head where it is needed.
    """
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from bioptimus_lib import mini_albert  # noqa: F401  (Transformers learns its name)

    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no model (no config.json)")
    if not any(folder.glob("*.safetensors")):
        raise DataError(
            "the model has no safetensors file, and pickles are not loaded: convert it first",
            path=folder,
        )
    with no_bars(), no_report():
        model, found = AutoModelForMaskedLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True,
            output_loading_info=True,
        )  # fmt: skip
    missing = sorted(found["missing_keys"])
    if inner := [name for name in missing if name.startswith(f"{model.base_model_prefix}.")]:
        raise DataError(f"the model lacks weights of its encoder, {inner[0]} first", path=folder)
    if missing and needs_head:
        raise DataError(
            f"the model has no MLM head ({missing[0]} is missing), and its guesses are needed: "
            "give a model that was trained to guess masked pieces",
            path=folder,
        )
    if missing:
        _say_no_head(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if len(tokenizer) != model.config.vocab_size:
        raise DataError(
            f"the tokenizer has {len(tokenizer)} pieces, the model {model.config.vocab_size}",
            path=folder,
        )
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise DataError(f"{name} holds NaN or infinite numbers", path=folder)
    return model, tokenizer


@cache
def _say_no_head(folder: Path) -> None:
    """Once is enough, however often a model is loaded."""
    log.warning("%s comes without its MLM head: a random one is in its place", folder)


def random_masked_lm(
    folder: str | Path, tokenizer: PreTrainedTokenizerBase, *, seed: int = 0
) -> PreTrainedModel:
    """A masked language model in the shape of the one in a folder, for a tokenizer's pieces: its
    weights are random, the same for the same seed. The process's random numbers go on as if never
    used."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    config.vocab_size, config.pad_token_id = len(tokenizer), tokenizer.pad_token_id
    return masked_lm_of(config, seed=seed)


def masked_lm_of(config: PreTrainedConfig, *, seed: int = 0) -> PreTrainedModel:
    """A masked language model of a configuration, with random weights, the same for the same seed.
    The process's random numbers go on as if never used."""
    import torch
    from transformers import AutoModelForMaskedLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForMaskedLM.from_config(config).eval()
    return model


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | Path,
    *,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a model and its tokenizer as safetensors, whole or not at all; returns the folder.

    ``dtype`` stores the weights in another precision; the model in memory keeps its own.
    """
    state = None
    if dtype is not None:
        # Tied weights share their memory, before and after: they are written once.
        stored = {value.data_ptr(): value.to(dtype) for value in model.state_dict().values()}
        state = {name: stored[value.data_ptr()] for name, value in model.state_dict().items()}
    with no_bars(), atomic_dir(folder) as temporary:
        model.save_pretrained(temporary, state_dict=state, safe_serialization=True)
        tokenizer.save_pretrained(temporary)
    return Path(folder)


def place(model: PreTrainedModel, device: torch.device | str) -> PreTrainedModel:
    """Move a model to a device, and let it attend as is fastest there; returns the model.

    On a GPU that is PyTorch's fused kernel. On a CPU it is plain matrix products: the fused kernel
    saves memory that short texts do not need, and its backward pass costs more than it saves (a
    training step of pocket BERT, 16 × 128 pieces on two cores: 147 ms with it, 103 ms without).
    """
    import torch

    plain = torch.device(device).type == "cpu"
    model.set_attn_implementation("eager" if plain else "sdpa")
    return moved(model, device)


def moved(model: _Module, device: torch.device | str) -> _Module:
    """The model, moved to a device as it is. (The type of Transformers' own ``to`` is that of a
    bare function, which cannot be called on a model.)"""
    return model.to(device)


@contextmanager
def moved_to(model: PreTrainedModel, device: torch.device | str) -> Iterator[None]:
    """A model on a device for a while; it comes back, whatever happens there."""
    home = model.device
    moved(model, device)
    try:
        yield
    finally:
        moved(model, home)


def check_device(device: str | None, precision: str = "auto") -> str:
    """``cpu`` or ``cuda``, which None leaves to the machine.

    Raises:
        ValueError: there is no GPU, or it is asked for what the device cannot do.
    """
    import torch

    if device not in (None, "cpu", "cuda"):
        raise ValueError(f"device {device!r} is unknown: choose cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, and PyTorch sees no GPU: take cpu")
    found = "cpu" if device == "cpu" or not torch.cuda.is_available() else "cuda"
    if found == "cpu" and precision == "fp16":
        raise ValueError("precision fp16 is for GPUs: take fp32, bf16 or auto on a CPU")
    return found


def input_table(model: PreTrainedModel) -> torch.nn.Parameter:
    """The input embeddings, float (V, H): the weights themselves, no copy."""
    return cast("torch.nn.Parameter", model.get_input_embeddings().weight)


def precision_for(device: torch.device | str, precision: str = "auto") -> str:
    """What ``auto`` means on a device: bf16 where it is fast, fp16 on older GPUs, else fp32.

    A T4 reports bf16 support but only emulates it, hence the look at its compute capability.
    """
    import torch

    if precision != "auto":
        return precision
    if torch.device(device).type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"
    if torch.device(device).type == "cpu" and platform.machine() in ("x86_64", "AMD64"):
        # Not a public name of torch: where it is missing, 32 bits are right, if slower.
        fast = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        return "bf16" if fast() else "fp32"
    return "fp32"


def autocast(device: torch.device | str, precision: str = "auto") -> torch.autocast:
    """Mixed precision as ``precision_for`` has it, as a context manager."""
    import torch

    kind = precision_for(device, precision)
    dtype = torch.float16 if kind == "fp16" else torch.bfloat16
    return torch.autocast(torch.device(device).type, dtype, enabled=kind != "fp32")
