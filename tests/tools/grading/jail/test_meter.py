"""Processor time of kernels in jails is counted, though nobody waits for them."""

import pytest
from jailed import Kernel

from course_tools.build.processor import processor_seconds
from course_tools.grading.jail import Jail

pytestmark = pytest.mark.jail

BURN = """
import time
while time.process_time() < 2:
    pass
"""


@pytest.mark.parametrize("kind", ["cold", "warm"])
def test_a_killed_kernel_has_used_what_it_used(kind: str) -> None:
    with Kernel(Jail(), warm=kind == "warm") as kernel:
        began = processor_seconds()
        kernel.run(BURN)
        running = processor_seconds() - began
    ended = processor_seconds() - began
    assert running > 1, "it is counted while it runs"
    assert ended > running - 0.1, "and once it is gone"
    assert ended < running + 1.5, "but not twice"
