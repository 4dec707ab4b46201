"""Pictures as PNG: sheets of images, and densities as heat maps."""

import io
from base64 import b64encode
from math import ceil, sqrt

import numpy as np

# width or height in pixels to which a sheet of small images is enlarged
WIDTH = 512


def sheet(images: np.ndarray, levels: int) -> bytes:
    """Images (rows, columns, c, h, w) with values below `levels` as one PNG; small ones are enlarged."""
    from PIL import Image

    rows, columns, c, h, w = images.shape
    canvas = np.zeros((rows, h + 1, columns, w + 1, c), np.uint8)
    canvas[:, :h, :, :w] = np.rint(images * (255.0 / (levels - 1))).transpose(0, 3, 1, 4, 2)
    flat = canvas.reshape(rows * (h + 1), columns * (w + 1), c)
    picture = Image.fromarray(flat.squeeze(-1) if c == 1 else flat)
    factor = max(1, WIDTH // max(picture.size))
    return _png(picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST))


def square(images: np.ndarray) -> np.ndarray:
    """Images (n, c, h, w) as (rows, columns, c, h, w) in a nearly square arrangement, filled up with black."""
    columns = ceil(sqrt(len(images)))
    rows = ceil(len(images) / columns)
    filled = np.concatenate([images, np.zeros((rows * columns - len(images), *images.shape[1:]), images.dtype)])
    return filled.reshape(rows, columns, *images.shape[1:])


def heat_map(density: np.ndarray, top: float) -> bytes:
    """A density (nx, ny) as a PNG with y upwards; colours follow its square root and end at `top`."""
    from matplotlib import colormaps
    from PIL import Image

    shares = np.clip(density.T[::-1] / top, 0, 1) ** 0.5
    return _png(Image.fromarray(colormaps["viridis"](shares, bytes=True)))


def data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"


def _png(picture) -> bytes:  # type: ignore[no-untyped-def]
    file = io.BytesIO()
    picture.save(file, format="png", optimize=True)
    return file.getvalue()
