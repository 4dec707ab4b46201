"""Public image datasets in torchvision's layout: MNIST, Fashion-MNIST and CIFAR-10."""
