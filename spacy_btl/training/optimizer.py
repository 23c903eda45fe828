"""Adam with a rate for each layer: the lower a layer of a pretrained encoder, the less it changes.

What a pretrained encoder knows of words in general lies in its lower layers, and a few hundred
documents should not wash it out; the new linear layer above it knows nothing yet (discriminative
fine-tuning: Howard, Ruder 2018, arXiv 1801.06146).
"""

import re
from typing import Any

from thinc.api import Optimizer
from thinc.types import FloatsXd, Generator

from ..util.checks import above_0

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|block)\.(\d+)\.")


class AdamByLayer(Optimizer):
    """Adam whose steps are scaled by the place of the weights in the model; see `rate_factor`."""

    __slots__ = ["depths", "head_factor", "layer_decay"]

    def __init__(
        self,
        learn_rate: float | Generator,
        *,
        layer_decay: float,
        head_factor: float,
        **settings: Any,
    ) -> None:
        super().__init__(learn_rate, **settings)
        self.layer_decay = layer_decay
        self.head_factor = head_factor
        self.depths: dict[int, int] = {}

    def __call__(
        self,
        key: tuple[int, str],
        weights: FloatsXd,
        gradient: FloatsXd,
        *,
        lr_scale: float = 1.0,
    ) -> tuple[FloatsXd, FloatsXd]:
        """One step for one array of weights. key: of its layer of the model, and its name there.

        How many layers an encoder has is known once its first step is over: in that one step all of
        it is scaled like its top (with a schedule that warms up, a step of almost nothing).
        """
        owner, name = key
        if found := _LAYER.search(name):
            self.depths[owner] = max(self.depths.get(owner, 0), int(found[1]) + 1)
        factor = rate_factor(name, self.depths.get(owner, 0), self.layer_decay, self.head_factor)
        weights, gradient = super().__call__(key, weights, gradient, lr_scale=lr_scale * factor)
        return weights, gradient


def rate_factor(name: str, depth: int, layer_decay: float, head_factor: float) -> float:
    """What the learning rate of an array of weights is multiplied by.

    name: of the weights. With a dot in it, they are those of a torch module, which is taken for an
        encoder: 1 in the top one of its ``depth`` layers, times ``layer_decay`` for each layer
        further down, the embeddings being one below the lowest. Without, those of a Thinc layer,
        the head: ``head_factor``.
    """
    if "." not in name:
        return head_factor
    if found := _LAYER.search(name):
        return float(layer_decay ** (depth - 1 - int(found[1])))
    return float(layer_decay**depth) if "embed" in name else 1.0


def make_adam_by_layer(
    *,
    learn_rate: float | Generator,
    layer_decay: float = 0.87,
    head_factor: float = 4.0,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    L2: float = 0.01,
    L2_is_weight_decay: bool = True,
    grad_clip: float = 1.0,
    use_averages: bool = False,
) -> AdamByLayer:
    """The registered form ``spacy-btl.AdamByLayer.v1``, for ``[training.optimizer]``.

    learn_rate: of the encoder's top layer; a number or a schedule.
    layer_decay: factor for each layer further down, above 0 and at most 1; 1 for equal rates.
    head_factor: factor for the layers that are no pretrained encoder, above 0.
    The other settings are those of ``Adam.v1``.

    Raises ValueError for a factor out of its range.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay is {layer_decay}, but must be above 0 and at most 1")
    return AdamByLayer(
        learn_rate,
        layer_decay=layer_decay,
        head_factor=above_0("head_factor", head_factor),
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        L2=L2,
        L2_is_weight_decay=L2_is_weight_decay,
        grad_clip=grad_clip,
        use_averages=use_averages,
    )
