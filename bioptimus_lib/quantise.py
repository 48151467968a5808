"""Eight bits for a CPU: the linear layers of an encoder with integer weights."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bioptimus_lib.tagger import Tagger


def int8(model: PreTrainedModel) -> PreTrainedModel:
    """A copy for a CPU whose encoder multiplies by int8 weights (dynamic quantisation).

    Weights are rounded once, to 8 bits and a scale for each layer; what they are multiplied with is
    rounded batch by batch, so no data is needed beforehand. Embeddings stay in 32 bits, and so does
    the head, whose matrix is that of the embeddings. The copy can be run, not trained.

    Raises:
        ModuleNotFoundError: this torch has given up this kind of quantisation.
    """
    import torch

    # PyTorch has announced that it will move it to another package: this is the only place.
    quantise = getattr(getattr(torch.ao, "quantization", None), "quantize_dynamic", None)
    if quantise is None:
        raise ModuleNotFoundError(
            f"torch {torch.__version__} has no dynamic quantisation any more: take an earlier one"
        )
    small: PreTrainedModel = copy.deepcopy(model).cpu().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantise(small.base_model, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
    return small


def int8_tagger(tagger: Tagger) -> Tagger:
    """A tagger with its encoder in 8 bits, for a CPU.

    It computes what is left in 32 bits: layers of 8 bits take no halves, which a CPU that is fast
    with them would be given otherwise.
    """
    settings = replace(tagger.settings, precision="fp32")
    return replace(tagger, model=int8(tagger.model), settings=settings)
