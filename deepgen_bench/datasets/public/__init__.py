"""Public image datasets in torchvision's directory layout: MNIST, Fashion-MNIST and CIFAR-10."""
