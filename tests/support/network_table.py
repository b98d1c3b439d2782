"""The table of networks in docs/networks.md: parameters, and multiply-adds of a forward pass, by kind.

python tests/support/network_table.py --write
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from common import ROOT
from rasterloom.learning.networks import build, parameters

DOCUMENT = ROOT / "docs/networks.md"
BEGIN, END = "<!-- table of networks -->", "<!-- end of the table -->"
CHANNELS, SIDE = 20, 256

ROWS: Mapping[str, Mapping[str, Any]] = {
    "`kind: unet`": {"kind": "unet"},
    "`kind: unet`, `widths: doubling`, `depth: 4`, `convs_per_block: 2`": {
        "kind": "unet", "widths": "doubling", "depth": 4, "convs_per_block": 2,
    },
    "`kind: fcn8`": {"kind": "fcn8"},
    "`kind: tiramisu`": {"kind": "tiramisu"},
    "`kind: reseg`": {"kind": "reseg"},
}  # fmt: skip
"""Networks with the defaults of their kind, but for what is written."""


def multiply_adds(model: Mapping[str, Any], channels: int, side: int) -> int:
    """Multiply-adds of the products of matrices and the convolutions of a forward pass; nothing is computed."""
    with FakeTensorMode():
        network = build(model, channels)
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, channels, side, side))
    return int(counter.get_total_flops()) // 2


def table() -> str:
    """The lines of the table."""
    lines = [f"| network | parameters | billion multiply-adds for {SIDE} x {SIDE} pixels |", "|---|---:|---:|"]
    for name, model in ROWS.items():
        count, work = parameters(model, CHANNELS), multiply_adds(model, CHANNELS, SIDE)
        lines.append(f"| {name} | {count:,} | {work / 1e9:.1f} |")
    return "\n".join(lines)


def document(text: str) -> str:
    """The document with the table as it must be."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Write the table into the document, or print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        DOCUMENT.write_text(document(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(table())


if __name__ == "__main__":
    main()
