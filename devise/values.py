"""What settings are made of: kinds of values with their least and most, and groups of them; knows no setting."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

T = TypeVar("T")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError(f"found {text!r}, wanted a text that is not blank")
    return text


def _not_truth(value: Any) -> Any:
    """The value, unless it is true or false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"found {str(value).lower()}, wanted a number")
    return value


def once(values: list[T]) -> list[T]:
    """The values, if each is there once; `ValueError` otherwise."""
    if twice := [value for place, value in enumerate(values) if value in values[:place]]:
        raise ValueError(f"found {twice[0]!r} twice, wanted each once")
    return values


Real = Annotated[float, BeforeValidator(_not_truth)]
Whole = Annotated[int, BeforeValidator(_not_truth)]
Fraction = Annotated[Real, Field(ge=0, le=1)]
Count = Annotated[Whole, Field(ge=1, le=2**31 - 1)]
Size = Annotated[Whole, Field(ge=1, le=2**63 - 1)]
"""A count of rows, bytes or pixels that may be large."""
Threads = Annotated[Whole, Field(ge=1, le=1024)]
Side = Annotated[Whole, Field(ge=1, le=8192)]
"""Side of a picture in pixels."""
Levels = Annotated[Whole, Field(ge=0, le=1024)]
"""How far up a hierarchy, in edges."""
Seed = Annotated[Whole, Field(ge=0, le=2**32 - 1)]
Positive = Annotated[Real, Field(gt=0)]
Time = Annotated[Real, Field(ge=0, le=253402300799)]
"""Seconds since 1970, to the end of the year 9999: what a clock can show."""
Text = Annotated[str, AfterValidator(_not_blank)]
TableName = Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
"""A folder of the warehouse; never a path."""


ENDINGS_READ = (
    *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "webp", "avif", "avifs", "bmp", "tif", "tiff", "ico"),
    *("jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "ppm", "pgm", "pbm", "pnm"),
)
"""How names of the formats that `devise.vision.formats` knows and that are read end."""


class Section(BaseModel):
    """A group of settings: frozen, an unknown key is an error, and a group that is null is one without settings."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=(), allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_empty(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        groups = {name for name, field in cls.model_fields.items() if _is_section(field.annotation)}
        return {name: {} if value is None and name in groups else value for name, value in values.items()}


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)
