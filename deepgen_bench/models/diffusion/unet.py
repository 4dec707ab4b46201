"""A small U-Net (Ronneberger et al. 2015) as in denoising diffusion (Ho et al. 2020, appendix B), without attention."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def normalised(channels: int) -> nn.Module:
    """Group normalisation, in groups of at least four channels where they can be."""
    return nn.GroupNorm(
        next(groups for groups in (8, 4, 2, 1) if channels % (4 * groups) == 0 or groups == 1), channels
    )


class Block(nn.Module):
    """A residual block (B, inputs, h, w) → (B, outputs, h, w) that is told the time by features (B, width)."""

    def __init__(self, inputs: int, outputs: int, width: int):
        super().__init__()
        self.before, self.first = normalised(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(width, outputs)
        self.between, self.second = normalised(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.first(F.silu(self.before(x))) + self.time(time)[..., None, None]
        return self.skip(x) + self.second(F.silu(self.between(h)))


class UNet(nn.Module):
    """Images and features of the time, (B, inputs, h, w) and (B, times), to (B, outputs, h, w), sides divisible by 4.

    One block down and one up at the full and at half the resolution, one at a quarter; `channels` at the full one and
    twice as many at the others.
    """

    def __init__(self, inputs: int, outputs: int, times: int, channels: int):
        super().__init__()
        narrow, wide, width = channels, 2 * channels, 4 * channels
        self.time = nn.Sequential(nn.Linear(times, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.start = nn.Conv2d(inputs, narrow, 3, padding=1)
        self.down = nn.ModuleList([Block(narrow, narrow, width), Block(wide, wide, width)])
        self.halve = nn.ModuleList(nn.Conv2d(size, wide, 3, stride=2, padding=1) for size in (narrow, wide))
        self.middle = Block(wide, wide, width)
        self.up = nn.ModuleList([Block(2 * wide, wide, width), Block(wide + narrow, narrow, width)])
        self.end, self.head = normalised(narrow), nn.Conv2d(narrow, outputs, 3, padding=1)

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        time = self.time(times)
        h, kept = self.start(x), []
        for block, halve in zip(self.down, self.halve, strict=True):
            kept.append(block(h, time))
            h = halve(kept[-1])
        h = self.middle(h, time)
        for block in self.up:
            h = block(torch.cat([F.interpolate(h, scale_factor=2.0), kept.pop()], 1), time)
        return self.head(F.silu(self.end(h)))
