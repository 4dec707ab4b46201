"""Datasets: synthetic densities, digits, torchvision's classics and the user's own images, found by name."""

from deepgen_bench.registry import Registry

DATASETS = Registry(
    "dataset",
    {
        "sine_mixture": "deepgen_bench.datasets.synthetic:SineMixture",
        "gaussian_ring": "deepgen_bench.datasets.synthetic:GaussianRing",
        "gaussian_grid": "deepgen_bench.datasets.synthetic:GaussianGrid",
        "digits": "deepgen_bench.datasets.digits:Digits",
        "mnist": "deepgen_bench.datasets.mnist:MNIST",
        "fashion_mnist": "deepgen_bench.datasets.mnist:FashionMNIST",
        "cifar10": "deepgen_bench.datasets.cifar10:CIFAR10",
        "image_folder": "deepgen_bench.datasets.image_folder:ImageFolder",
        "npz": "deepgen_bench.datasets.npz:Npz",
    },
)
