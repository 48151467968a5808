"""From hidden states to input embeddings: a ridge regression learned on tokens already known.

A hidden state does not live in the space of the input embeddings: raw averages have the wrong norm
and a strong common direction. But the true embeddings of the old vocabulary's own tokens are
known. Such tokens are cut as if they were new, distilled like the new ones, and the regression
learns the way from what distillation gives to what it should have given. The same tokens measure
it: *token recovery* asks whether the true row is the nearest one to the distilled vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

STRENGTHS = tuple(10.0**power for power in (-1, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5))


@dataclass(frozen=True)
class Linear:
    """A linear map of standardised inputs.

    Attributes:
        center, scale: float64 (D,), mean and standard deviation of the inputs.
        weights: float64 (D, H).
        bias: float64 (H,), what the mean input gives.
    """

    center: torch.Tensor
    scale: torch.Tensor
    weights: torch.Tensor
    bias: torch.Tensor

    def standardised(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs (M, D) as the weights expect them."""
        return (x.double() - self.center) / self.scale

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Predict (M, H) from (M, D)."""
        return self.standardised(x) @ self.weights + self.bias


@dataclass(frozen=True)
class Ridge(Linear):
    """A fitted ridge regression; its bias is the mean of the outputs.

    Attributes:
        strength: the penalty on the squared weights that was chosen.
        held_out: float64 (N, H), for each row it was fitted on, its prediction without that row.
    """

    strength: float
    held_out: torch.Tensor


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
    best: tuple[float, float, torch.Tensor] | None = None
    for strength in strengths:
        shrink = squared / (squared + strength)
        leverage = 1 / len(x) + left.square() @ shrink
        fitted = left @ (shrink[:, None] * projected)
        error = (target - fitted) / (1 - leverage).clamp(min=1e-6)[:, None]
        loss = error.square().sum().item()
        if best is None or loss < best[0]:
            best = loss, strength, error
    if best is None:
        raise ValueError("no strength to choose from")
    _, strength, error = best
    weights = right @ ((squared.sqrt() / (squared + strength))[:, None] * projected)
    return Ridge(center, scale, weights, bias, strength, y - error)


def _positive(squared: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions in which there is any variance."""
    keep = squared > squared.max() * 1e-12
    return squared[keep], vectors[:, keep]


@dataclass(frozen=True)
class Contrast:
    """How a regression is trained on, so that its answer is nearer to the true row than to others.

    Args:
        passes: over the known tokens, at most; how many is chosen on a part that is held out.
        batch: tokens in a step.
        others: rows drawn from the table that compete in a step, beside those of the batch.
        temperature: what cosines are divided by. A low one asks for the first place, a high one
            to be ahead of most.
        learning_rate: Adam's peak, in units of the regression's root mean square weight; falls
            linearly to 0.
        held_out: share of the known tokens that chooses the number of passes.
    """

    passes: int = 5
    batch: int = 512
    others: int = 4096
    temperature: float = 0.04
    learning_rate: float = 0.2
    held_out: float = 0.1


def sharpen(
    x: torch.Tensor,
    ids: torch.Tensor,
    table: torch.Tensor,
    generator: torch.Generator,
    *,
    contrast: Contrast | None = None,
) -> tuple[Linear, list[float]]:
    """Fit a ridge regression, then train its weights to tell the true rows from all others.

    Least squares asks for a small distance to the true row, wherever other rows stand. This asks
    for a rank: cross-entropy over cosines to the true row and to rows drawn from the table. Trained
    on few tokens it learns them by heart, so a part of them chooses the number of passes, and 0,
    the regression as it is, is among the choices.

    Args:
        x: float (N, D), distilled from tokens that are known.
        ids: int64 (N,), their ids; a row of the table may belong to one of them only.
        table: float (V, H), all rows.
        generator: of batches and competitors.

    Returns:
        The regression with trained weights, scaled to the length of true rows, and the mean
        reciprocal rank of what was held out after 0, 1, … passes.

    Reference:
        The objective is that of Joulin et al., Loss in translation, EMNLP 2018, in spirit: a map
        between embedding spaces that is trained for retrieval.
    """
    import torch

    contrast = contrast or Contrast()
    cut = round(contrast.held_out * len(x))
    order = torch.randperm(len(x), generator=generator)
    held, rest = order[:cut], order[cut:]
    courses = _contrasted(x[rest], ids[rest], table, generator, contrast)
    scores = [token_recovery(some(x[held]).float(), ids[held], table)["mrr"] for some in courses]
    passes = max(range(len(scores)), key=scores.__getitem__)
    *_, best = _contrasted(x, ids, table, generator, contrast, stop=passes)
    return best, scores


def _contrasted(
    x: torch.Tensor,
    ids: torch.Tensor,
    table: torch.Tensor,
    generator: torch.Generator,
    contrast: Contrast,
    *,
    stop: int | None = None,
) -> Iterator[Linear]:
    """The regression, and what it is after each pass, the last one after ``stop``.

    The rate falls as for all passes, so that one that stops early is the one that was tested.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    ridge = fit_ridge(x, table[ids])
    yield ridge
    inputs = ridge.standardised(x).float()
    unit, truth = normalize(table.float(), dim=1), table[ids].double()
    size = ridge.weights.square().mean().sqrt()
    weights = (ridge.weights / size).float().requires_grad_()
    bias = (ridge.bias / size).float().requires_grad_()
    optimizer = torch.optim.Adam([weights, bias], lr=contrast.learning_rate)
    batches = -(-len(x) // contrast.batch)
    schedule = torch.optim.lr_scheduler.LinearLR(
        optimizer, 1.0, 0.0, total_iters=contrast.passes * batches
    )
    for _ in range(contrast.passes if stop is None else stop):
        for some in torch.randperm(len(x), generator=generator).chunk(batches):
            others = torch.randint(len(table), (contrast.others,), generator=generator)
            rows = torch.cat([ids[some], others])
            logits = normalize(inputs[some] @ weights + bias, dim=1) @ unit[rows].T
            logits = logits / contrast.temperature
            own = rows == ids[some, None]  # a true row that was drawn again is no other
            own[:, : len(some)].fill_diagonal_(False)
            logits = logits.masked_fill(own, -torch.inf)
            loss = cross_entropy(logits, torch.arange(len(some)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            made = (inputs @ weights + bias).double()
            length = (made * truth).sum() / made.square().sum()  # cosines leave it open
        yield Linear(
            ridge.center, ridge.scale, weights.detach().double() * length,
            bias.detach().double() * length,
        )  # fmt: skip


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
        ranks.append((~(cosine < own)).sum(1))  # itself too; ties, and what is no number, come last
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
