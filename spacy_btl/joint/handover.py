"""Give a layer the weights of a trained one: shapes are compared first, encoders handed over whole.

A layer is the encoder of a component, of whatever parts. A pretrained encoder comes with its
tokenizer and its configuration.
"""

from collections.abc import Sequence

from ..ml.encoder_shim import EncoderShim
from ..ml.weights import AnyModel, buffer_names, modules_of

SHOWN = 4
"""Differences of two encoders that an error lists."""


def hand_over_equals(ours: AnyModel, theirs: AnyModel) -> None:
    """Give a layer of the same name its trained encoder, so that none is looked up for it."""
    for node, other in zip(ours.walk(), theirs.walk(), strict=False):
        for shim, trained in zip(_encoders(node), _encoders(other), strict=False):
            same = node.attrs.get("name") == other.attrs.get("name")
            if same and shim.encoder is None and trained.encoder is not None:
                shim.set_encoder(trained.encoder)


def _encoders(node: AnyModel) -> list[EncoderShim]:
    return [shim for shim in node.shims if isinstance(shim, EncoderShim)]


def differences_of(ours: AnyModel, theirs: AnyModel) -> list[str]:
    """Return how the weights of two layers differ in shape; nothing if they do not."""
    nodes, others = list(ours.walk()), list(theirs.walk())
    if [node.name for node in nodes] != [node.name for node in others]:
        return [f'the layer is "{theirs.name}" there ({len(others)} parts), and "{ours.name}" here']
    found = []
    for node, other in zip(nodes, others, strict=True):
        own, its = _shapes(node), _shapes(other)
        for name in dict.fromkeys([*its, *own]):
            if own.get(name) != its.get(name):
                there, here = (shapes.get(name, "absent") for shapes in (its, own))
                found.append(f"{node.name}: {name} is {there} there, and {here} here")
    return found


def listed(differences: Sequence[str]) -> str:
    """Return the first of some differences, and the number of the rest."""
    rest = len(differences) - SHOWN
    return "; ".join(differences[:SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


def _shapes(node: AnyModel) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters of a layer, without those of layers in it."""
    shapes = {
        name: tuple(node.get_param(name).shape) for name in node.param_names if node.has_param(name)
    }
    for module in modules_of(node):
        buffers = buffer_names(module)
        shapes.update(
            (name, tuple(each.shape))
            for name, each in module.state_dict().items()
            if name not in buffers
        )
    return shapes


def copy_weights(ours: AnyModel, theirs: AnyModel) -> None:
    """Take over all weights of a layer, and of an encoder its tokenizer and configuration too."""
    for node, other in zip(ours.walk(), theirs.walk(), strict=True):
        for name in node.param_names:
            if other.has_param(name):
                node.set_param(name, other.get_param(name).copy())
        for shim, trained in zip(node.shims, other.shims, strict=True):
            if isinstance(shim, EncoderShim) and isinstance(trained, EncoderShim):
                if trained.encoder is not None:
                    shim.set_encoder(trained.encoder)
            else:
                its_bytes: bytes = trained.to_bytes()  # type: ignore[no-untyped-call]
                shim.from_bytes(its_bytes)
