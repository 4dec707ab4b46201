"""Networks with an explicit leading replicate axis.

Parameters are (S, …), activations (S, B, …): one batched product serves S replicates, and each gets exactly its own
gradient because losses are summed over replicates. A replicate's numbers do not depend on how many others (at least
one) are beside it; a block of one takes other code paths in the matrix library, so an MLP is never trained alone
(`deepgen_bench.models.deep`). Convolutions loop over replicates: on a CPU grouped convolutions are slower.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW_CHANNELS = 4
# numbers that torch's vectorised loops take at once: two of the widest registers
LOOP = 32


def silu(x: Tensor) -> Tensor:
    """x σ(x), in the shape of x (S, …).

    Torch's own function rounds the remainder at the end of a tensor differently, so that the last replicate's
    numbers would depend on how many there are, unless each fills its vectorised loops.
    """
    whole = x.device.type != "cpu" or (x.is_contiguous() and x[0].numel() % LOOP == 0)
    return F.silu(x) if whole else x * (0.5 + 0.5 * (0.5 * x).tanh())


def uniform(shape: Sequence[int], bound: float, generators: Sequence[torch.Generator]) -> nn.Parameter:
    """A parameter (S, *shape) uniform on [-bound, bound], each replicate drawn from its own generator."""
    return nn.Parameter(torch.stack([(torch.rand(*shape, generator=g) * 2 - 1) * bound for g in generators]))


def stacked(parts: Sequence[Tensor]) -> Tensor:
    """S tensors stacked to (S, …); a single one is not copied."""
    return parts[0][None] if len(parts) == 1 else torch.stack(list(parts))


class Linear(nn.Module):
    """(S, B, in) → (S, B, out), initialised like `torch.nn.Linear`."""

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]):
        super().__init__()
        bound = inputs**-0.5
        self.weight = uniform((inputs, outputs), bound, generators)
        self.bias = uniform((1, outputs), bound, generators)

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class Conv2d(nn.Module):
    """(S, B, in, h, w) → (S, B, out, h / 2, w / 2): 4×4 kernels of stride 2."""

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]):
        super().__init__()
        bound = (16 * inputs) ** -0.5
        self.weight = uniform((outputs, inputs, 4, 4), bound, generators)
        self.bias = uniform((outputs,), bound, generators)

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(x, self.weight, self.bias, strict=True)
        return stacked([F.conv2d(xs, w, b, stride=2, padding=1) for xs, w, b in parts])


class ConvTranspose2d(nn.Module):
    """(S, B, in, h, w) → (S, B, out, 2h, 2w): 4×4 kernels of stride 2.

    For the few channels of an image it is computed as a product whose columns are added up, three times as fast as
    the library's kernels, which are made for many channels.
    """

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]):
        super().__init__()
        bound = (4 * inputs) ** -0.5
        self.weight = uniform((inputs, outputs, 4, 4), bound, generators)
        self.bias = uniform((outputs,), bound, generators)

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.bias.shape[1]
        if outputs <= FEW_CHANNELS:
            columns = self.weight.flatten(2).mT[:, None] @ x.flatten(3)
            size = 2 * x.shape[3], 2 * x.shape[4]
            out = F.fold(columns.flatten(0, 1), size, 4, stride=2, padding=1)
            return out.unflatten(0, x.shape[:2]) + self.bias[:, None, :, None, None]
        parts = zip(x, self.weight, self.bias, strict=True)
        return stacked([F.conv_transpose2d(xs, w, b, stride=2, padding=1) for xs, w, b in parts])


class BatchNorm(nn.Module):
    """Normalises channels of (S, B, C, h, w) over batch and positions, each replicate by itself (Ioffe & Szegedy
    2015)."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, replicates: int, momentum: float = 0.1):
        super().__init__()
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(replicates, channels))
        self.bias = nn.Parameter(torch.zeros(replicates, channels))
        self.register_buffer("running_mean", torch.zeros(replicates, channels))
        self.register_buffer("running_var", torch.ones(replicates, channels))

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(x, self.running_mean, self.running_var, self.weight, self.bias, strict=True)
        return stacked([F.batch_norm(xs, m, v, w, b, self.training, self.momentum) for xs, m, v, w, b in parts])


class MLP(nn.Sequential):
    """(S, B, inputs) → (S, B, outputs) through hidden layers of the given widths."""

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        generators: Sequence[torch.Generator],
        activation: str = "leaky_relu",
    ):
        widths = [inputs, *hidden, outputs]
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            follows = nn.Tanh() if activation == "tanh" else nn.LeakyReLU(0.2)
            layers += [Linear(before, after, generators), follows]
        super().__init__(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        # in the precision of the input, whatever the precision of the products
        return super().forward(x).to(x.dtype)


class ConvDown(nn.Module):
    """Flattened images (S, B, c·h·w) → (S, B, outputs): two convolutions of stride 2 and one hidden linear layer."""

    def __init__(
        self, shape: tuple[int, ...], channels: int, width: int, outputs: int, generators: Sequence[torch.Generator]
    ):
        super().__init__()
        c, h, w = self.shape = shape
        self.convolutions = nn.Sequential(
            Conv2d(c, channels, generators),
            nn.LeakyReLU(0.2),
            Conv2d(channels, 2 * channels, generators),
            nn.LeakyReLU(0.2),
        )
        self.head = MLP(2 * channels * (h // 4) * (w // 4), [width], outputs, generators)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.convolutions(x.reshape(*x.shape[:2], *self.shape)).flatten(2)).to(x.dtype)


class ConvUp(nn.Module):
    """(S, B, inputs) → flattened images (S, B, c·h·w): a linear layer, then two transposed convolutions of stride 2.

    Batch normalisation follows every hidden layer, as in Radford et al. 2016 (arXiv 1511.06434), if `normalise`; with
    a `width` another linear layer comes first, as in InfoGAN (Chen et al. 2016, arXiv 1606.03657, table 1).
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        shape: tuple[int, ...],
        generators: Sequence[torch.Generator],
        normalise: bool,
        width: int | None = None,
    ):
        super().__init__()
        c, h, w = shape
        self.start = (4 * channels, h // 4, w // 4)
        replicates = len(generators)

        def hidden(width: int) -> list[nn.Module]:
            return [BatchNorm(width, replicates), nn.ReLU()] if normalise else [nn.LeakyReLU(0.2)]

        first: list[nn.Module] = []
        if width is not None:
            # vectors (S, B, width) as images of one pixel
            first = [Linear(inputs, width, generators), nn.Unflatten(2, (width, 1, 1)), *hidden(width), nn.Flatten(2)]
        self.stem = nn.Sequential(*first, Linear(width or inputs, 4 * channels * (h // 4) * (w // 4), generators))
        self.layers = nn.Sequential(
            *hidden(4 * channels),
            ConvTranspose2d(4 * channels, 2 * channels, generators),
            *hidden(2 * channels),
            ConvTranspose2d(2 * channels, c, generators),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(self.stem(z).reshape(*z.shape[:2], *self.start)).flatten(2).to(z.dtype)
