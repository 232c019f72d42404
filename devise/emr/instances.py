"""The machines that nights run on: their cores, memory, cards and prices; knows no cluster.

Prices are dollars an hour in us-east-1, Linux, on demand, of August 2026: EC2's as dated price lists print them, EMR's
fee as a quarter of EC2's, which is what it was for these families. Both are to be replaced by your own.
"""

from dataclasses import dataclass

from devise.errors import ConfigError

EMR_FEE = 0.25
"""EMR's price as a share of EC2's on-demand price; it stays the same on Spot. Older families have a cap ($0.27) that is
not counted: a large node may cost less than is said here."""


@dataclass(frozen=True)
class Instance:
    """A kind of machine; `gpus` cards of the kind `gpu`, none where that is empty; prices in dollars an hour."""

    name: str
    vcpus: int
    memory_gib: int
    gpus: int
    gpu: str
    ec2_usd_hour: float
    emr_usd_hour: float

    @property
    def usd_hour(self) -> float:
        """What it costs on demand, EMR's fee with it, in dollars an hour."""
        return self.ec2_usd_hour + self.emr_usd_hour


def _family(name: str, gib_a_vcpu: int, gpu: str, *sizes: tuple[str, int, int, float]) -> list[Instance]:
    """Instances of one family, of (size, vCPUs, cards, EC2's dollars an hour)."""
    return [
        Instance(f"{name}.{size}", vcpus, vcpus * gib_a_vcpu, gpus, gpu, usd, round(usd * EMR_FEE, 5))
        for size, vcpus, gpus, usd in sizes
    ]


INSTANCES = {
    found.name: found
    for found in [
        *_family("m6i", 4, "", *[("xlarge", 4, 0, 0.192), ("2xlarge", 8, 0, 0.384)]),
        *_family("m6i", 4, "", *[("4xlarge", 16, 0, 0.768), ("8xlarge", 32, 0, 1.536)]),
        *_family("m7i", 4, "", *[("xlarge", 4, 0, 0.2016), ("2xlarge", 8, 0, 0.4032)]),
        *_family("m7i", 4, "", *[("4xlarge", 16, 0, 0.8064), ("8xlarge", 32, 0, 1.6128)]),
        *_family("r6i", 8, "", *[("xlarge", 4, 0, 0.252), ("2xlarge", 8, 0, 0.504)]),
        *_family("r6i", 8, "", *[("4xlarge", 16, 0, 1.008), ("8xlarge", 32, 0, 2.016)]),
        *_family("g4dn", 4, "T4", *[("xlarge", 4, 1, 0.526), ("2xlarge", 8, 1, 0.752)]),
        *_family("g4dn", 4, "T4", *[("4xlarge", 16, 1, 1.204), ("12xlarge", 48, 4, 3.912)]),
        *_family("g5", 4, "A10G", *[("xlarge", 4, 1, 1.006), ("2xlarge", 8, 1, 1.212)]),
        *_family("g5", 4, "A10G", *[("4xlarge", 16, 1, 1.624), ("12xlarge", 48, 4, 5.672)]),
        *_family("g6", 4, "L4", *[("xlarge", 4, 1, 0.8048), ("2xlarge", 8, 1, 0.9776)]),
        *_family("g6", 4, "L4", *[("4xlarge", 16, 1, 1.3232), ("12xlarge", 48, 4, 4.6016)]),
        *_family("g6e", 8, "L40S", *[("xlarge", 4, 1, 1.861), ("2xlarge", 8, 1, 2.24208)]),
        *_family("g6e", 8, "L40S", *[("4xlarge", 16, 1, 3.00424), ("12xlarge", 48, 4, 10.49264)]),
    ]
}
"""Instance type -> what it is."""


def find(name: str) -> Instance:
    """The instance type of that name; `ConfigError` if it is none of INSTANCES."""
    if name not in INSTANCES:
        raise ConfigError(f"found the instance type {name!r}, wanted one of {', '.join(INSTANCES)}")
    return INSTANCES[name]
