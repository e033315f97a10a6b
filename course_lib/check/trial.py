"""One input with what the student's function and the reference made of it, and when the two are the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.exercises.base import Answer, Case

# Relative tolerance by dtype of the inputs; the reference is computed in float64 from the same numbers.
RTOL = {torch.float64: 1e-6, torch.float32: 2e-4, torch.float16: 1e-3, torch.bfloat16: 1e-3}
# On a GPU, matrix products may round their factors to TF32 (10 bits), or to bfloat16 (7 bits)
# where the inputs had no more. Every input is asked on the CPU too, so that nothing slips through.
RTOL_CUDA = {torch.float64: 1e-6, torch.float32: 2e-3, torch.float16: 2e-3, torch.bfloat16: 1e-2}


def _rtol(dtype: torch.dtype, device: str) -> float:
    return (RTOL_CUDA if device == "cuda" else RTOL)[dtype]


def same(got: Tensor, expected: Tensor, dtype: torch.dtype, device: str = "cpu") -> bool:
    """Equal up to the rounding of inputs of this dtype on this type of device.

    NaN equals NaN, so that mistakes can be compared.
    """
    rtol = _rtol(dtype, device)
    return torch.allclose(got.double().cpu(), expected.double().cpu(), rtol, rtol / 10, equal_nan=True)


def same_gradient(got: Tensor, expected: Tensor, dtype: torch.dtype, device: str = "cpu") -> bool:
    """Equal relative to the largest entry: small entries of a gradient are differences of large ones."""
    got, expected = got.double().cpu(), expected.double().cpu()
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    rtol = 10 * _rtol(dtype, device)
    return torch.allclose(got, expected, 0.0, rtol * scale + rtol / 100, equal_nan=True)


@dataclass(frozen=True)
class Trial:
    """One case with what the student's function and the reference made of it.

    Of a case that is not public, no sentence tells what the reference makes of it.
    """

    case: Case
    got: Answer
    expected: Answer
    public: bool = True

    @property
    def crashed(self) -> bool:
        """There is nothing to judge but an exception."""
        return bool(self.got.error) and self.got.value is None

    @property
    def comparable(self) -> bool:
        """There is a value of the right shape, where it should be."""
        return (
            self.got.value is not None
            and self.got.value.shape == self.target.shape
            and self.got.device == self.case.device.type
        )

    @property
    def value(self) -> Tensor:
        assert self.got.value is not None
        return self.got.value

    @property
    def target(self) -> Tensor:
        assert self.expected.value is not None
        return self.expected.value

    @property
    def result_dtype(self) -> torch.dtype:
        return torch.promote_types(self.case.dtype, torch.float32)

    @property
    def value_is_right(self) -> bool:
        return same(self.value, self.target, self.case.dtype, self.case.device.type)

    @property
    def nearly_right(self) -> bool:
        """Right, but for digits that only float64 has."""
        if self.case.dtype != torch.float64:
            return self.value_is_right
        return same(self.value, self.target, torch.float32, self.case.device.type)

    @property
    def deviation(self) -> float:
        """Largest error of the value, relative to the largest entry of the reference."""
        target = self.target.double().cpu()
        error = (self.value.double().cpu() - target).abs().max().item()
        return error / max(target.abs().max().item(), 1e-12)

    @property
    def gradient_is_right(self) -> bool:
        return all(
            same_gradient(self.got.gradients[name], gradient, self.case.dtype, self.case.device.type)
            for name, gradient in self.expected.gradients.items()
        )

    @property
    def is_ordinary(self) -> bool:
        """Nothing is special about the input, nor about its precision."""
        return not self.case.about and self.case.dtype in (torch.float32, torch.float64)
