"""A training step of the recipe's U-Net: bfloat16 autocast and channels_last against plain float32."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from ratios import record
from torch import nn

from rasterloom.learning.networks import build

WAYS = {
    "bfloat16, channels_last": (True, True),
    "bfloat16": (False, True),
    "float32, channels_last": (True, False),
    "float32": (False, False),
}
"""Whether memory is laid out by channels_last, and whether the forward pass is in bfloat16; first the recipe's way."""


def stepper(
    channels_last: bool, bfloat16: bool, batch: int, patch: int, device: str = "cpu", width: int = 64
) -> Callable[[], None]:
    """One optimiser step on random patches."""
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = {"kind": "unet", "width": width, "depth": 6, "convs_per_block": 3}
    net = build(model, 20).to(device, memory_format=layout).train()
    optimiser = torch.optim.AdamW(net.parameters())
    data = torch.randn(batch, 20, patch, patch).to(device, memory_format=layout)
    target = (torch.rand(batch, 1, patch, patch) > 0.9).float().to(device)
    loss_of = nn.BCEWithLogitsLoss()

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bfloat16):
            logits = net(data)
        loss_of(logits.float().reshape(target.shape), target).backward()
        optimiser.step()

    return step


def main() -> None:
    """Time both in turn and print medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patch", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ways = {name: stepper(*WAYS[name], args.batch, args.patch) for name in ("bfloat16, channels_last", "float32")}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(args.rounds + 1):
        for name, step in ways.items():
            begun = time.perf_counter()
            step()
            if round_:
                times[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(found) for name, found in times.items()}
    for name, found in times.items():
        print(f"{name:26s} median {medians[name]:.3f} s, {min(found):.3f} to {max(found):.3f}")
    fast, slow = medians.values()
    print(f"ratio {slow / fast:.2f}")
    record("training step", "float32, channels first", slow / fast)


if __name__ == "__main__":
    main()
