"""What tests of several modules of learning share."""

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread():
    """Arrays this small lose more to waking threads than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
