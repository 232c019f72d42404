"""Make the one archive that installs this project without a network, and its sha256 beside it: `make dist`.

    python deploy/dist.py [--torch-index URL] [--folder dist]

In it: install.sh; the wheels of this project and of all that it needs (not Spark, which the cluster has), in the
versions of conf/constraints.txt; and requirements.txt, which names each with the sha256 of the very file. It is for the
Python and the processor that made it; its name says which, and whether torch is the CUDA or the CPU build.
"""

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("devise", "jobs", "conf", "deploy", "setup.py", "pyproject.toml", "README.md", "LICENSE")
EXTRAS = "[starter,explorer,report]"
"""Of this project: all that its jobs and commands use; Spark and Java are the cluster's."""
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
GLIBC = (2, 34)
"""Amazon Linux 2023's, which EMR 7 runs on: a wheel that wants a newer one cannot be installed there."""
EPOCH = 315_532_800
"""1980-01-01, the first day that a wheel can hold: files of one content are one archive, whenever it is made."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-index", help="a package index with other builds of torch, which win: those for a CPU")
    parser.add_argument("--folder", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="wheels-") as folder:
        wheels = gather(Path(folder), options.torch_index)
        archive = options.folder / f"{name(wheels)}.tar"
        digest = pack(wheels, archive)
    print(f"{archive}: {len(wheels)} wheels, {archive.stat().st_size:,} bytes, sha256 {digest}")


def gather(folder: Path, torch_index: str | None) -> list[Path]:
    """This project's wheel and all that it needs, built and downloaded into a folder; a source package is refused."""
    settings = ["--only-binary", ":all:", "--no-cache-dir", "--constraint", ROOT / "conf/constraints.txt"]
    settings += ["--extra-index-url", torch_index] if torch_index else []
    subprocess.run([*PIP, "download", *settings, "--dest", folder, f"{build(folder)}{EXTRAS}"], check=True)
    return sorted(folder.glob("*.whl"))


def build(folder: Path) -> Path:
    """This project's wheel, of a copy of its sources: what an earlier build left beside them would be in it."""
    with tempfile.TemporaryDirectory() as copy:
        for source in SOURCES:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, Path(copy, source), ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, copy)
        dated = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
        subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", folder, copy], check=True, env=dated)
    (ours,) = folder.glob("devise-*.whl")
    return ours


def lock(wheels: Sequence[Path]) -> str:
    """requirements.txt: `name==version --hash=sha256:...`, a line a wheel.

    Raises:
        ValueError: two wheels of one project, or one that Amazon Linux 2023 cannot load.
    """
    lines: dict[str, str] = {}
    for path in wheels:
        project, version, _, tags = parse_wheel_filename(path.name)
        if project in lines:
            raise ValueError(f"{path.name}: found another wheel of {project}, wanted one a project")
        wanted = [re.match(r"manylinux_(\d+)_(\d+)_", tag.platform) for tag in tags]
        old = [tag for tag in tags if tag.platform == "any" or tag.platform.startswith(("manylinux1", "manylinux20"))]
        if not old and not any(found and tuple(map(int, found.groups())) <= GLIBC for found in wanted):
            raise ValueError(f"{path.name}: wanted a wheel for glibc {GLIBC[0]}.{GLIBC[1]} or older")
        lines[project] = f"{project}=={version} --hash=sha256:{hash_file(path)}"
    return "\n".join(lines[project] for project in sorted(lines)) + "\n"


def name(wheels: Sequence[Path]) -> str:
    """devise-VERSION-BUILD-PYTHON-PROCESSOR, told by the wheels, not by what was asked for."""
    found = {project: version for project, version, *_ in (parse_wheel_filename(path.name) for path in wheels)}
    build = "cuda" if any(project.startswith("nvidia-") for project in found) else "cpu"
    return f"devise-{found['devise']}-{build}-py{sys.version_info[0]}.{sys.version_info[1]}-{platform.machine()}"


def pack(wheels: Sequence[Path], archive: Path) -> str:
    """Write the archive, then ARCHIVE.sha256 as `sha256sum --check` reads it; the sha256, the same for the same wheels.

    Wheels are zip files: to press them again saves nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(lock(wheels))
        files = {"install.sh": ROOT / "deploy/install.sh", "requirements.txt": requirements}
        files |= {f"wheels/{path.name}": path for path in wheels}
        begun = archive.with_name(f"{archive.name}.part")
        with tarfile.open(begun, "w", format=tarfile.PAX_FORMAT) as tar:
            for inside, path in sorted(files.items()):
                tar.add(path, f"devise/{inside}", filter=_undated)
        begun.replace(archive)
    digest = hash_file(archive)
    archive.with_name(f"{archive.name}.sha256").write_text(f"{digest}  {archive.name}\n")
    return digest


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _undated(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = EPOCH, 0, 0, "", ""
    entry.mode = 0o755 if entry.name.endswith(".sh") else 0o644
    return entry


if __name__ == "__main__":
    main()
