"""A masked language model of one layer that is used several times, each time with adapters of its
own, over a factorised embedding: MiniALBERT (Nouriborji et al., 2023; Rohanian et al., 2024).

A row of the embedding table has E units instead of H, and one linear map widens it (Lan et al.,
2020, section 3.1); the layer is shared by all passes (the same section); a pass differs from the
others by two adapters, each of two small matrices around a bend (Houlsby et al., 2019, section
2.1). Places and sizes are those of the authors' code: one adapter before attention and one before
the feed-forward part, each with a layer norm of its own. The layer is BERT's. The head is ours: it
goes back to E units and ends in the table of embeddings, where theirs has a table of its own.

It is loaded and saved like every other model; Transformers knows it once this module is imported.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput, TokenClassifierOutput
from transformers.models.bert.modeling_bert import BertLayer


class MiniAlbertConfig(PreTrainedConfig):
    """Sizes: as ``BertConfig``, with ``embedding_size`` E, ``adapter_size``, and
    ``num_hidden_layers`` passes."""

    model_type = "bioptimus_mini_albert"

    def __init__(
        self,
        *,
        vocab_size: int = 28_996,
        embedding_size: int = 312,
        hidden_size: int = 768,
        num_hidden_layers: int = 6,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        adapter_size: int = 48,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int | None = 0,
        tie_word_embeddings: bool = True,
        **others: Any,
    ) -> None:
        self.vocab_size, self.embedding_size = vocab_size, embedding_size
        self.hidden_size, self.num_hidden_layers = hidden_size, num_hidden_layers
        self.num_attention_heads, self.intermediate_size = num_attention_heads, intermediate_size
        self.adapter_size, self.hidden_act = adapter_size, hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings, self.type_vocab_size = (
            max_position_embeddings,
            type_vocab_size,
        )
        self.initializer_range, self.layer_norm_eps = initializer_range, layer_norm_eps
        self.is_decoder, self.add_cross_attention = False, False  # BertLayer asks
        others |= {"pad_token_id": pad_token_id, "tie_word_embeddings": tie_word_embeddings}
        super().__init__(**others)


class Embeddings(nn.Module):
    """Ids (B, T) to float (B, T, H), through E units."""

    def __init__(self, config: MiniAlbertConfig) -> None:
        super().__init__()
        size = config.embedding_size
        self.word_embeddings = nn.Embedding(config.vocab_size, size, config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.widen = nn.Linear(size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        rows = self.word_embeddings(input_ids) + self.position_embeddings(position_ids)
        rows = self.LayerNorm(rows + self.token_type_embeddings(token_type_ids))
        found: torch.Tensor = self.widen(self.dropout(rows))
        return found


class Adapter(nn.Module):
    """What two small matrices around a bend add to a state, and a layer norm: (…, H) to (…, H)."""

    def __init__(self, config: MiniAlbertConfig) -> None:
        super().__init__()
        self.down = nn.Linear(config.hidden_size, config.adapter_size)
        self.bend = ACT2FN[config.hidden_act]
        self.up = nn.Linear(config.adapter_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.LayerNorm(states + self.up(self.bend(self.down(states))))
        return found


class Pass(nn.Module):
    """One use of the shared layer, which is given, with the two adapters of this pass."""

    def __init__(self, config: MiniAlbertConfig) -> None:
        super().__init__()
        self.before_attention = Adapter(config)
        self.before_feed_forward = Adapter(config)

    def forward(
        self, shared: BertLayer, states: torch.Tensor, attention: torch.Tensor | None
    ) -> torch.Tensor:
        states = shared.attention(self.before_attention(states), attention)[0]
        found: torch.Tensor = shared.feed_forward_chunk(self.before_feed_forward(states))
        return found


class Encoder(nn.Module):
    """The shared layer and its passes."""

    def __init__(self, config: MiniAlbertConfig) -> None:
        super().__init__()
        self.shared = BertLayer(config)
        # Not a ModuleList: that is how one finds layers with weights of their own.
        self.passes = nn.ModuleDict({str(i): Pass(config) for i in range(config.num_hidden_layers)})

    @property
    def layer(self) -> list[nn.Module]:
        """The passes in order, under the name that layers have in BERT."""
        return list(self.passes.values())

    def forward(self, states: torch.Tensor, attention: torch.Tensor | None) -> torch.Tensor:
        for one in self.layer:
            states = one(self.shared, states, attention)
        return states


class MiniAlbertPreTrainedModel(PreTrainedModel):
    """What the models have in common."""

    config_class = MiniAlbertConfig
    base_model_prefix = "mini_albert"
    _supports_sdpa = True


class MiniAlbertModel(MiniAlbertPreTrainedModel):
    """The encoder: ids and attention mask, int64 (B, T), to hidden states (B, T, H).

    A mask of (B, 1, T, T), true or 0 where a position may look at another, is taken as it is.
    """

    def __init__(self, config: MiniAlbertConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = cast(nn.Embedding, value)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> BaseModelOutput | tuple[Any, ...]:
        states = self.embeddings(input_ids, token_type_ids, position_ids)
        if attention_mask is not None and attention_mask.ndim == 2:
            # 0 for what is looked at, as low as can be for padding; four dimensions say it already
            unseen = attention_mask[:, None, None, :] == 0
            attention_mask = torch.zeros(unseen.shape, dtype=states.dtype, device=states.device)
            attention_mask = attention_mask.masked_fill(unseen, torch.finfo(states.dtype).min)
        output = BaseModelOutput(last_hidden_state=self.encoder(states, attention_mask))
        return output if return_dict else output.to_tuple()


class MiniAlbertHead(nn.Module):
    """Hidden states (…, H) to logits (…, V): back to E units, then against the table itself."""

    def __init__(self, config: MiniAlbertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.embedding_size)
        self.bend = ACT2FN[config.hidden_act]
        self.LayerNorm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.embedding_size, config.vocab_size)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.decoder(self.LayerNorm(self.bend(self.dense(states))))
        return logits


class MiniAlbertForTask(MiniAlbertPreTrainedModel):
    """The encoder with an answer to its states; a subclass says which, and may price it otherwise.

    The answer is logits (…, C), the price the cross-entropy with labels (…).
    """

    output: type[MaskedLMOutput | TokenClassifierOutput] = TokenClassifierOutput

    def __init__(self, config: MiniAlbertConfig) -> None:
        super().__init__(config)
        self.mini_albert = MiniAlbertModel(config)

    def answer(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of the hidden states (B, T, H)."""
        raise NotImplementedError

    def price(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of logits, a number."""
        return nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.flatten())

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> MaskedLMOutput | TokenClassifierOutput | tuple[Any, ...]:
        found = self.mini_albert(input_ids, attention_mask, token_type_ids, position_ids)
        logits = self.answer(found.last_hidden_state)
        loss = None if labels is None else self.price(logits, labels)
        output = self.output(loss=loss, logits=logits)
        return output if return_dict else output.to_tuple()


class MiniAlbertForMaskedLM(MiniAlbertForTask):
    """The encoder and its head, whose matrix is the table of embeddings."""

    output = MaskedLMOutput
    _tied_weights_keys = {
        "head.decoder.weight": "mini_albert.embeddings.word_embeddings.weight"
    }  # fmt: skip

    def __init__(self, config: MiniAlbertConfig) -> None:
        super().__init__(config)
        self.head = MiniAlbertHead(config)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.head.decoder

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.head.decoder = cast(nn.Linear, value)

    def answer(self, states: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(states)
        return logits


class MiniAlbertClassifier(MiniAlbertForTask):
    """The encoder with a new linear layer on what a subclass picks of its states."""

    def __init__(self, config: MiniAlbertConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, cast(int, config.num_labels))
        self.post_init()

    def pick(self, states: torch.Tensor) -> torch.Tensor:
        """What is classified of the hidden states (B, T, H)."""
        raise NotImplementedError

    def answer(self, states: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(self.dropout(self.pick(states)))
        return logits

    def price(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.config.num_labels == 1:
            return nn.functional.mse_loss(logits.flatten(), labels.flatten().to(logits.dtype))
        return super().price(logits, labels)


class MiniAlbertForTokenClassification(MiniAlbertClassifier):
    """Logits (B, T, labels), one row for each piece."""

    def pick(self, states: torch.Tensor) -> torch.Tensor:
        return states


class MiniAlbertForSequenceClassification(MiniAlbertClassifier):
    """Logits (B, labels), from the state of ``[CLS]``; with one label the loss is a squared error,
    as in Transformers."""

    def pick(self, states: torch.Tensor) -> torch.Tensor:
        return states[:, 0]


AutoConfig.register(MiniAlbertConfig.model_type, MiniAlbertConfig, exist_ok=True)
for auto, model in (
    (AutoModel, MiniAlbertModel),
    (AutoModelForMaskedLM, MiniAlbertForMaskedLM),
    (AutoModelForTokenClassification, MiniAlbertForTokenClassification),
    (AutoModelForSequenceClassification, MiniAlbertForSequenceClassification),
):
    auto.register(MiniAlbertConfig, model, exist_ok=True)
