"""`compare`: the same model trained with each loss on the same data, measured and reported."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossary.core.loss import Loss
from lossary.studies import classification, detection, regression, segmentation, sequence
from lossary.studies.contenders import beside_loss, check, contenders
from lossary.studies.data import Data, Split
from lossary.studies.errors import InputError
from lossary.studies.files import only_here
from lossary.studies.metrics import Metric
from lossary.studies.progress import Display
from lossary.studies.results import Column, Comparison, Epoch, Run
from lossary.studies.study import Study

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from lossary.studies.contenders import Entries, Losses
    from lossary.studies.training import Criterion, Schedule

    Metrics = Mapping[str, Callable[..., float]] | Sequence[Metric]

STUDIES = {
    study.name: study
    for study in (segmentation.STUDY, classification.STUDY, detection.STUDY, regression.STUDY, sequence.STUDY)
}

REPORT = "report.html"

SEEDS = 5
"""With fewer, hardly any difference can be told from chance; a run may be short, for it is the same for every loss."""


def compare(
    losses: Losses | None = None,
    *,
    study: str | Study = "segmentation",
    class_loss: str | Loss | None = None,
    model: Callable[[], nn.Module] | None = None,
    data: Data | str | Path | None = None,
    metrics: Metrics | None = None,
    seeds: int | Sequence[int] = SEEDS,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    out: str | Path | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> Comparison:
    """Trains one model with each loss, from the same weights and on the same batches, for several seeds.

    Args:
        losses: specs such as `"focal:gamma=1, dice+cross_entropy"`, a list of specs, losses or other callables
            `(prediction, target) -> scalar tensor`, or a mapping from names to callables. Default: those of the study.
        study: the name of one of `STUDIES`, or a `Study`; decides whatever is not given.
        class_loss: in detection, where `losses` are those of the boxes: the loss of their classes. Default: focal.
        model: makes the model, a `torch.nn.Module`; called once per seed, after seeding.
        data: a `Data` of arrays or loaders, or the path of an .npz file (see `lossary.studies.data.load`).
        metrics: functions `(prediction, target) -> float` by name, or `Metric`s; the first ranks. Both are NumPy arrays
            of a whole split; `prediction` is what the `predict` of the study makes of the model's outputs: labels in
            segmentation and sequences, logits in classification, numbers in regression, and detections (N, K, 6), see
            `lossary.studies.detection`, in detection.
        seeds: their number, or the seeds themselves.
        epochs: passes over the training data, like `batch_size` and `learning_rate` by default those of the study. When
            `data` consists of loaders, they decide the batch size.
        out: a folder for results.json, written anew after every run, and report.html.
        threads: how many torch may use; results are the same from run to run for one number of threads.
        progress: whether to show progress bars on stderr.

    Returns:
        All runs; `lossary.studies.summary.rows` makes the table. A run with a loss that is not finite ends as diverged.

    Raises:
        InputError: a ValueError that says what to change.
        KeyboardInterrupt: after the results so far and their report are written to `out`.
    """
    study = _study(study, metrics)
    numbers = _seeds(seeds)
    _check_positive(epochs=epochs, batch_size=batch_size, threads=threads, learning_rate=learning_rate)
    _check_installed()
    folder = None if out is None else make_folder(Path(out))
    from lossary.studies.training import Schedule

    schedule = Schedule(epochs or study.epochs, batch_size or study.batch_size, learning_rate or study.learning_rate)
    data = _data(study, data)
    entries = contenders(study.losses if losses is None else losses, study, data, class_loss)
    with _torch(threads), contextlib.nullcontext() if folder is None else only_here(folder):
        job = _Job(study, data, schedule, entries, model, class_loss)
        comparison = job.plan(numbers)
        check(study, entries, job.model(numbers[0]), data, schedule.batch_size)
        display = Display(
            show=progress, runs=len(entries) * len(numbers), epochs=schedule.epochs, metric=comparison.metrics[0]
        )
        start = time.perf_counter()
        try:
            if folder is not None:  # a page of an older comparison must not stand beside results of this one
                (folder / REPORT).unlink(missing_ok=True)
            with display:
                job.run_all(comparison, display, lambda: _save(comparison, folder, start))
            comparison.complete = True
        finally:  # interrupted, too: what is there is worth having
            _save(comparison, folder, start)
            if folder is not None:
                from lossary.views import report

                report.write(comparison, study.pictures(comparison, data), folder / REPORT)
    return comparison


@dataclasses.dataclass(frozen=True)
class _Job:
    """What all runs share."""

    study: Study
    data: Data
    schedule: Schedule
    entries: Entries
    factory: Callable[[], nn.Module] | None
    class_loss: str | Loss | None

    def model(self, seed: int) -> nn.Module:
        """The model before training. Every loss gets a copy, so that no factory can make them differ."""
        import torch

        from lossary.studies.training import batches

        torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
        if self.factory is not None:
            return self.factory()
        x, _ = next(batches(self.data.train, 1))
        return self.study.model(x.shape[1], len(self.data.classes))

    def plan(self, seeds: tuple[int, ...]) -> Comparison:
        return Comparison(
            study=self.study.name,
            contenders=tuple(contender for contender, _ in self.entries),
            metrics=tuple(Column(m.name, m.label, m.better, m.every_epoch) for m in self.study.metrics),
            class_metric="" if self.study.class_metric is None else self.study.class_metric.label,
            classes=() if self.study.class_metric is None else self.data.classes,
            seeds=seeds,
            setting=self._setting(seeds[0]),
        )

    def _setting(self, seed: int) -> dict[str, Any]:
        import torch

        counts = self.data.counts()
        model = self.model(seed)
        return {
            "data": self.data.description,
            "class_counts": None if counts is None else counts.tolist(),
            "model": type(model).__name__,
            "beside": None if self.study.beside is None else repr(beside_loss(self.study, self.class_loss)),
            "parameters": sum(p.numel() for p in model.parameters()),
            "optimizer": "AdamW, linear warm-up, cosine decay",
            "epochs": self.schedule.epochs,
            "batch_size": self.schedule.batch_size if isinstance(self.data.train, Split) else None,
            "learning_rate": self.schedule.learning_rate,
            "threads": torch.get_num_threads(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
            "versions": {name: metadata.version(name) for name in ("lossary", "torch", "numpy", "scikit-learn")},
        }

    def run_all(self, comparison: Comparison, display: Display, save: Callable[[], None]) -> None:
        """Seed after seed, so that an interrupted comparison has as many runs of one loss as of another."""
        save()  # no results of an older comparison must be taken for those of this one
        for seed in comparison.seeds:
            model = self.model(seed)
            for contender, loss in self.entries:
                run = Run(contender.label, seed)
                comparison.runs.append(run)
                display.begin(run)
                prediction = self._run(run, copy.deepcopy(model), copy.deepcopy(loss), display)
                if prediction is not None and seed == comparison.seeds[0]:
                    comparison.predictions[run.loss] = prediction
                display.end(run)
                save()

    def _run(self, run: Run, model: nn.Module, loss: Criterion, display: Display) -> np.ndarray | None:
        """Trains, fills in `run` as it goes, and gives the predictions on the test split, if it comes so far."""
        from lossary.studies.training import DivergedError, Training, fingerprint, predict

        run.weights = fingerprint(model)
        training = Training(model, loss, self.data.train, self.schedule, run.seed)
        start = time.perf_counter()
        try:
            for value in training.epochs():
                prediction, target = predict(model, self.data.validation, self.study.predict)
                watched = [m for m in self.study.metrics if m.every_epoch]
                scores = {m.name: float(m.function(prediction, target)) for m in watched}
                run.epochs.append(Epoch(value, scores))
                display.epoch(run)
            prediction, target = predict(model, self.data.test, self.study.predict)
            run.test = {m.name: float(m.function(prediction, target)) for m in self.study.metrics}
            if self.study.class_metric is not None:
                by_class = self.study.class_metric.function(prediction, target, len(self.data.classes))
                run.test_classes = [float(value) for value in by_class]
            run.status = "finished"
            return prediction
        except DivergedError as error:
            run.status, run.note = "diverged", str(error)
            return None
        finally:
            run.seconds, run.batches = time.perf_counter() - start, training.batches


# --- arguments --------------------------------------------------------------------------------------------------------


def _study(study: str | Study, metrics: Metrics | None) -> Study:
    if isinstance(study, str):
        if study not in STUDIES:
            raise InputError(f"there is no study {study!r}; there are {', '.join(STUDIES)}")
        study = STUDIES[study]
    if metrics is None:
        return study
    if isinstance(metrics, Mapping):
        chosen = tuple(Metric(name, name, function) for name, function in metrics.items())
    else:
        chosen = tuple(metrics)
    if chosen and not chosen[0].every_epoch:
        raise InputError(f"the first metric is shown after every epoch; {chosen[0].name!r} is of the test set only")
    if not chosen:
        raise InputError("`metrics` is empty; give at least one, or None for those of the study")
    return dataclasses.replace(study, metrics=chosen)


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, int):
        if seeds < 1:
            raise InputError(f"`seeds` must be at least 1; got {seeds}")
        return tuple(range(seeds))
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"`seeds` must be a number or different seeds; got {list(seeds)}")
    return tuple(seeds)


def _check_positive(**numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and not number > 0:
            raise InputError(f"`{name}` must be above 0; got {number}")


def _check_installed() -> None:
    needed = {"torch": "torch", "sklearn": "scikit-learn", "matplotlib": "matplotlib", "jinja2": "jinja2"}
    missing = [name for module, name in needed.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(f'this needs {", ".join(missing)}: pip install "lossary[studies]"')


def make_folder(path: Path) -> Path:
    """The folder, made if need be; found out now and not after minutes of training whether it can be written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(f"cannot write to {path}: {error.strerror}; choose another folder") from error
    return path


def _data(study: Study, data: Data | str | Path | None) -> Data:
    if data is None:
        return study.data()
    data = study.load(Path(data)) if isinstance(data, (str, Path)) else data
    for name in ("train", "validation", "test"):
        part = getattr(data, name)
        if isinstance(part, Split) and not len(part):
            raise InputError(f"the {name} part of the data is empty")
        if isinstance(part, Iterator):
            raise InputError(
                f"the {name} part of the data can be iterated only once; give a list of batches or a loader"
            )
    return data


@contextlib.contextmanager
def _torch(threads: int | None) -> Generator[None]:
    """Leaves torch's generator and number of threads as they were."""
    import torch

    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType]
        try:
            if threads is not None:
                torch.set_num_threads(threads)
            yield
        finally:
            torch.set_num_threads(before)


def _save(comparison: Comparison, folder: Path | None, start: float) -> None:
    comparison.seconds = time.perf_counter() - start
    if folder is not None:
        comparison.save(folder)
