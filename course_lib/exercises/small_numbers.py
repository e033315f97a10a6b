"""Small numbers that people add for safety, where they change the result: an eps, as a family of mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from course_lib.exercises.base import Misconception

Normalise = Callable[[Tensor], Tensor]


def small_numbers(
    where: str,
    advice: str,
    function: Callable[[float], Callable[..., Tensor]],
    digits: Sequence[int] = (4, 5, 6, 7, 8),
) -> tuple[Misconception, ...]:
    """One misconception for each small number that people add in that place ("inside the logarithm").

    Args:
        function: the small number -> the mistake.
        digits: 8 means 1e-8; those that can be told apart, the smallest of them in float64 only.
    """
    return tuple(
        Misconception(f"1e-{number} is added {where}", advice, function(10.0**-number)) for number in digits
    )


def added_to_every_length(
    function: Callable[[Normalise], Callable[..., Tensor]],
) -> tuple[Misconception, ...]:
    """x / (|x| + eps) in place of x / |x|; `function`: a way to normalise rows (N, D) -> the mistake."""

    def with_eps(eps: float) -> Callable[..., Tensor]:
        return function(lambda x: x / (x.norm(dim=1, keepdim=True) + eps))

    return small_numbers(
        "to the length of every vector",
        "F.normalize takes care of vectors of length 0, and does not change the others.",
        with_eps,
        digits=(3, 4, 5),
    )
