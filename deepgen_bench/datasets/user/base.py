"""Base of datasets of user-supplied images: settings, splitting, labels."""

from pathlib import Path

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.base import SPLITS, Dataset, Splits, stratified_split
from deepgen_bench.datasets.images import warn_of_binary
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.plugins import Settings, not_identity
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.seeds import derive_rng

MINIMUM_IMAGES = 10
MINIMUM_SPLIT = 2  # the variance of one example is undefined


class UserSettings(Settings):
    path: Path = not_identity()
    validation_fraction: float = Field(0.1, gt=0, le=0.4)
    test_fraction: float = Field(0.1, gt=0, le=0.4)


class UserImages(Dataset):
    """Images from `settings.path`. Splits that the source lacks are seeded, stratified parts of its training images.

    The digest of the prepared data identifies the contents of the files, not their location.
    """

    settings: UserSettings
    support = "image"

    @property
    def path(self) -> Path:
        return self.settings.path.expanduser()

    def complete(
        self, images: dict[str, np.ndarray], labels: dict[str, np.ndarray], levels: int, base_seed: int
    ) -> Splits:
        """Make the three splits from the given ones: `images` has at least train, `labels` the same keys or none."""
        n = len(images["train"])
        missing = [split for split in SPLITS if split not in images]
        if missing and n < MINIMUM_IMAGES:
            raise UserError(f"{self.path}: {n} images to split, at least {MINIMUM_IMAGES} are needed")
        strata = labels.get("train", np.zeros(n, np.int64))
        rng = derive_rng(base_seed, "split", self.name)
        # The source may be sorted, and metrics take the first n examples.
        index = {split: rng.permutation(len(array)) for split, array in images.items()}
        for split in missing:
            fraction = getattr(self.settings, f"{split}_fraction")
            rest, selected = stratified_split(strata[index["train"]], max(MINIMUM_SPLIT, round(fraction * n)), rng)
            index[split], index["train"] = index["train"][selected], index["train"][rest]

        def select(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {split: arrays["train" if split in missing else split][i] for split, i in index.items()}

        for split, i in index.items():
            if len(i) < MINIMUM_SPLIT:
                raise UserError(f"{self.path}: {len(i)} image in {split}; at least {MINIMUM_SPLIT} are needed")
        images, labels = select(images), select(labels) if labels else {}
        warn_of_binary(str(self.path), images["train"], levels)
        spec = DataSpec(
            images["train"].shape[1:], self.support, levels, self._check_classes(labels) if labels else None
        )
        return Splits(spec, **images, labels=labels)

    def _check_classes(self, labels: dict[str, np.ndarray]) -> int:
        """Count the classes. Errors: `UserError` unless training labels are 0 … classes - 1 and no split has others."""
        present = np.unique(labels["train"])
        if not np.array_equal(present, np.arange(len(present))):
            gap = int(np.argmax(present != np.arange(len(present))))
            raise UserError(f"{self.path}: labels must be 0 … classes - 1, but no training image has label {gap}")
        if len(present) < 2:
            raise UserError(f"{self.path}: labels of 1 class; valid: at least 2 classes, or no labels")
        for split, values in labels.items():
            if not np.isin(values, present).all():
                unknown = values[~np.isin(values, present)][0]
                raise UserError(f"{self.path}: label {unknown} of {split} does not occur in train")
        return len(present)
