"""The training loop: steps, evaluations on validation data, divergence and the best checkpoint, each per replicate."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from deepgen_bench.training.fit import Fit, State

EVALUATIONS = 25


class Trainable(Protocol):
    """What the loop needs of a model that is being trained."""

    @property
    def module(self) -> nn.Module: ...

    def step(self) -> dict[str, Tensor]:
        """One update of the generator or decoder and what belongs to it; the losses, each (S,)."""

    def validate(self) -> dict[str, Tensor]:
        """Figures on validation data, each (S,); `validation_score` chooses the best checkpoint, lower is better."""

    def set_rate(self, factor: float) -> None:
        """Multiply the initial learning rates by `factor`."""


def replicate_state(tensors: dict[str, Tensor], replicate: int) -> State:
    """One replicate's slice of stacked tensors, as numpy arrays with a leading axis of one."""
    return {name: tensor[replicate : replicate + 1].cpu().numpy().copy() for name, tensor in tensors.items()}


def train(
    model: Trainable, replicates: int, steps: int, batch_size: int, progress: Callable[[int, int, str], None]
) -> list[Fit]:
    """Train a block of replicates for `steps` steps and return what is left of each.

    A replicate whose loss or validation score is not finite has diverged: the step is recorded, it keeps no
    checkpoint, and its neighbours go on undisturbed (sums over replicates never mix them).
    """
    tensors = {name: tensor.detach() for name, tensor in model.module.state_dict(keep_vars=True).items()}
    device = next(iter(tensors.values())).device
    best = {name: tensor.clone() for name, tensor in tensors.items()}
    best_score = torch.full((replicates,), torch.inf, device=device)
    best_step = np.zeros(replicates, dtype=int)
    diverged_at = torch.full((replicates,), -1, device=device)
    curves: list[list[dict[str, float]]] = [[] for _ in range(replicates)]
    due = {round(steps * (i + 1) / EVALUATIONS) for i in range(EVALUATIONS)} | {min(steps, 1)}
    sums: dict[str, Tensor] = {}
    last = 0

    def note_divergence(figures: dict[str, Tensor], step: int) -> None:
        finite = torch.stack(list(figures.values())).isfinite().all(0)
        diverged_at.masked_fill_((diverged_at < 0) & ~finite, step)

    for step in range(1, steps + 1):
        model.set_rate(1 - (step - 1) / steps)
        losses = model.step()
        note_divergence(losses, step)
        for name, loss in losses.items():
            sums[name] = sums[name] + loss if name in sums else loss
        if step not in due:
            continue
        model.module.eval()
        with torch.no_grad():
            figures = model.validate()
        model.module.train()
        note_divergence(figures, step)
        score = figures["validation_score"]
        better = (score < best_score) & (diverged_at < 0)
        best_score = torch.where(better, score, best_score)
        for name, tensor in tensors.items():
            torch.where(better.view(-1, *[1] * (tensor.dim() - 1)), tensor, best[name], out=best[name])
        best_step[better.cpu().numpy()] = step
        figures = {name: total / (step - last) for name, total in sums.items()} | figures
        table = {name: values.tolist() for name, values in figures.items()}
        for s, rows in enumerate(curves):
            rows.append({"step": step, "examples": step * batch_size} | {name: v[s] for name, v in table.items()})
        sums, last = {}, step
        alive = int((diverged_at < 0).sum())
        progress(step, steps, f"validation {score.nanmedian().item():.4g}, {replicates - alive} diverged")
        if not alive:
            break

    parameters = sum(p[0].numel() for p in model.module.parameters())
    fits = []
    for s, when in enumerate(diverged_at.tolist()):
        fit = Fit({}, curves=curves[s], steps=step, examples=step * batch_size, parameters=parameters)
        if when >= 0:
            fit.status, fit.reason = "diverged", f"loss not finite at step {when} of {steps}"
            fit.steps, fit.examples = when, when * batch_size
        else:
            fit.checkpoints = {"final": replicate_state(tensors, s), "best": replicate_state(best, s)}
            fit.best_step = int(best_step[s])
        fits.append(fit)
    return fits
