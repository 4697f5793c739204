"""The optimisers, and which of them a kind is trained with."""

import torch


class Adam:
    """p -= lr m^ / (sqrt(v^) + eps). `step()` reads and `zero_grad()` drops `.grad`."""

    def __init__(self, parameters, lr, betas=(0.9, 0.999), eps=1e-8):
        self.parameters, self.lr, self.betas, self.eps = list(parameters), lr, betas, eps
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]
        self.k = 0

    def zero_grad(self):
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self):
        self.k += 1
        b1, b2 = self.betas
        c1, c2 = 1 - b1**self.k, 1 - b2**self.k
        for p, m, v in zip(self.parameters, self.m, self.v):
            m.mul_(b1).add_(p.grad, alpha=1 - b1)
            v.mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
            p.addcdiv_(m / c1, (v / c2).sqrt_().add_(self.eps), value=-self.lr)


class Adan(Adam):
    """Adan without weight decay; at the first step the previous gradient is the gradient."""

    def __init__(self, parameters, lr, betas=(0.98, 0.92, 0.99), eps=1e-8):
        super().__init__(parameters, lr, betas, eps)
        self.d = [torch.zeros_like(p) for p in self.parameters]
        self.previous = None

    @torch.no_grad()
    def step(self):
        self.k += 1
        b1, b2, b3 = self.betas
        c1, c2, c3 = 1 - b1**self.k, 1 - b2**self.k, 1 - b3**self.k
        if self.previous is None:
            self.previous = [p.grad.clone() for p in self.parameters]
        for index, p in enumerate(self.parameters):
            g, m, d, n = p.grad, self.m[index], self.d[index], self.v[index]
            change = g - self.previous[index]
            ahead = g + b2 * change
            m.mul_(b1).add_(g, alpha=1 - b1)
            d.mul_(b2).add_(change, alpha=1 - b2)
            n.mul_(b3).addcmul_(ahead, ahead, value=1 - b3)
            p.sub_(self.lr * (m / c1 + b2 * d / c2) / ((n / c3).sqrt_() + self.eps))
            self.previous[index].copy_(g)


def optimiser_of(kind, parameters):
    """The optimiser a kind is trained with, at its full learning rate."""
    rates = {"hnerv_boost": 3e-3, "nerv_boost": 3e-3, "enerv_boost": 1.5e-3, "hnerv": 1e-3}
    if kind.endswith("_boost"):
        return Adan(parameters, rates[kind])
    betas = (0.9, 0.999) if kind == "hnerv" else (0.5, 0.999)
    return Adam(parameters, rates.get(kind, 5e-4), betas)
