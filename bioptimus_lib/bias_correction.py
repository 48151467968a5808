"""Adam without bias correction, for a lesson: what it does to the first steps, and how large it is.

Adam divides a running mean of the gradient, m, by the root of a running mean of its square, v. Both
start at 0, so both are too small at first, and not by the same factor: v forgets more slowly. The
optimiser that came with BERT left the correction out: its first steps are several times too long.

References:
    Kingma and Ba, ICLR 2015, section 3; Mosbach et al., ICLR 2021; Zhang et al., ICLR 2021.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

BETAS = (0.9, 0.999)  # Adam's usual ones, of m and of v
LATE = 1e6  # after so many steps the correction is 1 in 32 bits, and the count still exact


class UncorrectedAdamW(torch.optim.AdamW):
    """AdamW that believes to be a million steps old: nothing is left to correct.

    The averages start at 0 as ever; in all else it is PyTorch's own.
    """

    def __init__(self, params: Iterable[Any], **settings: Any) -> None:
        super().__init__(params, **{"fused": True} | settings)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {
                    "step": torch.tensor(LATE, device=p.device if group["fused"] else None),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }


def stretch(step: int, *, betas: tuple[float, float] = BETAS) -> float:
    """How many times too long a step is without the correction; steps count from 1.

    (1 − β₁ᵗ) / √(1 − β₂ᵗ), the same for all gradients.

    >>> round(stretch(1), 2), round(stretch(10_000), 2)
    (3.16, 1.0)

    Raises:
        ValueError: a step before the first, or a β outside [0, 1).
    """
    if step < 1 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"step {step} with betas {betas}: steps from 1, betas from 0 to below 1")
    return float((1 - betas[0] ** step) / (1 - betas[1] ** step) ** 0.5)


@contextmanager
def step_sizes(optimizer: torch.optim.Optimizer) -> Iterator[list[float]]:
    """Within the block, how far each step moves its parameters: root mean square of the change.

    Weight decay is in it, so it is not 0 where a gradient is. Frozen parameters are not counted.
    """
    sizes: list[float] = []
    before: list[torch.Tensor] = []

    def parameters() -> Iterator[torch.Tensor]:
        for group in optimizer.param_groups:
            yield from group["params"]

    def look(*_: Any) -> None:
        before[:] = [p.detach().clone() for p in parameters()]

    def measure(*_: Any) -> None:
        moved = [(p.detach() - old).double() for p, old in zip(parameters(), before, strict=True)]
        square = sum(float(m.square().sum()) for m in moved)
        sizes.append((square / sum(m.numel() for m in moved)) ** 0.5)

    hooks = optimizer.register_step_pre_hook(look), optimizer.register_step_post_hook(measure)
    try:
        yield sizes
    finally:
        for hook in hooks:
            hook.remove()
