"""Fewer nodes for the same numbers: a list of nodes in, a shorter one out. The nodes that stay are changed in place.

A fused node makes the value of the last node it replaces; the values between are no longer made. Knows nothing of how
a node is run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .lowering import Lowering
from .nodes import Node
from .operators import Array


def absorb(nodes: Sequence[Node], lowered: Lowering) -> list[Node]:
    """Folds constant factors and summands behind products and convolutions into their weights and biases."""
    users = lowered.users(nodes)
    gone: set[int] = set()
    for node in nodes:
        while node.op in ("Linear", "Conv") and len(users[node.outputs[0]]) == 1:
            (user,) = users[node.outputs[0]]
            if user.op not in ("Add", "Mul") or not fold_constant(node, user, lowered.constants):
                break
            node.outputs = user.outputs
            gone.add(id(user))
    return [node for node in nodes if id(node) not in gone]


def fold_constant(node: Node, user: Node, constants: dict[str, Array]) -> bool:
    """Takes the constant of the Add or Mul into the node, unless it is not one number an output channel."""
    other = user.inputs[1] if user.inputs[0] == node.outputs[0] else user.inputs[0]
    if other not in constants:
        return False
    value, weight, bias = constants[other], node.attributes["weight"], node.attributes["bias"]
    channels, shape = (weight.shape[0], (-1, 1, 1)) if node.op == "Conv" else (weight.shape[1], (-1,))
    spread = value.ndim > 1 and value.shape[-2 if node.op == "Conv" else -1] != value.size
    if value.size != 1 and (value.size != channels or spread or (node.op == "Conv" and value.ndim < 2)):
        return False
    row = value.astype(np.float32).reshape(-1)
    if user.op == "Mul":
        node.attributes["weight"] = weight * row.reshape(shape)
        node.attributes["bias"] = None if bias is None else bias * row
    else:
        node.attributes["bias"] = np.broadcast_to(row, (channels,)) + (0 if bias is None else bias)
    return True


def fuse_norms(nodes: Sequence[Node], lowered: Lowering) -> list[Node]:
    """Mean, Sub, square, Mean, Add, Sqrt, Div over one axis become one Norm."""
    users = lowered.users(nodes)
    gone: set[int] = set()
    for mean in nodes:
        chain = norm_chain(mean, users, lowered.constants)
        if chain is not None:
            *inner, divide = chain
            gone.update(id(node) for node in inner)
            axis, epsilon = int(lowered.constants[mean.inputs[1]].item()), lowered.constants[chain[4].inputs[1]].item()
            divide.op, divide.inputs, divide.attributes = "Norm", mean.inputs[:1], {"axis": axis, "epsilon": epsilon}
    return [node for node in nodes if id(node) not in gone]


def norm_chain(mean: Node, users: dict[str, list[Node]], constants: dict[str, Array]) -> list[Node] | None:
    """The seven nodes of a normalisation that starts at this ReduceMean."""

    def follow(node: Node, *ops: str) -> list[Node] | None:
        found = users.get(node.outputs[0], [])
        return found if sorted(user.op for user in found) == sorted(ops) else None

    if mean.op != "ReduceMean" or not (after := follow(mean, "Sub")):
        return None
    sub = after[0]
    if sub.inputs != [mean.inputs[0], mean.outputs[0]] or not (after := follow(sub, "Mul", "Mul", "Div")):
        return None
    square, divide = next(n for n in after if n.op == "Mul"), next(n for n in after if n.op == "Div")
    chain = [mean, sub, square]
    for op in ("ReduceMean", "Add", "Sqrt", "Div"):
        after = follow(chain[-1], op)
        if not after:
            return None
        chain += after
    _, _, _, variance, add, root, last = chain
    same = variance.inputs[1:] == mean.inputs[1:] and constants.get(mean.inputs[1], np.zeros(0)).size == 1
    plain = add.inputs[1] in constants and divide.inputs == [sub.outputs[0], root.outputs[0]]
    kept = all(node.attributes.get("keepdims", 1) == 1 for node in (mean, variance))
    return chain if same and plain and kept and last is divide else None


def fuse_multiply_add(nodes: Sequence[Node], lowered: Lowering) -> list[Node]:
    """A product that only a sum reads becomes one step with it."""
    users = lowered.users(nodes)
    made = {node.outputs[0]: node for node in nodes}
    gone: set[int] = set()
    for node in nodes:
        for turn in (0, 1) if node.op == "Add" and node.on_device else ():
            product = made.get(node.inputs[turn])
            if product and product.op == "Mul" and product.on_device and len(users[product.outputs[0]]) == 1:
                node.op, node.inputs = "MulAdd", [node.inputs[1 - turn], *product.inputs]
                gone.add(id(product))
                break
    return [node for node in nodes if id(node) not in gone]
