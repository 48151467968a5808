"""Stable fine-tuning: which layers learn, how fast each of them, and where they begin.

A fine-tuning on few sentences depends on its seed. What is done about it changes either the model
before the first step, the groups of parameters that the optimiser is given, or the number of steps.
Each is a small function for encoders of any depth; a ``Recipe`` puts them together, and is what
``ner.fine_tune`` takes. ``REMEDIES`` are the recipes that the course compares.

References:
    Tinn et al., Patterns 4 (4), 2023: frozen lower layers, layer-wise decay and re-initialised top
    layers for biomedical tasks. Their values were not at hand: those of ``REMEDIES`` are ours.
    Zhang et al., ICLR 2021: bias correction, re-initialised layers and more steps.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from bioptimus_lib.fitting import FitSettings, adamw, decay_groups

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Group = dict[str, Any]
S = TypeVar("S", bound=FitSettings)

# --- levels ------------------------------------------------------------------------------------


def encoder_layers(model: PreTrainedModel) -> torch.nn.ModuleList:
    """The layers of an encoder, the lowest first.

    Raises:
        ValueError: the model has no list of layers, or its layers share their weights.
    """
    import torch

    depth = getattr(model.config, "num_hidden_layers", None)
    for module in model.base_model.modules():
        if depth and isinstance(module, torch.nn.ModuleList) and len(module) == depth:
            return module
    raise ValueError(
        f"{type(model).__name__} has no list of {depth} encoder layers with weights of their own: "
        "what is done layer by layer needs an encoder like BERT"
    )


def levels(model: PreTrainedModel) -> dict[str, int]:
    """Level of each parameter: 0 for embeddings, 1 to L for layers, L + 1 for what is above."""
    layers = encoder_layers(model)
    of = {id(p): level for level, layer in enumerate(layers, 1) for p in layer.parameters()}
    encoder = {id(p) for p in model.base_model.parameters()}
    found: dict[str, int] = {}
    below = True  # an encoder names its embeddings before its layers, a last norm after them
    for name, parameter in model.named_parameters():
        below = below and id(parameter) not in of
        top = 0 if below and id(parameter) in encoder else len(layers) + 1
        found[name] = of.get(id(parameter), top)
    return found


# --- remedies ----------------------------------------------------------------------------------


def freeze_lower(model: PreTrainedModel, k: int, *, embeddings: bool = True) -> list[str]:
    """Keep the lowest ``k`` layers as they are, in place; returns the names of what is frozen.

    Args:
        k: layers; 0 freezes nothing.
        embeddings: freeze the embeddings below them, too.

    Raises:
        ValueError: the model has fewer layers.
    """
    _check_layers("freeze", k, len(encoder_layers(model)))
    lowest = 0 if embeddings else 1
    frozen = [name for name, level in levels(model).items() if k and lowest <= level <= k]
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    return frozen


def layer_decay(model: PreTrainedModel, settings: FitSettings, decay: float) -> list[Group]:
    """The usual groups, with a learning rate that falls by a factor from level to level, downwards.

    The head keeps its rate, the top layer has ``decay`` of it, the embeddings
    ``decay ** (layers + 1)``. Weight decay is as in ``decay_groups``; what is frozen is left out.

    Raises:
        ValueError: ``decay`` is not above 0 and at most 1.
    """
    _check_decay(decay)
    if decay == 1:  # the same for every level, also of a model that has none
        return decay_groups(model, settings)
    level = {id(model.get_parameter(name)): n for name, n in levels(model).items()}
    head = len(encoder_layers(model)) + 1
    groups: list[Group] = []
    for group in decay_groups(model, settings):
        for depth in range(head + 1):
            some = [p for p in group["params"] if head - level[id(p)] == depth]
            if some:
                groups.append({**group, "params": some, "lr": group["lr"] * decay**depth})
    return groups


def reinit_top(model: PreTrainedModel, n: int, *, seed: int = 0) -> list[str]:
    """Begin the top ``n`` layers anew, in place, with what a new model of the same kind would have;
    returns the names of their parameters.

    The new weights depend on the seed alone, also the same for every ``n``, and no other random
    number of the process changes.

    Raises:
        ValueError: the model has fewer layers.
    """
    import torch

    layers = encoder_layers(model)
    _check_layers("reinit", n, len(layers))
    if not n:
        return []
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        fresh = encoder_layers(type(model)(copy.deepcopy(model.config)))
    lowest = len(layers) - n
    for layer, new in zip(layers[lowest:], fresh[lowest:], strict=True):
        layer.load_state_dict(new.state_dict())
    return [name for name, level in levels(model).items() if lowest < level <= len(layers)]


# --- checks ------------------------------------------------------------------------------------


def _check_layers(name: str, number: int, depth: int) -> None:
    if not 0 <= number <= depth:
        raise ValueError(f"{name} is {number}, the model has {depth} layers: give 0 to {depth}")


def _check_decay(decay: float) -> None:
    if not 0 < decay <= 1:
        raise ValueError(f"decay is {decay}, it must be above 0 and at most 1")


# --- recipes -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """What is changed in a fine-tuning; as it is, nothing is.

    Args:
        freeze: lower layers that do not learn, and with them the embeddings; 0 for none.
        decay: factor of the learning rate from each level to the one below.
        reinit: top layers that begin anew; their weights follow from the seed of the settings.
        longer: times as many epochs.
        corrected: Adam's averages are corrected for their start at zero. ``False`` is no remedy
            but the fault of BERT's first optimiser, to look at.
    """

    freeze: int = 0
    decay: float = 1.0
    reinit: int = 0
    longer: float = 1
    corrected: bool = True

    def __post_init__(self) -> None:
        for name in ("freeze", "reinit"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give 0 or more layers")
        if not self.longer > 0:
            raise ValueError(f"longer is {self.longer}, it must be above 0")
        _check_decay(self.decay)

    def settings(self, settings: S) -> S:
        """The settings with the recipe's epochs, one at least."""
        return replace(settings, epochs=max(1, round(settings.epochs * self.longer)))

    def groups(self, model: PreTrainedModel, settings: FitSettings) -> list[Group]:
        """Change the model and give the groups of its parameters, as ``ner.fine_tune`` wants it.

        Raises:
            ValueError: more layers than the model has, or new layers that would never learn.
        """
        if self.freeze or self.reinit:
            depth = len(encoder_layers(model))
            for name in ("freeze", "reinit"):
                _check_layers(name, getattr(self, name), depth)
            if self.freeze + self.reinit > depth:
                raise ValueError(
                    f"freeze {self.freeze} and reinit {self.reinit} overlap: there are {depth} "
                    "layers, and one that begins anew must learn"
                )
            reinit_top(model, self.reinit, seed=settings.seed)
            freeze_lower(model, self.freeze)
        return layer_decay(model, settings, self.decay)

    def optimizer(self, groups: list[Group]) -> torch.optim.Optimizer:
        """AdamW for these groups, as ``ner.fine_tune`` wants it."""
        if self.corrected:
            return adamw(groups)
        from bioptimus_lib.bias_correction import UncorrectedAdamW

        return UncorrectedAdamW(groups)

    def changes(self) -> dict[str, Any]:
        """The fields that differ from a recipe that changes nothing.

        >>> Recipe(freeze=2).changes()
        {'freeze': 2}
        """
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }

    def __str__(self) -> str:
        words = {
            "freeze": "freeze {}", "decay": "decay {:g}", "reinit": "re-initialise {}",
            "longer": "{:g} × epochs", "corrected": "no bias correction",
        }  # fmt: skip
        return ", ".join(words[k].format(v) for k, v in self.changes().items()) or "plain"


#: What the course compares: each remedy alone, over its values. 0.75 brings the embeddings of four
#: layers to about the rate that 0.9 brings those of twelve to. The last two are no remedies.
REMEDIES: dict[str, Recipe] = {
    "plain": Recipe(),
    **{f"freeze-{k}": Recipe(freeze=k) for k in (1, 2, 3)},
    **{f"decay-{decay:g}": Recipe(decay=decay) for decay in (0.95, 0.9, 0.75)},
    **{f"reinit-{n}": Recipe(reinit=n) for n in (1, 2, 3)},
    "longer-2": Recipe(longer=2),
    "shorter": Recipe(longer=0.15),
    "uncorrected": Recipe(corrected=False),
}


def combine(recipes: Iterable[Recipe]) -> Recipe:
    """One recipe with the changes of several.

    Raises:
        ValueError: two of them change the same thing.

    >>> print(combine([Recipe(freeze=1), Recipe(longer=2)]))
    freeze 1, 2 × epochs
    """
    changes: dict[str, Any] = {}
    for recipe in recipes:
        if both := sorted(changes.keys() & recipe.changes()):
            raise ValueError(f"two recipes change {both[0]}: give one value of each")
        changes |= recipe.changes()
    return Recipe(**changes)
