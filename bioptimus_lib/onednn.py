"""Matrix products in 32 bits by oneDNN, for a forward pass on a CPU without gradients.

PyTorch leaves these products to MKL. On an AMD EPYC oneDNN, which PyTorch ships as well, was
measured at 2.2 times MKL's speed, and about as near to the product in 64 bits (relative, 3e-7).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def remember_less(kinds: int = 64) -> None:
    """Let oneDNN keep plans for fewer kinds of product than 1,024; call it before the first.

    Each length of a batch is a kind, and each plan holds memory: reading 60,000 sentences took
    half a gigabyte less, and no longer (pocket BERT). A fine-tuning, which meets the same lengths
    again in each epoch, was a tenth slower: so this is for processes that only read.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(kinds))


def product() -> Callable[..., torch.Tensor] | None:
    """oneDNN's linear layer, if this PyTorch has it: (input, weight, bias, what to do then …).

    Not a public name of torch: where it is missing, MKL is right, if slower.
    """
    if not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


@contextmanager
def by_onednn(model: PreTrainedModel, *, precision: str = "fp32") -> Iterator[None]:
    """Let the linear layers of an encoder compute by oneDNN, for inference; those with other
    numbers than 32-bit ones, or not on the CPU, stay as they are. Nothing changes in another
    precision, which is autocast's, nor in what only answers as a model does."""
    linear, changed = product(), []
    if linear is not None and precision == "fp32" and isinstance(model, torch.nn.Module):
        for module in model.base_model.modules():
            if type(module) is not torch.nn.Linear or module.weight.dtype != torch.float32:
                continue
            if module.weight.device.type == "cpu":
                # In its dictionary, where it hides the method of the class until it is deleted.
                module.__dict__["forward"] = partial(_apply, linear, module)
                changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _apply(
    linear: Callable[..., torch.Tensor], module: torch.nn.Linear, states: torch.Tensor
) -> torch.Tensor:
    return linear(states, module.weight, module.bias, "none", [], "")
