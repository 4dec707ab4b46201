"""scikit-learn's handwritten digits."""

import numpy as np

from deepgen_bench.datasets.base import Dataset, Splits, stratified_split
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.plugins import Settings
from deepgen_bench.runtime.seeds import derive_rng


class DigitsSettings(Settings):
    pass


class Digits(Dataset):
    """scikit-learn's 1,797 handwritten digits, 8 × 8 with 17 levels: a stratified 1077 / 360 / 360 split."""

    name = "digits"
    Settings = DigitsSettings
    support = "image"
    has_labels = True
    minimum_accuracy = 0.95

    def expected_size(self) -> tuple[int, int]:
        return 1_797, 64

    def splits(self, base_seed: int) -> Splits:
        from sklearn.datasets import load_digits

        source = load_digits()
        images, labels = source.images.astype(np.uint8)[:, None], source.target.astype(np.int64)
        rng = derive_rng(base_seed, "split", self.name)
        rest, test = stratified_split(labels, 360, rng)
        train, validation = stratified_split(labels[rest], 360, rng)
        index = {"train": rest[train], "validation": rest[validation], "test": test}
        return Splits(
            DataSpec((1, 8, 8), self.support, levels=17, classes=10),
            **{split: images[i] for split, i in index.items()},
            labels={split: labels[i] for split, i in index.items()},
        )
