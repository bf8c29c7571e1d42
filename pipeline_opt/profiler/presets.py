"""Accelerators to emulate, with the step times that MLPerf Storage publishes.

Step times and batch sizes are `train.computation_time` and `reader.batch_size` of MLPerf Storage's workload files (v1.0
and v2.0), github.com/mlcommons/storage, `configs/dlio/workload/{resnet50,unet3d,cosmoflow}_{a100,h100}.yaml`. By its
rules (`Submission_guidelines.md`, 4) they were found by running the real training; the copy to the accelerator is no
part of that benchmark.

The links are therefore an assumption of ours, not a measurement: the most that 16 lanes of PCI Express carry in one
direction, at 16 GT/s a lane (generation 4, A100) or 32 GT/s (generation 5, H100), times 128/130 for the line code:
31.5 and 63.0 GB/s. "NVIDIA H100 Tensor Core GPU Architecture" (2022) rounds them to 32 and 64 GB/s in each direction.
Real copies reach less, those from pageable memory much less: give `link_bytes_per_s` where yours is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PCIE_4_X16: Final = 16e9 * 16 / 8 * 128 / 130
"""Bytes a second in one direction."""

PCIE_5_X16: Final = 32e9 * 16 / 8 * 128 / 130
"""Bytes a second in one direction."""


@dataclass(frozen=True)
class Preset:
    """A model on an accelerator: seconds of computing for a batch of `batch_size` elements, and the link."""

    device: str
    model: str
    step_s: float
    batch_size: int
    link_bytes_per_s: float

    @property
    def name(self) -> str:
        """`h100-resnet50`."""
        return f"{self.device}-{self.model}"

    @property
    def source(self) -> str:
        """The file that the figures are from."""
        return f"mlcommons/storage: configs/dlio/workload/{self.model}_{self.device}.yaml"


PRESETS: Final = (
    Preset("a100", "resnet50", 0.435, 400, PCIE_4_X16),
    Preset("h100", "resnet50", 0.224, 400, PCIE_5_X16),
    Preset("a100", "unet3d", 0.636, 7, PCIE_4_X16),
    Preset("h100", "unet3d", 0.323, 7, PCIE_5_X16),
    Preset("a100", "cosmoflow", 0.00551, 1, PCIE_4_X16),
    Preset("h100", "cosmoflow", 0.00350, 1, PCIE_5_X16),
)
