"""What the user's own images share, whatever they come from: settings, splitting, labels, fingerprint."""

from pathlib import Path

import numpy as np
from pydantic import Field

from deepgen_bench.datasets.base import SPLITS, Dataset, Splits, split_off
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.plugins import Settings, not_identity
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.runtime.seeds import derive_rng

MINIMUM_IMAGES = 10
MINIMUM_SPLIT = 2  # one example has no spread


class UserSettings(Settings):
    path: Path = not_identity()
    validation_fraction: float = Field(0.1, gt=0, le=0.4)
    test_fraction: float = Field(0.1, gt=0, le=0.4)


class UserImages(Dataset):
    """Images from `settings.path`; splits that the source does not have are taken, seeded and stratified, from train.

    The content of the files, not their place, is what the data's digest stands for.
    """

    settings: UserSettings
    support = "image"

    @property
    def path(self) -> Path:
        return self.settings.path.expanduser()

    def complete(
        self, images: dict[str, np.ndarray], labels: dict[str, np.ndarray], levels: int, base_seed: int
    ) -> Splits:
        """The three splits from the given ones, of which train always is; labels are empty or as the images."""
        n = len(images["train"])
        missing = [split for split in SPLITS if split not in images]
        if missing and n < MINIMUM_IMAGES:
            raise UserError(f"{self.path}: {n} images to split, at least {MINIMUM_IMAGES} are needed")
        strata = labels.get("train", np.zeros(n, np.int64))
        rng = derive_rng(base_seed, "split", self.name)
        # what is given may be sorted, and metrics take the first n examples
        index = {split: rng.permutation(len(given)) for split, given in images.items()}
        for split in missing:
            fraction = getattr(self.settings, f"{split}_fraction")
            kept, taken = split_off(strata[index["train"]], max(MINIMUM_SPLIT, round(fraction * n)), rng)
            index[split], index["train"] = index["train"][taken], index["train"][kept]

        def pick(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {split: given["train" if split in missing else split][i] for split, i in index.items()}

        for split, chosen in index.items():
            if len(chosen) < MINIMUM_SPLIT:
                raise UserError(f"{self.path}: {len(chosen)} image in {split}; at least {MINIMUM_SPLIT} are needed")
        images, labels = pick(images), pick(labels) if labels else {}
        spec = DataSpec(
            images["train"].shape[1:], self.support, levels, self._check_classes(labels) if labels else None
        )
        return Splits(spec, **images, labels=labels)

    def _check_classes(self, labels: dict[str, np.ndarray]) -> int:
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
