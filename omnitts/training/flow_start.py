"""Where the flow's estimator begins: near the best straight-line guess of the velocity instead of at a random one.

Early on the way the best guess is about mu - x. A small U-Net needs thousands of steps until eighty independent
numbers of noise pass its narrow layers unharmed; here its shortcuts carry x and mu from the first step, and what
training adds is all that is not a straight line. Weights alone are set: nothing of the architecture changes.
Letters: C channels, M mel bands.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from omnitts.models.codec.estimator import Estimator, ResnetBlock, TransformerBlock
from omnitts.training.tokenizer_network import USUAL_MEL

_MU_SHARE: Final = 1.2  # 1 + t: mean over the first half of the way
_QUIET: Final = 0.1  # of the usual size begin the branches beside the shortcuts
_HEIGHT: Final = 16.0  # far above any velocity; LayerNorm then scales frames by nearly the same number
_MISH_SLOPE: Final = 1.1  # of mish(v) - mish(-v), between 1.2 at 0 and 1


@torch.no_grad()
def begin_near_straight(estimator: Estimator) -> None:
    """Sets the weights on the way of x and mu. Needs C >= 2 M; a narrower estimator is left as it is."""
    M, C = estimator.config.out_channels, estimator.config.channels
    if 2 * M > C:
        return
    eye = torch.eye(M)
    down, up = _quiet(estimator.down_blocks[0]), _quiet(estimator.up_blocks[0])
    _fill(down.res_conv, {(0, 0): eye, (M, M): eye}, 2 * M)
    down.res_conv.get_parameter("bias")[M : 2 * M] = -USUAL_MEL
    _fill(up.res_conv, {(0, C): -eye, (0, C + M): _MU_SHARE * eye}, M)
    up_tail, last = _parts(estimator.up_blocks[0])[2], estimator.final_block.block
    _fill(up_tail, {(0, 0): eye}, M)
    # Each number passes LayerNorm and Mish twice, once with its sign changed: their difference is it again.
    _fill(last["0"], {(0, 0): eye, (M, 0): -eye}, 2 * M)
    # Heights alternate, so that the one direction which LayerNorm takes away is none that a mel has.
    heights = _HEIGHT * (-1.0) ** torch.arange(M)
    both = torch.cat((heights, -heights))
    last["0"].get_parameter("bias")[: 2 * M] = both
    last["2"].get_parameter("weight")[: 2 * M] = _HEIGHT * math.sqrt(2 * M / C)
    last["2"].get_parameter("bias")[: 2 * M] = -both
    _fill(estimator.final_proj, {(0, 0): eye / _MISH_SLOPE, (0, M): -eye / _MISH_SLOPE}, M)
    estimator.final_proj.get_parameter("bias").fill_(USUAL_MEL)


def _quiet(stage: nn.Module) -> ResnetBlock:
    """The residual block of a stage, all branches beside its shortcuts made small."""
    resnet, transformers = _parts(stage)[0], _parts(stage)[1]
    assert isinstance(resnet, ResnetBlock)
    assert isinstance(transformers, nn.ModuleList)
    resnet.block2.block["2"].get_parameter("weight").fill_(_QUIET)
    for block in transformers:
        assert isinstance(block, TransformerBlock)
        for closing in (block.attn1.to_out[0], block.ff.net["2"]):
            for weight in closing.parameters():
                weight.mul_(_QUIET)
    return resnet


def _parts(stage: nn.Module) -> nn.ModuleList:
    assert isinstance(stage, nn.ModuleList)
    return stage


def _fill(conv: nn.Module, blocks: dict[tuple[int, int], Tensor], rows: int) -> None:
    """The first ``rows`` outputs of a convolution: the present frame alone, by blocks at (row, column), no bias."""
    weight, bias = conv.get_parameter("weight"), conv.get_parameter("bias")
    weight[:rows] = 0
    bias[:rows] = 0
    for (row, column), block in blocks.items():
        weight[row : row + len(block), column : column + block.shape[1], -1] = block
