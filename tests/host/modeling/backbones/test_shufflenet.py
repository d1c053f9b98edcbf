"""ShuffleNetV2's blocks: the host's channels, also of another batch size once they are traced."""

import pytest
import torch
from fastreid.modeling.backbones.shufflenet import ShuffleV2Block


def test_channels_are_the_hosts():
    block = ShuffleV2Block("BN", 4, 8, 4, ksize=3, stride=1)
    x = torch.rand(3, 8, 4, 2, requires_grad=True)
    host = x.reshape(3 * 8 // 2, 2, 4 * 2).permute(1, 0, 2).reshape(2, -1, 8 // 2, 4, 2)  # shufflenet.py:78
    halves = block.channel_shuffle(x)
    assert all(torch.equal(half, expected) for half, expected in zip(halves, host, strict=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_traced_block_takes_any_batch(unpatched):
    assert unpatched["shufflenet_traced"] != [4, 8, 4, 2]
    block = ShuffleV2Block("BN", 4, 8, 4, ksize=3, stride=1).eval()
    with torch.no_grad():
        traced = torch.jit.trace(block, torch.rand(2, 8, 4, 2))
        for count in (1, 4, 5):
            x = torch.rand(count, 8, 4, 2)
            torch.testing.assert_close(traced(x), block(x))
