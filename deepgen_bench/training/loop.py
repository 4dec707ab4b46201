"""The training loop: steps, evaluations on validation data, divergence and the best checkpoint, each per replicate."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from deepgen_bench.training.graph import WARM_UP, captured
from deepgen_bench.training.result import State, TrainingResult

if TYPE_CHECKING:
    from deepgen_bench.training.checkpoint import Checkpointer

EVALUATIONS = 25


class Trainable(Protocol):
    """Interface of a model in training, as the loop uses it."""

    @property
    def module(self) -> nn.Module: ...

    def begin(self, step: int, left: float) -> None:
        """Prepare a step, counted from 0, on the host: set learning rates, given the fraction `left` of all steps that
        remain, in (0, 1], and draw random numbers."""

    def step(self) -> dict[str, Tensor]:
        """One training step, with all updates of a critic that belong to it; returns the losses, each (S,)."""

    def autocast(self) -> AbstractContextManager[None]:
        """Context of a step, which sets the precision of its matrix products."""

    def validate(self) -> dict[str, Tensor]:
        """Metrics on validation data, each (S,); `validation_score`, lower is better, chooses the best checkpoint."""

    def training_state(self) -> dict[str, Tensor]:
        """All tensors that a step reads and changes, by name: (S, …), or a scalar common to all replicates."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from a `training_state`."""


def replicate_state(tensors: dict[str, Tensor], replicate: int) -> State:
    """One replicate's slice of stacked tensors, as numpy arrays with a leading axis of one."""
    return {name: tensor[replicate : replicate + 1].cpu().numpy().copy() for name, tensor in tensors.items()}


def named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


class TrainingState:
    """Progress of a block of S replicates: everything that the loop keeps besides the model."""

    def __init__(self, model: Trainable, replicates: int):
        self.model, self.step = model, 0
        # the model's own tensors, which its steps write to
        self.tensors = {name: tensor.detach() for name, tensor in model.module.state_dict(keep_vars=True).items()}
        device = next(iter(self.tensors.values())).device
        self.best = {name: tensor.clone() for name, tensor in self.tensors.items()}
        self.best_score = torch.full((replicates,), torch.inf, device=device)
        self.best_step = torch.zeros(replicates, dtype=torch.int64, device=device)
        self.diverged_at = torch.full((replicates,), -1, device=device)
        # `step` where the device can read it
        self.taken = torch.zeros((), dtype=torch.int64, device=device)
        # sums of losses since the last evaluation
        self.sums: dict[str, Tensor] = {}
        self.take = self.update
        self.curves: list[list[dict[str, float]]] = [[] for _ in range(replicates)]

    def note_divergence(self, figures: dict[str, Tensor]) -> None:
        finite = torch.stack(list(figures.values())).isfinite().all(0)
        # masked_fill_ would copy the number from the device, which a graph cannot
        first = (self.diverged_at < 0) & ~finite
        self.diverged_at.copy_(torch.where(first, self.taken, self.diverged_at))

    def advance(self, left: float) -> None:
        """Take one step of the model; `left` is the fraction of all steps that remain."""
        self.model.begin(self.step, left)
        self.step += 1
        self.take()

    def update(self) -> None:
        """The part of a step on the device, without synchronisation and in fixed memory."""
        self.taken += 1
        with self.model.autocast():
            losses = self.model.step()
        self.note_divergence(losses)
        # in the order of the losses, which a saved state does not contain
        self.sums = {name: self.sums[name].add_(loss) if self.sums else loss.clone() for name, loss in losses.items()}

    def evaluate(self, batch_size: int) -> Tensor:
        """Validate, keep the best state so far and extend the curves; returns the validation scores (S,)."""
        self.model.module.eval()
        with torch.no_grad():
            figures = self.model.validate()
        self.model.module.train()
        self.note_divergence(figures)
        score = figures["validation_score"]
        better = (score < self.best_score) & (self.diverged_at < 0)
        self.best_score = torch.where(better, score, self.best_score)
        self.best_step.masked_fill_(better, self.step)
        for name, tensor in self.tensors.items():
            best = self.best[name]
            torch.where(better.view(-1, *[1] * (tensor.dim() - 1)), tensor, best, out=best)
        last = self.curves[0][-1]["step"] if self.curves[0] else 0
        figures = {name: total / (self.step - last) for name, total in self.sums.items()} | figures
        for total in self.sums.values():
            total.zero_()
        table = {name: values.tolist() for name, values in figures.items()}
        for s, rows in enumerate(self.curves):
            row = {"step": self.step, "examples": self.step * batch_size}
            rows.append(row | {name: values[s] for name, values in table.items()})
        return score

    def state(self) -> dict[str, Tensor]:
        """Everything needed to continue except the step and the curves, with the state of the model."""
        own = {"best_score": self.best_score, "best_step": self.best_step, "diverged_at": self.diverged_at}
        parts = {"model.": self.model.training_state(), "best.": self.best, "sums.": self.sums, "progress.": own}
        return {name: tensor for prefix, part in parts.items() for name, tensor in named(prefix, part).items()}

    def restore(self, step: int, state: dict[str, Tensor], curves: list[list[dict[str, float]]]) -> None:
        """Continue from a `state`."""
        # copies, because a replicate and its twin get the same tensors
        self.step, self.curves = step, [list(rows) for rows in curves]
        self.taken.fill_(step)
        self.model.restore(under("model.", state))
        own, device = under("progress.", state), self.best_score.device
        self.best = {name: tensor.to(device) for name, tensor in under("best.", state).items()}
        self.sums = {name: tensor.to(device).clone() for name, tensor in under("sums.", state).items()}
        self.best_score, self.best_step, self.diverged_at = (
            own[name].to(device) for name in ("best_score", "best_step", "diverged_at")
        )

    def results(self, steps: int, batch_size: int) -> list[TrainingResult]:
        """The result of each replicate."""
        parameters = sum(p[0].numel() for p in self.model.module.parameters())
        fits = []
        for s, when in enumerate(self.diverged_at.tolist()):
            fit = TrainingResult(
                {}, curves=self.curves[s], steps=self.step, examples=self.step * batch_size, parameters=parameters
            )
            if when >= 0:
                fit.status, fit.reason = "diverged", f"loss not finite at step {when} of {steps}"
                fit.steps, fit.examples = when, when * batch_size
            else:
                fit.checkpoints = {"final": replicate_state(self.tensors, s), "best": replicate_state(self.best, s)}
                fit.best_step = int(self.best_step[s])
            fits.append(fit)
        return fits


def train(
    model: Trainable,
    replicates: list[int],
    steps: int,
    batch_size: int,
    progress: Callable[[int, int, str], None],
    checkpointer: "Checkpointer | None" = None,
) -> list[TrainingResult]:
    """Train a block of replicates for `steps` steps and return the result of each.

    A replicate whose loss or validation score is not finite has diverged: the step is recorded, it has no checkpoint,
    and the other replicates are not affected (sums over replicates never mix them). If `checkpointer` has saved an
    earlier training of these replicates, it is resumed.
    """
    training = TrainingState(model, len(replicates))
    kept = checkpointer.load(replicates) if checkpointer else None
    if kept:
        step, arrays, curves = kept
        training.restore(step, {name: torch.from_numpy(array) for name, array in arrays.items()}, curves)
    due = {round(steps * (i + 1) / EVALUATIONS) for i in range(EVALUATIONS)} | {min(steps, 1)}
    warm = training.step + WARM_UP if training.taken.is_cuda else steps
    with checkpointer or nullcontext():
        while training.step < steps:
            if training.step == warm:
                training.take = captured(training.update)
            training.advance(1 - training.step / steps)
            if training.step in due:
                score = training.evaluate(batch_size)
                alive = int((training.diverged_at < 0).sum())
                note = f"validation {score.nanmedian().item():.4g}, {len(replicates) - alive} diverged"
                progress(training.step, steps, note)
                if not alive:
                    break
            if checkpointer and checkpointer.due():
                arrays = {name: tensor.cpu().numpy() for name, tensor in training.state().items()}
                checkpointer.save(replicates, training.step, arrays, training.curves)
    return training.results(steps, batch_size)
