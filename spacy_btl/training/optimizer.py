"""Adam with a learning rate for each layer: the lower a layer of an encoder, the less it changes.

The lower layers of a pretrained encoder know about words in general, and a few hundred documents
should not wash that out; the new linear layer above it knows nothing yet (discriminative
fine-tuning: Howard, Ruder 2018, arXiv 1801.06146). Thinc's optimizer is one function of all arrays
of weights, and its ``lr_scale`` the only means to give them different rates.
"""

import re
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from spacy.language import Language
from thinc.api import Config, NumpyOps, Optimizer
from thinc.types import FloatsXd, Generator

from ..util.checks import above_0, at_least_0, between
from ..util.messages import warn

FUSED_ON_CPU = (2, 4)
"""First version of torch whose Adam has one pass for all of it on a CPU."""

Float32s: TypeAlias = npt.NDArray[np.float32]

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|block)\.(\d+)\.")


class AdamByLayer(Optimizer):
    """Adam with a lower rate for lower layers of a pretrained encoder (arXiv 1801.06146).

    ``spacy train`` moves the schedules after each update. ``nlp.update`` does not, and a rate that
    warms up would stay at 0: as long as nobody calls `step_schedules`, the optimizer does so
    itself, before weights get a second update at the same rate.

    Args:
        learn_rate: Learning rate of the encoder's top layer; a number or a schedule.
        layer_decay: Factor for each layer further down, above 0 and at most 1; 1 for equal rates.
        head_factor: Factor for the layers outside a pretrained encoder, above 0; try 20 for a
            larger encoder than MiniLM.
        beta1: This and all further settings are those of ``Adam.v1``.
        beta2: As in ``Adam.v1``.
        eps: As in ``Adam.v1``.
        L2: As in ``Adam.v1``.
        L2_is_weight_decay: As in ``Adam.v1``.
        grad_clip: As in ``Adam.v1``.
        use_averages: As in ``Adam.v1``.

    Raises:
        ValueError: If a setting is out of its range.
    """

    __slots__ = ["_is_stepped", "_updated", "depths", "head_factor", "layer_decay"]

    def __init__(
        self,
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
    ) -> None:
        if isinstance(learn_rate, int | float):
            above_0("learn_rate", learn_rate)
        for name, beta in (("beta1", beta1), ("beta2", beta2)):  # with 0 it would not be Adam
            between(name, beta, 0, 1, low_itself=False, high_itself=False)
        super().__init__(
            learn_rate,
            beta1=beta1,
            beta2=beta2,
            eps=above_0("eps", eps),
            L2=at_least_0("L2", L2),
            L2_is_weight_decay=L2_is_weight_decay,
            grad_clip=at_least_0("grad_clip", grad_clip),
            use_averages=use_averages,
        )
        self.layer_decay = between("layer_decay", layer_decay, 0, 1, low_itself=False)
        self.head_factor = above_0("head_factor", head_factor)
        self.depths: dict[int, int] = {}
        self._updated: set[tuple[int, str]] = set()
        self._is_stepped = False

    def step_schedules(self) -> None:
        """Move all schedules by one step; from now on, they move by these calls alone."""
        self._is_stepped = True
        super().step_schedules()  # type: ignore[no-untyped-call]

    def __call__(
        self,
        key: tuple[int, str],
        weights: FloatsXd,
        gradient: FloatsXd,
        *,
        lr_scale: float = 1.0,
    ) -> tuple[FloatsXd, FloatsXd]:
        """Take one step for one array of weights.

        The number of layers of an encoder is known once its first step is over: in that one step
        all of it is scaled like its top layer (with a schedule that warms up, a step of almost
        nothing).

        Args:
            key: Id of the model's layer, and the name of the weights there.
            weights: The array of weights.
            gradient: Its gradient.
            lr_scale: Further factor of the learning rate.
        """
        owner, name = key
        if not self._is_stepped:
            if key in self._updated:
                super().step_schedules()  # type: ignore[no-untyped-call]
                self._updated.clear()
            self._updated.add(key)
        if found := _LAYER.search(name):
            self.depths[owner] = max(self.depths.get(owner, 0), int(found[1]) + 1)
        factor = rate_factor(name, self.depths.get(owner, 0), self.layer_decay, self.head_factor)
        if all(_is_plain(each) for each in (weights, gradient)) and weights.size:
            self._step(key, np.asarray(weights), np.asarray(gradient), lr_scale * factor)
        else:
            weights, gradient = super().__call__(key, weights, gradient, lr_scale=lr_scale * factor)
        return weights, gradient

    def _step(
        self, key: tuple[int, str], weights: Float32s, gradient: Float32s, scale: float
    ) -> None:
        """Do what Thinc's Adam does, in one pass over each array instead of about ten.

        torch's kernel is used. It adds ``eps`` after the correction of the second moment, Thinc
        before, and it lets the weights decay before their step, Thinc after it (which differs by
        the product of the two, about a millionth of the step).
        """
        import torch
        from torch.optim.adamw import adamw

        ops: Any = NumpyOps()
        if self.L2 and not self.L2_is_weight_decay:
            gradient += self.L2 * weights
        if self.grad_clip:
            gradient = ops.clip_gradient(gradient, self.grad_clip)
        n_before = self.nr_update[key]
        self.nr_update[key] += 1
        for moments in (self.mom1, self.mom2):
            if key not in moments:
                moments[key] = ops.alloc1f(weights.size)
        arrays: Any = (weights, gradient, self.mom1[key], self.mom2[key])
        w, g, mean, variance = ([torch.from_numpy(each.reshape(-1))] for each in arrays)
        adamw(
            w,
            g,
            mean,
            variance,
            max_exp_avg_sqs=[],
            state_steps=[torch.tensor(float(n_before))],
            fused=_version(torch.__version__) >= FUSED_ON_CPU,
            amsgrad=False,
            beta1=self.b1,
            beta2=self.b2,
            lr=self.learn_rate * scale,
            weight_decay=self.L2 if self.L2_is_weight_decay else 0.0,
            eps=self.eps / (1 - self.b2 ** (n_before + 1)) ** 0.5,
            maximize=False,
        )
        gradient[...] = 0
        averages: Any = self.averages
        if averages is not None:
            if key not in averages:
                averages[key] = ops.alloc(weights.shape, dtype="float32")
            ops.update_averages(averages[key], weights, n_before + 1)


def _is_plain(array: object) -> bool:
    """Return whether torch's kernel can change an array in place."""
    return isinstance(array, np.ndarray) and array.dtype == np.float32 and array.flags.c_contiguous


def _version(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(int(part) for part in text.split(".")[:2])


def idle_updates(before: int, sgd: object, name: str) -> int:
    """Return how many updates in a row have had a learning rate of 0, with a warning at the second.

    The first update of a warmup has this rate, so that one of them means nothing.

    Args:
        before: Their number before this update.
        sgd: The optimizer; a function in its place has no rate.
        name: Name of the component that was updated.
    """
    if getattr(sgd, "learn_rate", 1.0):
        return 0
    if before == 1:
        warn(
            f'updates of "{name}" change nothing: the learning rate of the optimizer is 0. Either '
            "its schedule has ended (total_steps), or nobody moves it: call "
            "optimizer.step_schedules() after each nlp.update"
        )
    return before + 1


def fill_in_optimizer(nlp: Language | None) -> None:
    """Put the values of ``[training.optimizer]`` in the place of its references.

    spaCy's ``create_optimizer`` makes the optimizer of this block alone, so that a reference to
    another block, such as ``total_steps = ${training.max_steps}``, would not be resolved. A
    block without references, or with some that lead nowhere, stays as it is.

    Args:
        nlp: The pipeline, whose configuration is changed in place; None for nothing.
    """
    training = {} if nlp is None else nlp.config.get("training", {})
    if nlp is None or "${" not in str(training.get("optimizer")):
        return
    try:
        training["optimizer"] = nlp.config.interpolate()["training"]["optimizer"]
    except ValueError:  # spaCy says what is wrong with it where it is used
        return


def prepare_training(nlp: Language | None) -> None:
    """Do `fill_in_optimizer`, and warn where a training ends before it is first evaluated.

    ``spacy train`` then scores the untrained pipeline alone, and saves it as model-best.

    Args:
        nlp: The pipeline with its configuration; None for nothing.
    """
    fill_in_optimizer(nlp)
    training = {} if nlp is None else nlp.config.get("training", {})
    every, steps = training.get("eval_frequency"), training.get("max_steps")
    if isinstance(every, int) and isinstance(steps, int) and 0 < steps < every:
        warn(
            f"the training has {steps} updates and is evaluated every {every}: only the untrained "
            "pipeline is scored, and saved as model-best. Set training.eval_frequency to "
            f"{steps} or lower"
        )


def set_max_steps(config: Config, steps: int) -> None:
    """Set ``training.max_steps``, and the length of a schedule that was as long as the training.

    Args:
        config: The configuration of a pipeline, which is changed in place.
        steps: Updates of the weights.
    """
    training = config["training"]
    before, training["max_steps"] = training.get("max_steps"), steps
    for block in _blocks(training.get("optimizer")):
        if before and block.get("total_steps") == before:
            block["total_steps"] = steps


def _blocks(block: Any) -> list[dict[str, Any]]:
    """Return a block of a configuration and all blocks in it; nothing for any other value."""
    if not isinstance(block, dict):
        return []
    return [block, *(each for value in block.values() for each in _blocks(value))]


def rate_factor(name: str, depth: int, layer_decay: float, head_factor: float) -> float:
    """Return the factor of the learning rate for an array of weights.

    Args:
        name: Name of the weights. With a dot in it, they belong to a torch module, which is taken
            for an encoder: 1 in the top one of its layers, times ``layer_decay`` for each layer
            further down; the embeddings are one below the lowest. Without a dot, they belong to a
            Thinc layer, which is taken for the head: ``head_factor``.
        depth: Number of layers of the encoder.
        layer_decay: Factor from one layer to the next one below it.
        head_factor: Factor of the head.
    """
    if "." not in name:
        return head_factor
    if found := _LAYER.search(name):
        return float(layer_decay ** (depth - 1 - int(found[1])))
    return float(layer_decay**depth) if "embed" in name else 1.0
