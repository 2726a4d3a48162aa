"""The training loop of teachers and students."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tvtfast.common.cost import resident_peak
from tvtfast.common.fallbacks import logger
from tvtfast.common.memory import device_peak
from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.common.trackers import tracked
from tvtfast.data import Splits, VisionDataset
from tvtfast.training.kept import Keeper, Kept
from tvtfast.training.loading import (
    EpochSampler,
    TrainingBatch,
    evaluation_batches,
    training_batches,
)
from tvtfast.training.mixing import Mixing
from tvtfast.training.objective import Objective
from tvtfast.training.processes import Team, together
from tvtfast.training.recipe import DTYPES, Recipe
from tvtfast.training.stochastic_depth import StochasticDepth
from tvtfast.training.summary import EpochLog, curves
from tvtfast.training.training_folder import DivergedError, TrainingFolder

_TOP = 5
FILE_SECONDS = "file_seconds"
"""In the record of a training: seconds that its files took, all epochs of the last start."""
_CHECK_STEPS = 16
"""Steps between two looks at the loss, each of which waits for the device."""


@dataclass
class Trainer:
    """Train an objective on images, epoch by epoch, continuing what the folder holds.

    The weights of the epoch that is best on the held-out images are kept; without any, those of the
    last. The test images are read once, at the end, with the weights that are kept.

    Args:
        objective: Network, loss and teacher, on the device of the team.
        splits: Images to train on, to evaluate on after every epoch, and to test on.
        img_size: Side in pixels.
        recipe: Hyperparameters.
        seed: Of order, augmentation and dropout.
        folder: Where state and log are kept.
        keeper: Where the weights that are kept lie.
        team: The processes.
        workers: Processes that load images; the result does not depend on it.
        progress: Show a progress bar.
        tensorboard: Write TensorBoard's event files beside the log.
        wandb: The project of Weights & Biases that keeps the curves, too.
        keep_last: Keep the weights of the last epoch, whether it was the best or not.
        keep_state: Keep the state when the training has ended, for more epochs later.
        read_test: Read the test images at the end; else they are left for a training of more
            epochs, or for a further call.
    """

    objective: Objective
    splits: Splits
    img_size: int
    recipe: Recipe
    seed: int
    folder: TrainingFolder
    keeper: Keeper
    team: Team
    workers: int = 0
    progress: bool = False
    tensorboard: bool = False
    wandb: str | None = None
    keep_last: bool = False
    keep_state: bool = False
    read_test: bool = True

    def run(self) -> list[dict[str, float]]:
        """Train to the last epoch; one row per epoch, as in the log.

        Raises:
            DivergedError: The loss is no longer finite. The state after the epoch before is kept.
            TrainingError: Files cannot be written. So it is.
            CheckpointError: The folder holds a damaged state.
            RunError: It holds another training, or another process trains in it.
        """
        devices = [self.team.device] if self.team.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            return self._run()

    def _run(self) -> list[dict[str, float]]:
        recipe, team = self.recipe, self.team
        ended = self.folder.ended(self.keeper)
        team.wait()
        if ended is not None and len(ended) == recipe.epochs:
            return ended
        batches, sampler = training_batches(
            self.splits.train,
            recipe=recipe,
            img_size=self.img_size,
            seed=self.seed,
            workers=self.workers,
            team=team,
        )
        depth = StochasticDepth(self.objective.model, self.seed, team)
        state = _State(self.objective, recipe, team.device, len(sampler), depth)
        state.restore(found := self.folder.load())
        before = None if found is None else found["settings"].get("epochs")
        meant = state.epoch == before and not self.keeper.is_tested()
        if found is not None and state.continues(before) and team.leads and not meant:
            logger.warning(
                "the training of %s epochs in %s goes on to %d: its state under the learning rates "
                "of %d epochs, from epoch %d on",
                before,
                self.folder.path,
                recipe.epochs,
                recipe.epochs,
                state.epoch + 1,
            )
        is_done = state.epoch == recipe.epochs and (not self.read_test or self.keeper.is_tested())
        team.wait()
        if not is_done:
            with self.folder.claimed() as record:
                record.board.offer("curves", lambda: curves(state.history))
                if team.leads:
                    self.splits.say()
                if state.epoch < recipe.epochs:
                    seconds = self._train(state, batches, sampler)
                    record.results[FILE_SECONDS] = round(seconds, 3)
                if self.read_test:
                    self._test(state)
                if team.leads and not self.keep_state:
                    self.folder.drop_state()
        return state.history

    def _evaluated(self, images: VisionDataset) -> DataLoader[Any]:
        return evaluation_batches(
            images,
            batch_size=self.recipe.batch_size,
            img_size=self.img_size,
            workers=self.workers,
            team=self.team,
        )

    def _train(self, state: _State, batches: DataLoader[Any], sampler: EpochSampler) -> float:
        """The epochs that are left.

        Returns:
            Seconds that files of weights and state took.
        """
        files = 0.0
        recipe, team, held_out = self.recipe, self.team, self.splits.held_out
        evaluated = None if held_out is None else self._evaluated(held_out)
        wrapped = team.wrap(self.objective, partial=self.objective.partial)
        kept = tracked(
            self.folder.path,
            tensorboard=self.tensorboard and team.leads,
            wandb=self.wandb if team.leads else None,
            done=state.epoch,
            settings=self.folder.settings,
        )
        with (
            kept as trackers,
            EpochLog(
                self.splits.train.name,
                recipe.epochs,
                len(sampler),
                state.epoch,
                progress=self.progress and team.leads,
                trackers=trackers,
            ) as log,
        ):
            while state.epoch < recipe.epochs:
                begin = time.perf_counter()
                sampler.epoch = state.epoch
                images = sampler.step_images * len(sampler)
                with self._tokens(state.epoch), state.depth.applied():
                    losses = self._epoch(wrapped, state, batches, log)
                trained = time.perf_counter() - begin
                row = {
                    "epoch": state.epoch + 1,
                    "lr": max(group["lr"] for group in state.optimizer.param_groups),
                    **losses,
                    **self._dilation(state.epoch),
                    **self._held_out_accuracy(state.model, evaluated),
                    "seconds": round(time.perf_counter() - begin, 3),
                    "images_per_second": round(images / trained, 1),
                    **_peak(team.device),
                }
                state.finish_epoch(row)
                if team.leads:
                    begin = time.perf_counter()
                    self._keep(state)
                    files += time.perf_counter() - begin
                log.epoch(row)
        return files

    def _tokens(self, epoch: int) -> AbstractContextManager[None]:
        tokens, model = self.recipe.tokens, self.objective.model
        return nullcontext() if tokens is None else tokens.applied(model, epoch, self.recipe.epochs)

    def _dilation(self, epoch: int) -> dict[str, int]:
        tokens = self.recipe.tokens
        return {} if tokens is None else {"dilation": tokens.dilation(epoch, self.recipe.epochs)}

    def _keep(self, state: _State) -> None:
        kept = self._kept(state)
        if kept.epoch == state.epoch:
            with self.folder.writing(state.epoch - 1):
                self.keeper.write(state.model, kept)
        self.folder.save(state.to_dict(), state.history)

    def _kept(self, state: _State) -> Kept:
        """The best epoch so far, or the last."""
        accuracies = [row.get("accuracy") for row in state.history]
        epoch = state.epoch
        if not self.keep_last and self.splits.held_out is not None:
            epoch = 1 + max(range(state.epoch), key=lambda one: state.history[one]["accuracy"])
        return Kept(epoch, accuracies[epoch - 1], continued=tuple(state.continued))

    def _test(self, state: _State) -> None:
        """Write how good the kept weights are on the test images."""
        kept = self._kept(state)
        if kept.epoch != state.epoch:
            self.team.wait()
            self.keeper.restore(state.model)
        accuracy = self._accuracies(state.model, self._evaluated(self.splits.test))["accuracy"]
        if self.team.leads:
            with self.folder.writing(state.epoch):
                self.keeper.write(state.model, replace(kept, accuracy=accuracy))

    def _held_out_accuracy(
        self, model: nn.Module, batches: DataLoader[Any] | None
    ) -> dict[str, float]:
        return {} if batches is None else self._accuracies(model, batches)

    def _epoch(
        self,
        wrapped: nn.Module,
        state: _State,
        batches: DataLoader[Any],
        log: EpochLog,
    ) -> dict[str, float]:
        """Means of the losses over one epoch."""
        self.objective.train()
        mixing = Mixing(self.recipe, self.splits.train.num_classes, self.seed, self.team)
        pending: list[dict[str, Tensor]] = []
        totals: dict[str, float] = {}
        for step, loaded in enumerate(batches):
            self._seed_step(state.epoch, step)
            batch = TrainingBatch(*loaded).to(self.team.device)
            pending.append(state.step(wrapped, mixing(batch, state.epoch, step), step))
            if len(pending) == _CHECK_STEPS or step + 1 == len(batches):
                means = self._checked(pending, state, step)
                for name, total in means.items():
                    totals[name] = totals.get(name, 0.0) + total
                pending.clear()
                log.step(step + 1, totals["loss"] / (step + 1))
        return {name: total / len(batches) for name, total in totals.items()}

    def _seed_step(self, epoch: int, step: int) -> None:
        key = (epoch, step, self.team.rank)
        words = np.random.SeedSequence(self.seed, spawn_key=key).generate_state(2)
        torch.manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)

    def _checked(
        self, pending: list[dict[str, Tensor]], state: _State, step: int
    ) -> dict[str, float]:
        """Sums over steps of the losses, as means over the team."""
        names = list(pending[0])
        values = torch.stack([torch.stack([row[name] for name in names]) for row in pending])
        values = (self.team.sum(values.double()) / self.team.size).cpu()
        broken = (~values.isfinite().all(dim=1)).nonzero()
        if len(broken):
            first = int(broken[0])
            described = ", ".join(
                f"{name} {value:g}" for name, value in zip(names, values[first], strict=True)
            )
            raise DivergedError(
                f"the loss is no longer finite at step {step + 1 - len(pending) + first + 1} of "
                f"epoch {state.epoch + 1} ({described}); "
                + (
                    f"the state after epoch {state.epoch} is kept in {self.folder.path}. "
                    if state.epoch
                    else "nothing was kept. "
                )
                + "Lower the learning rate, limit the gradient (clip_grad) or train in float32"
            )
        return dict(zip(names, values.sum(dim=0).tolist(), strict=True))

    @torch.no_grad()
    def _accuracies(self, model: nn.Module, batches: DataLoader[Any]) -> dict[str, float]:
        """Top-1 accuracy in percent over all images of the team, and top-5 of more classes."""
        training = model.training
        model.eval()
        self.team.copy_from_leader(model.buffers())
        device = self.team.device
        counts = torch.zeros(3, dtype=torch.float64, device=device)
        classes = self.splits.train.num_classes
        for images, labels in batches:
            with _autocast(device, self.recipe):
                logits = model(images.to(device, non_blocking=True))
            truth = labels.to(device, non_blocking=True)
            counts[0] += (logits.argmax(dim=1) == truth).sum()
            counts[1] += (logits.topk(min(_TOP, classes)).indices == truth[:, None]).sum()
            counts[2] += len(labels)
        model.train(training)
        first, among, seen = self.team.sum(counts).tolist()
        found = {"accuracy": float(100 * first / seen)}
        return found | {"top5": float(100 * among / seen)} if classes > _TOP else found


class _State:
    """All that changes during training."""

    def __init__(
        self,
        objective: Objective,
        recipe: Recipe,
        device: torch.device,
        epoch_steps: int,
        depth: StochasticDepth,
    ) -> None:
        self.objective, self.recipe, self.device = objective, recipe, device
        self.epoch_steps, self.depth = epoch_steps, depth
        if recipe.channels_last:
            model: Any = objective.model  # whose stubs lack the keyword
            model.to(memory_format=torch.channels_last)
        if recipe.compile:
            objective.compile()
        self.optimizer = recipe.build_optimizer(objective)
        self.schedule = recipe.build_schedule(self.optimizer, epoch_steps)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.dtype == "float16")
        self.ema = None if recipe.ema is None else _average(objective.model, recipe.ema)
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.continued: list[dict[str, int]] = []

    @property
    def model(self) -> nn.Module:
        """The weights that are evaluated and kept."""
        model: nn.Module = self.objective.model if self.ema is None else self.ema.module
        return model

    def step(self, wrapped: nn.Module, batch: TrainingBatch, step: int) -> dict[str, Tensor]:
        done = self.epoch * self.epoch_steps + step
        self.schedule.step_update(done)
        self.objective.prepare(done)
        self.depth.begin(self.epoch, step, len(batch.labels))
        self.optimizer.zero_grad()
        losses = self._gradients(wrapped, batch, done / (self.recipe.epochs * self.epoch_steps))
        if self.recipe.clip_grad is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.objective.parameters(), self.recipe.clip_grad)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema is not None:
            self.ema.update(self.objective.model, step=done)
        return losses

    def _gradients(
        self, wrapped: nn.Module, batch: TrainingBatch, progress: float
    ) -> dict[str, Tensor]:
        """Losses of a batch, whose gradients are summed up part by part."""
        if self.recipe.channels_last:
            batch = batch._replace(images=batch.images.to(memory_format=torch.channels_last))
        parts = batch.parts(self.recipe.accumulate)
        means: dict[str, Tensor] = {}
        seen = 0
        for number, part in enumerate(parts):
            share = len(part.labels) / len(batch.labels)
            self.depth.part(seen, len(part.labels))
            seen += len(part.labels)
            with together(wrapped, last=number + 1 == len(parts)):
                with _autocast(self.device, self.recipe):
                    losses = wrapped(part, progress)
                self.scaler.scale(share * losses["loss"]).backward()
            for name, loss in losses.items():
                mean = share * loss.detach()
                means[name] = means[name] + mean if name in means else mean
        return means

    def finish_epoch(self, row: dict[str, float]) -> None:
        self.epoch += 1
        self.history.append(row)

    def to_dict(self) -> dict[str, Any]:
        guide = self.objective.guide
        return {
            "epoch": self.epoch,
            "history": self.history,
            "continued": self.continued,
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "drifted": guide.drifted() if guide is not None else None,
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
        if state["drifted"] is not None and self.objective.guide is not None:
            self.objective.guide.module.load_state_dict(state["drifted"])
        self.epoch, self.history = state["epoch"], state["history"]
        self.continued = state.get("continued", [])

    def continues(self, epochs: int | None) -> bool:
        """Note, and say, whether the state is of a training of fewer epochs."""
        if epochs is None or epochs >= self.recipe.epochs:
            return False
        self.continued = [*self.continued, {"after": self.epoch, "epochs": epochs}]
        return True


def _peak(device: torch.device) -> dict[str, float]:
    """The most memory of this process so far, in MiB, under a name that says which."""
    on_gpu = device.type == "cuda"
    peak = device_peak() if on_gpu else resident_peak()
    name = "peak_gpu_mib" if on_gpu else "peak_host_mib"
    return {} if peak is None else {name: round(peak / 2**20, 1)}


def _average(model: nn.Module, decay: float) -> Any:
    """timm's running average of the weights."""
    ensure_torchvision()
    from timm.utils import ModelEmaV3

    return ModelEmaV3(model, decay)


def _autocast(device: torch.device, recipe: Recipe) -> torch.autocast:
    return torch.autocast(device.type, DTYPES[recipe.dtype], enabled=recipe.dtype != "float32")
