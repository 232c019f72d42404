"""The `emr` section of the nights' settings: where clusters run and of what; asks AWS nothing."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from devise.emr.instances import find
from devise.errors import ConfigError
from devise.values import Count, Real, Section, Text, once

STACK = r"^[a-z][a-z0-9-]{0,39}$"


def _known(name: str) -> str:
    try:
        find(name)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return name


InstanceName = Annotated[Text, AfterValidator(_known)]


class CoreConfig(Section):
    """The nodes that run catalogue and settle, and every driver: on demand, for as long as the night lasts."""

    instance: InstanceName = "m7i.4xlarge"
    count: Count = 2


class CardsConfig(Section):
    """The nodes that embed: there for that step alone."""

    instances: Annotated[list[InstanceName], Field(min_length=1), AfterValidator(once)] = [
        "g6.2xlarge", "g5.2xlarge", "g4dn.2xlarge",
    ]  # fmt: skip
    """Types to choose from, which must have cards, and as many of them and of cores as each other: Spark's settings are
    of the one with the least memory."""
    count: Count = 2
    spot: bool = True
    """Spot, and on demand where there is none within 20 minutes; false: on demand at once."""

    @model_validator(mode="after")
    def _alike(self) -> "CardsConfig":
        found = [find(name) for name in self.instances]
        if bare := [one.name for one in found if not one.gpus]:
            raise ValueError(f"instances: found {bare} without a card, wanted types with cards")
        if len({(one.vcpus, one.gpus) for one in found}) > 1:
            told = ", ".join(f"{one.name} {one.vcpus} cores and {one.gpus} cards" for one in found)
            raise ValueError(f"instances: found {told}, wanted types alike in both")
        return self


class EmrConfig(Section):
    """Clusters of the nights. Credentials are no settings: they come from the standard AWS chain."""

    stack: str = Field(default="devise", pattern=STACK)
    """Name of the CloudFormation stack; what it makes is named after it."""
    region: Text | None = None
    """Default: what the environment or the profile says."""
    subnets: Annotated[list[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")]], Field(min_length=1)]
    """Subnets of one VPC; EMR takes the one with the most to choose from. deploy/README.md says how they are tagged."""
    release: Literal["emr-7.13.0", "emr-spark-8.0.0"] = "emr-7.13.0"
    """Spark 3.5.6, the tested line; or Spark 4.0.2."""
    core: CoreConfig = CoreConfig()
    cards: CardsConfig | None = CardsConfig()
    """null: embed on the core nodes' CPUs."""
    reads: list[Annotated[str, Field(pattern=r"^s3://[^/]+")]] = []
    """Prefixes that jobs read beside the corpus and what other settings name: pictures of a table of labels, say."""
    reads_key: Annotated[str, Field(pattern=r"^arn:")] | None = None
    """ARN of the KMS key that the corpus is encrypted with, if it is; its own policy must allow it too."""
    hours: Annotated[Real, Field(ge=0.1, le=168)] = 8
    """The most that each try of a step may take before its night is ended; a first night may need more."""
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    """Whom alarms are sent to; default: nobody is, until somebody subscribes to the topic."""

    @model_validator(mode="after")
    def _core_has_no_cards(self) -> "EmrConfig":
        if find(self.core.instance).gpus:
            raise ValueError(f"core.instance: found {self.core.instance} with cards, wanted one without: see cards")
        return self
