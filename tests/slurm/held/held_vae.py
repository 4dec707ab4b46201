"""A VAE that trains slowly for as long as the file `hold` lies in the working directory: a test decides how long."""

import time
from pathlib import Path

from torch import Tensor

from deepgen_bench.models.vae.model import VAE


class Held(VAE):
    def step(self) -> dict[str, Tensor]:
        if Path("hold").exists():
            time.sleep(0.2)
        return super().step()
