"""A forward pass that stops after some layers, and what these layers gave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of ids as one batch: ids and attention mask, both int64 (B, T)."""
    lengths = torch.tensor([len(row) for row in rows])
    attention = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.full(attention.shape, pad)
    ids[attention] = torch.tensor(list(chain.from_iterable(rows)))
    return ids, attention.long()


@contextmanager
def only_layers(model: PreTrainedModel, depth: int) -> Iterator[None]:
    """Let the encoder run its first ``depth`` layers only, without dropout."""
    encoder: Any = model.base_model.encoder
    training = model.training
    layers = encoder.layer
    model.eval()  # also the layers above, which layer_at may need
    encoder.layer = layers[:depth]
    try:
        yield
    finally:
        encoder.layer = layers
        model.train(training)


def layer_at(
    layer: Any, states: torch.Tensor, attention: torch.Tensor, places: torch.Tensor
) -> torch.Tensor:
    """What a BERT layer gives at some places, without computing the others.

    A piece looks at all pieces, so their keys and values are needed; the query, the projection and
    the feed-forward part, most of a layer's work, are needed only where something is read.

    Args:
        layer: of BERT's encoder, in evaluation mode.
        states: what goes in, float (B, T, H).
        attention: 1 for pieces, 0 for padding, int64 (B, T).
        places: positions wanted in each row, int64 (B, R).

    Returns:
        Float (B, R, H).
    """
    looking = layer.attention.self
    asking = states[torch.arange(len(places), device=places.device)[:, None], places]
    query, key, value = (
        part(some).unflatten(-1, (looking.num_attention_heads, -1)).transpose(1, 2)
        for part, some in (
            (looking.query, asking), (looking.key, states), (looking.value, states)
        )
    )  # fmt: skip
    seen = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention[:, None, None, :].bool()
    )
    mixed = layer.attention.output(seen.transpose(1, 2).flatten(2), asking)
    found: torch.Tensor = layer.output(layer.intermediate(mixed), mixed)
    return found


@contextmanager
def recorded(model: PreTrainedModel) -> Iterator[list[torch.Tensor]]:
    """A list to which each pass adds the embeddings' output and that of each layer, (B, T, H).

    Transformers' own ``output_hidden_states`` marks the layers to record at its first use and
    never again: used first on a shortened model, it would leave later users states of the wrong
    layers.
    """
    output: list[torch.Tensor] = []

    def record(_module: torch.nn.Module, _inputs: Any, found: Any) -> None:
        output.append(found[0] if isinstance(found, tuple) else found)

    encoder: Any = model.base_model
    stack: Any = getattr(encoder, "transformer", None) or getattr(encoder, "encoder", None)
    if not hasattr(stack, "layer") or not hasattr(encoder, "embeddings"):
        raise ValueError(f"{type(model).__name__} cannot be read layer by layer: it is not as BERT")
    with _hooks((encoder.embeddings, *stack.layer), record):
        yield output


@contextmanager
def attended(
    model: PreTrainedModel, layers: Collection[int] | None = None
) -> Iterator[list[torch.Tensor | None]]:
    """A list to which a pass adds the attention probabilities of each layer, (B, A, T, T).

    In training they are those that dropout leaves. A layer that is used several times adds a map
    each time.

    Args:
        model: whose attention is ``eager``.
        layers: whose maps are kept, counted from 0; the others are None, and take no memory. All
            by default.

    Raises:
        ValueError: it attends in another way, which makes no maps.
    """
    if (kind := model.config._attn_implementation) != "eager":
        raise ValueError(
            f"the model attends by {kind}, which makes no attention maps: call "
            "model.set_attn_implementation('eager') before"
        )
    output: list[torch.Tensor | None] = []

    def record(_module: torch.nn.Module, _inputs: Any, found: Any) -> None:
        output.append(found[1] if layers is None or len(output) in layers else None)

    parts = [p for p in model.base_model.modules() if type(p).__name__.endswith("SelfAttention")]
    with _hooks(parts, record):
        yield output


@contextmanager
def _hooks(parts: Sequence[torch.nn.Module], record: Callable[..., None]) -> Iterator[None]:
    hooks = [part.register_forward_hook(record) for part in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
