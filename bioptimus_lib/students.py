"""Students: small models in the shape of a recipe, beside a teacher of any size.

A student begins with layers of its teacher, embeddings and head included, or at random.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bioptimus_lib.finetune import encoder_layers
from bioptimus_lib.models import masked_lm_of
from bioptimus_lib.recipes import Recipe, Shape, check_layers, scaled

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel


def shape_of(config: PreTrainedConfig) -> Shape:
    """The shape of a model of BERT's kind, by its configuration."""
    return Shape(
        config.num_hidden_layers,
        config.hidden_size,
        config.num_attention_heads,
        getattr(config, "intermediate_size", None) or config.hidden_dim,
    )


def parameters(model: torch.nn.Module) -> int:
    """Numbers that a model has learnt; a matrix that two parts share counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def at_full_size(recipe: Recipe, pieces: int) -> PreTrainedModel:
    """The model of a recipe at its published shape, without memory for its weights: it can be
    counted, not run.

    Args:
        recipe: a row of ``recipes.RECIPES``.
        pieces: of the vocabulary; 28,996 in BERT's cased one, 30,522 in its uncased one.
    """
    import torch
    from transformers import AutoModelForMaskedLM, BertConfig

    import bioptimus_lib.mini_albert  # noqa: F401  (Transformers learns its name)

    with torch.device("meta"):
        student: PreTrainedModel = AutoModelForMaskedLM.from_config(
            student_config(recipe, BertConfig(vocab_size=pieces))
        )
    return student


# -- configurations --------------------------------------------------------------------------------


def _bert(shape: Shape, common: dict[str, Any]) -> PreTrainedConfig:
    from transformers import BertConfig

    return BertConfig(**_sizes(shape), **common)


def _distilbert(shape: Shape, common: dict[str, Any]) -> PreTrainedConfig:
    from transformers import DistilBertConfig

    return DistilBertConfig(
        n_layers=shape.layers, dim=shape.hidden, n_heads=shape.heads,
        hidden_dim=shape.intermediate, **common,
    )  # fmt: skip


def _mobilebert(shape: Shape, common: dict[str, Any]) -> PreTrainedConfig:
    from transformers import MobileBertConfig

    widths = {"embedding_size": shape.embedding, "intra_bottleneck_size": shape.bottleneck}
    return MobileBertConfig(**_sizes(shape) | widths, **common)


def _mini_albert(shape: Shape, common: dict[str, Any]) -> PreTrainedConfig:
    from bioptimus_lib.mini_albert import MiniAlbertConfig

    widths = {"embedding_size": shape.embedding, "adapter_size": shape.adapter}
    return MiniAlbertConfig(**_sizes(shape) | widths, **common)


def _sizes(shape: Shape) -> dict[str, Any]:
    return {
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.hidden,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
    }


CONFIGURATIONS: dict[str, Callable[[Shape, dict[str, Any]], PreTrainedConfig]] = {
    "bert": _bert,
    "distilbert": _distilbert,
    "mobilebert": _mobilebert,
    "mini_albert": _mini_albert,
}


def student_config(recipe: Recipe, teacher: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of a recipe's student beside a teacher: a shape in proportion, the same
    vocabulary and positions.

    Beside a teacher of BERT-base's shape it is the published shape.
    """
    common = {
        name: getattr(teacher, name)
        for name in ("vocab_size", "max_position_embeddings", "pad_token_id")
    }
    shape = scaled(recipe.shape, shape_of(teacher))
    return CONFIGURATIONS[recipe.architecture](shape, common)


# -- first weights ---------------------------------------------------------------------------------


def random_student(
    recipe: Recipe, teacher: PreTrainedConfig, *, seed: int = 0
) -> PreTrainedModel:
    """A student with random weights, the same for the same seed. It is also how one makes a small
    general model to begin with, for the recipes that train one on."""
    return masked_lm_of(student_config(recipe, teacher), seed=seed)


def from_layers(
    teacher: PreTrainedModel, layers: Sequence[int], *, head: bool = True, seed: int = 0
) -> PreTrainedModel:
    """A student of some of a teacher's layers, with its embeddings and head (Sanh et al., 2019,
    section 3: a student of half of the layers takes one of two).

    Args:
        teacher: a masked language model whose layers have weights of their own.
        layers: counted from 0, in the order in which the student is to have them.
        head: copy the output layer, too. ``False`` leaves it random, but for the matrix that it
            shares with the embeddings: so the scripts of Rohanian et al. (2022) do, whose student
            must learn to read out anew what its layers can say already.
        seed: of what is random.

    Raises:
        ValueError: no such layer.
    """
    depth = len(encoder_layers(teacher))
    check_layers(layers, depth, "start layers")
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = len(layers)
    student = masked_lm_of(config, seed=seed)
    there, here = (f"{_path(model, encoder_layers(model))}." for model in (teacher, student))
    weights = teacher.state_dict()
    chosen = {k: v for k, v in weights.items() if not k.startswith(there)}
    if not head:
        inside = f"{teacher.base_model_prefix}."
        chosen = {k: v for k, v in chosen.items() if k.startswith(inside)}
    for new, old in enumerate(layers):
        prefix = f"{there}{old}."
        chosen |= {
            f"{here}{new}.{k.removeprefix(prefix)}": v
            for k, v in weights.items() if k.startswith(prefix)
        }  # fmt: skip
    student.load_state_dict(chosen, strict=head)
    return student


def student_of(
    recipe: Recipe,
    teacher: PreTrainedModel | None,
    *,
    start_layers: Sequence[int] | None = None,
    head: bool = True,
    seed: int = 0,
) -> PreTrainedModel:
    """The student of a recipe as it begins, beside its teacher.

    Args:
        recipe: whose start is ``teacher`` or ``random``.
        teacher: gives the shape, and the layers.
        start_layers: instead of the recipe's.
        head: see ``from_layers``.
        seed: of what is random.

    Raises:
        ValueError: the recipe trains another model on, or nothing is there to copy.
    """
    if recipe.continues:
        raise ValueError(
            f"{recipe.name} trains {recipe.start} on: give the folder of a small model as the start"
        )
    if teacher is None:
        raise ValueError(f"{recipe.name} is distilled: give its teacher")
    if recipe.start_layers is None:
        if start_layers is not None or not head:
            raise ValueError(f"{recipe.name} starts at random: it takes no layers and no head")
        return random_student(recipe, teacher.config, seed=seed)
    if start_layers is None:
        there = shape_of(teacher.config)
        start_layers = recipe.start_layers(scaled(recipe.shape, there).layers, there.layers)
    return from_layers(teacher, start_layers, head=head, seed=seed)


def _path(model: torch.nn.Module, module: torch.nn.Module) -> str:
    path: str = next(name for name, some in model.named_modules() if some is module)
    return path
