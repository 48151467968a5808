"""From hidden states to input embeddings: a ridge regression learned on tokens already known.

A hidden state does not live in the space of the input embeddings: raw averages have the wrong norm
and a strong common direction. But the true embeddings of the old vocabulary's own tokens are
known. Such tokens are cut as if they were new, distilled like the new ones, and the regression
learns the way from what distillation gives to what it should have given. The same tokens measure
it: *token recovery* asks whether the true row is the nearest one to the distilled vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

STRENGTHS = tuple(10.0**power for power in (-1, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5))


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge regression on standardised inputs.

    Attributes:
        center, scale: float64 (D,), mean and standard deviation of the inputs.
        weights: float64 (D, H).
        bias: float64 (H,), mean of the outputs.
        strength: the penalty on the squared weights that was chosen.
        held_out: float64 (N, H), for each row it was fitted on, its prediction without that row.
    """

    center: torch.Tensor
    scale: torch.Tensor
    weights: torch.Tensor
    bias: torch.Tensor
    strength: float
    held_out: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Predict (M, H) from (M, D)."""
        return ((x.double() - self.center) / self.scale) @ self.weights + self.bias


def fit_ridge(
    x: torch.Tensor, y: torch.Tensor, *, strengths: Sequence[float] = STRENGTHS
) -> Ridge:
    """Fit ``y`` (N, H) on ``x`` (N, D); the strength is chosen by leave-one-out squared error.

    Leaving each row out in turn costs no second fit: the error without row i is the error with it
    divided by 1 − h_i, where h_i is the row's leverage (Golub, Heath & Wahba, 1979). One
    eigendecomposition serves all strengths.

    Raises:
        ValueError: fewer than three rows, or numbers that are not finite.
    """
    import torch

    if len(x) < 3:
        raise ValueError(f"a regression on {len(x)} known tokens: at least 3 are needed")
    x, y = x.double(), y.double()
    if not (x.isfinite().all() and y.isfinite().all()):
        raise ValueError("the distilled vectors hold NaN or infinite numbers")
    center, scale = x.mean(0), x.std(0)
    scale = torch.where(scale > 1e-9, scale, torch.ones_like(scale))  # constants stay zero
    x, bias = (x - center) / scale, y.mean(0)
    target = y - bias
    if x.shape[0] > x.shape[1]:
        squared, right = torch.linalg.eigh(x.T @ x)
        squared, right = _positive(squared, right)
        left = x @ right / squared.sqrt()
    else:
        squared, left = torch.linalg.eigh(x @ x.T)
        squared, left = _positive(squared, left)
        right = x.T @ left / squared.sqrt()
    projected = left.T @ target
    best = None
    for strength in strengths:
        shrink = squared / (squared + strength)
        leverage = 1 / len(x) + left.square() @ shrink
        fitted = left @ (shrink[:, None] * projected)
        error = (target - fitted) / (1 - leverage).clamp(min=1e-6)[:, None]
        loss = error.square().sum().item()
        if best is None or loss < best[0]:
            best = loss, strength, error
    _, strength, error = best
    weights = right @ ((squared.sqrt() / (squared + strength))[:, None] * projected)
    return Ridge(center, scale, weights, bias, strength, y - error)


def _positive(squared: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions in which there is any variance."""
    keep = squared > squared.max() * 1e-12
    return squared[keep], vectors[:, keep]


def token_recovery(
    vectors: torch.Tensor, ids: torch.Tensor, table: torch.Tensor, *, chunk: int = 512
) -> dict[str, float]:
    """How well distilled vectors find their true rows.

    Args:
        vectors: float (N, H), distilled for tokens whose rows are known.
        ids: int64 (N,), their ids.
        table: float (V, H), all rows that compete.

    Returns:
        ``cos`` to the true row, ``top1`` and ``top10`` (the true row is among the nearest by
        cosine), ``mrr`` (mean reciprocal rank), ``error`` (squared error over the variance of the
        true rows: 1 is as bad as always giving their mean), ``tokens`` (N).
    """
    import torch

    truth = table[ids].double()
    unit = torch.nn.functional.normalize(table.float(), dim=1)
    ranks, cosines = [], []
    for start in range(0, len(ids), chunk):
        some = torch.nn.functional.normalize(vectors[start : start + chunk].float(), dim=1)
        cosine = some @ unit.T
        own = cosine.gather(1, ids[start : start + chunk, None])
        ranks.append((cosine > own).sum(1) + 1)
        cosines.append(own.flatten())
    rank = torch.cat(ranks).double()
    error = (vectors.double() - truth).square().sum() / (truth - truth.mean(0)).square().sum()
    values = {
        "cos": torch.cat(cosines).mean(),
        "top1": (rank == 1).double().mean(),
        "top10": (rank <= 10).double().mean(),
        "mrr": (1 / rank).mean(),
        "error": error,
    }
    return {name: round(value.item(), 4) for name, value in values.items()} | {"tokens": len(ids)}
