"""Wasserstein GANs: the critic approximates the dual of the 1-Wasserstein distance (Arjovsky et al. 2017, arXiv
1701.07875)."""

import torch
from torch import Tensor

from deepgen_bench.models.adversarial.gan import AdversarialModel
from deepgen_bench.training.optimisers import Adam, Optimiser, RMSprop


class WGAN(AdversarialModel):
    """Base class of the two Wasserstein GANs, which differ in how the critic is kept Lipschitz."""

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        real_scores, fake_scores = self.critic(torch.cat([real, fake], 1)).chunk(2, 1)
        return fake_scores.mean(1) - real_scores.mean(1)

    def generator_loss(self, scores: Tensor) -> Tensor:
        return -scores.mean(1)

    def critic_metrics(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The critic's estimate of W1 between held-out data and samples, in data units.

        It is W1 times the critic's unknown Lipschitz constant: about one with a gradient penalty, arbitrary with
        clipping.
        """
        return {"validation_w1": (real.mean(1) - fake.mean(1)) * self.module.scale.flatten()}


class ClippedWGAN(WGAN):
    """Weights of the critic clipped after every update, RMSProp (Arjovsky et al. 2017, algorithm 1)."""

    def optimisers(self) -> list[Optimiser]:
        rate = self.settings.learning_rate
        return [RMSprop(net.parameters(), rate) for net in (self.module.generator, self.module.critic)]

    @torch.no_grad()
    def after_critic_step(self) -> None:
        clip = self.settings.clip
        for parameter in self.module.critic.parameters():
            parameter.clamp_(-clip, clip)


class PenalisedWGAN(WGAN):
    """Gradient penalty on points between real and generated ones (Gulrajani et al. 2017, arXiv 1704.00028, eq. 3)."""

    def optimisers(self) -> list[Optimiser]:
        rate = self.settings.learning_rate
        networks = self.module.generator, self.module.critic
        return [Adam(net.parameters(), rate, (0.0, 0.9)) for net in networks]

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        mix = self.noise.uniform(real.shape[1], 1)
        # not torch.lerp, which rounds differently at the end of a tensor
        points = (fake + mix * (real - fake)).requires_grad_()
        # one replicate's scores depend on its own points alone, so the sum's gradient is each score's own
        (gradient,) = torch.autograd.grad(self.critic(points).sum(), points, create_graph=True)
        # the penalty concerns the critic as a function of scaled data, see Networks
        norm = (gradient * self.module.scale).norm(dim=-1)
        return super().critic_loss(real, fake) + self.settings.penalty * (norm - 1).square().mean(1)
