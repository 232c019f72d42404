"""Which parameters of a model train when only the last layers of its core do; knows no training.

A layer is what torch registered as one: in all networks here, in the order in which pictures pass them.
"""

from torch import nn

from devise.errors import TrainingError
from devise.vision.model import DeviseModel

WITH_WEIGHTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def trained_names(model: DeviseModel, layers: int | None) -> list[str]:
    """Names of the parameters that train: the projection's, and those of the core's last `layers` layers with weights.

    A layer is a convolution or a linear map, with the normalisation that is registered behind it; None is the core.

    Raises:
        TrainingError: the core has fewer.
    """
    parts = [
        (f"core.features.{name}.".replace("..", "."), one)
        for name, one in model.core.features.named_modules()
        if any(True for _ in one.parameters(recurse=False))
    ]
    starts = [place for place, (_, one) in enumerate(parts) if isinstance(one, WITH_WEIGHTS)]
    if layers is not None and layers > len(starts):
        raise TrainingError(
            f"finetune.layers {layers}: {model.core.architecture} has {len(starts)} layers with weights"
        )
    kept = parts if layers is None else parts[starts[-layers] :]
    names = [f"{prefix}{name}" for prefix, one in kept for name, _ in one.named_parameters(recurse=False)]
    return [*names, *(f"projection.{name}" for name, _ in model.projection.named_parameters())]
