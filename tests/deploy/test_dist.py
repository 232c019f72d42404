"""The archive of `make dist`: every wheel by its hash, the same bytes every time, and installed without a network."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("dist", ROOT / "deploy/dist.py")
dist = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(dist)


def make_wheel(folder: Path, project: str, version: str, module: str, needs: str = "", tags="py3-none-any") -> Path:
    """A wheel of one empty module that knows its version."""
    path, info = folder / f"{project}-{version}-{tags}.whl", f"{project}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{module}/__init__.py", f"__version__ = '{version}'\n")
        needed = f"Requires-Dist: {needs}\n" if needs else ""
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n{needed}")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tags}\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def wheels(tmp_path):
    """What stands for this project, torch and faiss."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    ours = make_wheel(folder, "devise", "0.1.0", "devise", needs="torch>=2")
    return [ours, make_wheel(folder, "faiss_cpu", "1.9", "faiss"), make_wheel(folder, "torch", "2.15.0", "torch")]


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "devise"


def install(unpacked: Path, folder: Path) -> subprocess.CompletedProcess:
    command = ["bash", unpacked / "install.sh", folder, sys.executable]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_same_wheels_make_the_same_archive_and_its_sha256_is_beside_it(wheels, tmp_path):
    first = dist.pack(wheels, tmp_path / "a.tar")
    for path in wheels:
        os.utime(path, (0, 0))
    assert dist.pack(wheels[::-1], tmp_path / "b.tar") == first == dist.hash_file(tmp_path / "a.tar")
    subprocess.run(["sha256sum", "--check", "--quiet", "a.tar.sha256"], cwd=tmp_path, check=True)


def test_the_archive_installs_by_its_script_alone(wheels, tmp_path):
    dist.pack(wheels, tmp_path / "a.tar")
    unpacked = unpack(tmp_path / "a.tar", tmp_path / "unpacked")
    told = install(unpacked, tmp_path / "made")
    assert (told.returncode, told.stdout.splitlines()[-1:]) == (0, ["devise 0.1.0 torch 2.15.0"]), told.stderr


def test_a_wheel_that_was_altered_is_not_installed(wheels, tmp_path):
    dist.pack(wheels, tmp_path / "a.tar")
    unpacked = unpack(tmp_path / "a.tar", tmp_path / "unpacked")
    make_wheel(unpacked / "wheels", "torch", "2.15.0", "another")
    told = install(unpacked, tmp_path / "made")
    assert told.returncode != 0 and "DO NOT MATCH THE HASHES" in told.stderr


def test_what_a_wheel_needs_and_the_archive_lacks_is_not_fetched(wheels, tmp_path):
    dist.pack(wheels[:2], tmp_path / "a.tar")
    told = install(unpack(tmp_path / "a.tar", tmp_path / "unpacked"), tmp_path / "made")
    assert told.returncode != 0 and "torch" in told.stderr


def test_the_name_tells_the_build_by_the_wheels(wheels):
    assert dist.name(wheels).startswith("devise-0.1.0-cpu-py3.")
    assert "-cuda-" in dist.name([*wheels, Path("nvidia_cublas-13.4.1.3-py3-none-manylinux_2_27_x86_64.whl")])


@pytest.mark.parametrize(
    ("tags", "fine"),
    [
        ("py3-none-any", True),
        ("cp311-cp311-manylinux_2_28_x86_64", True),
        ("cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64", True),
        ("cp311-cp311-manylinux2014_x86_64", True),
        ("cp311-cp311-manylinux_2_34_x86_64", True),
        ("cp311-cp311-manylinux_2_35_x86_64", False),
        ("cp311-cp311-linux_x86_64", False),
        ("cp311-cp311-musllinux_1_2_x86_64", False),
    ],
)
def test_a_wheel_that_amazon_linux_cannot_load_is_refused(tmp_path, tags, fine):
    wheel = make_wheel(tmp_path, "torch", "2.15.0", "torch", tags=tags)
    if fine:
        assert dist.lock([wheel]) == f"torch==2.15.0 --hash=sha256:{dist.hash_file(wheel)}\n"
    else:
        with pytest.raises(ValueError, match=r"wanted a wheel for glibc 2\.34 or older"):
            dist.lock([wheel])


def test_two_wheels_of_one_project_are_refused(tmp_path):
    both = [make_wheel(tmp_path, "torch", version, "torch") for version in ("2.15.0", "2.15.0+cpu")]
    with pytest.raises(ValueError, match="found another wheel of torch"):
        dist.lock(both)


def test_the_node_and_the_image_install_by_the_same_script():
    assert '"$work/devise/install.sh" /opt/devise' in (ROOT / "deploy/bootstrap.sh").read_text()
    assert "/devise/install.sh /opt/devise" in (ROOT / "deploy/Dockerfile").read_text()


BARE = r"""
mount --make-rprivate /
for inside in $FOLDERS; do
    mkdir -p "$AT$inside"
    mount --bind "$inside" "$AT$inside"
    mount -o remount,bind,ro "$AT$inside"
done
for inside in /dev/null /dev/urandom; do
    mkdir -p "$AT/dev" && touch "$AT$inside" && mount --bind "$inside" "$AT$inside"
done
mkdir -p "$AT/proc" "$AT/tmp" "$AT/opt" "$AT/mnt" && mount -t proc proc "$AT/proc"
for link in /bin /sbin /lib /lib64; do
    [ -L "$link" ] && [ ! -e "$AT$link" ] && ln -s "$(readlink "$link")" "$AT$link"
done
ln -s "$PYTHON" "$AT/stubs/python3.11"
mkdir -p "$AT/archives" && mount --bind "$ARCHIVES" "$AT/archives"
exec chroot "$AT" /usr/bin/env -i PATH=/stubs:/usr/bin:/bin HOME=/tmp LANG=C.UTF-8 /bin/bash -euc "$INSIDE"
"""
"""A root with /usr, the Python and the archive in it, and nothing else of this machine: no site-packages, no caches."""
STUBS = {
    "aws": '[ "$1 $2 $3" = "s3 cp --only-show-errors" ] && cp "/archives/${4##*/}" "$5"',
    "sudo": 'exec "$@"',
}
"""What the bootstrap action asks of a node, and the archive's bucket."""
BOOTSTRAP = r"""
bash /stubs/bootstrap.sh "s3://bucket/devise/$(cd /archives && ls *.tar)"
[ "$(ls /mnt)" = tmp ]
tail -n +3 /proc/net/dev | cut -d: -f1
"""
LOOK = r"""
/opt/devise/bin/devise --help | head -1
/opt/devise/bin/devise words ship boat | tail -1
/opt/devise/bin/python -c 'import faiss, torch, torchvision
print(faiss.__file__, torch.__file__, int(torch.ones(2).sum()))'
/opt/devise/bin/pip list --format freeze | wc -l
"""


def in_a_bare_root(archives: Path, root: Path, inside: str) -> list[str]:
    """Lines that the bootstrap action says in such a root, and then the commands `inside`."""
    apart = ["unshare", "--mount", "--net", "--pid", "--fork", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("NO BARE ROOT: this machine lets nobody leave its network and its folders (unshare)")
    (root / "stubs").mkdir(parents=True)
    shutil.copy(ROOT / "deploy/bootstrap.sh", root / "stubs")
    for name, does in STUBS.items():
        (root / "stubs" / name).write_text(f"#!/bin/bash\n{does}\n")
        (root / "stubs" / name).chmod(0o755)
    folders = [name for name in ("/usr", "/bin", "/sbin", "/lib", "/lib64") if Path(name).is_dir()]
    folders = [name for name in folders if not Path(name).is_symlink()]
    folders += [] if sys.base_prefix.startswith("/usr") else [sys.base_prefix]
    python = f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    more = {"AT": root, "FOLDERS": " ".join(folders), "ARCHIVES": archives, "PYTHON": python}
    environment = os.environ | {name: str(value) for name, value in more.items()} | {"INSIDE": BOOTSTRAP + inside}
    command = [*apart, "--kill-child", "bash", "-euc", BARE]
    told = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout.splitlines()


def test_the_bootstrap_action_installs_an_archive_in_a_bare_root_without_a_network(wheels, tmp_path):
    (tmp_path / "archives").mkdir()
    dist.pack(wheels, tmp_path / "archives/a.tar")
    told = in_a_bare_root(tmp_path / "archives", tmp_path / "root", "")
    assert told == ["devise 0.1.0 torch 2.15.0", "    lo"]


def test_the_bootstrap_action_refuses_an_archive_that_came_torn(wheels, tmp_path):
    (tmp_path / "archives").mkdir()
    dist.pack(wheels, tmp_path / "archives/a.tar")
    with (tmp_path / "archives/a.tar").open("ab") as file:
        file.write(b"more")
    with pytest.raises(AssertionError, match="a.tar: FAILED"):
        in_a_bare_root(tmp_path / "archives", tmp_path / "root", "")


@pytest.fixture
def passing():
    """A folder that goes with the test: pytest would keep its gigabytes for three runs."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.slow
def test_an_index_of_other_builds_of_torch_wins_and_two_builds_of_ours_are_one(passing):
    """Such an index is not at hand: one of a single wheel, without torch in it, stands for it."""
    (version,) = re.findall(r"^torch==(\S+)$", (ROOT / "conf/constraints.txt").read_text(), re.MULTILINE)
    index = passing / "simple" / "torch"
    index.mkdir(parents=True)
    wheel = make_wheel(index, "torch", f"{version}+cpu", "torch")
    (index / "index.html").write_text(f'<a href="{wheel.name.replace("+", "%2B")}">{wheel.name}</a>')
    folders = [passing / name for name in ("all", "ours")]
    for folder in folders:
        folder.mkdir()
    wheels = dist.gather(folders[0], index.parent.as_uri())
    assert f"torch=={version}+cpu --hash=" in dist.lock(wheels) and dist.name(wheels).startswith("devise-0.1.0-cpu-")
    first = next(path for path in wheels if path.name.startswith("devise-"))
    assert dist.hash_file(first) == dist.hash_file(dist.build(folders[1]))


@pytest.mark.slow
def test_the_archive_of_this_checkout_is_installed_in_a_bare_root_without_a_network(passing):
    """It downloads 3 GB and takes 16 GB of disk for a while."""
    archives = passing / "archives"
    subprocess.run([sys.executable, ROOT / "deploy/dist.py", "--folder", archives], check=True)
    (archive,) = archives.glob("*.tar")
    told = in_a_bare_root(archives, passing / "root", LOOK)
    installed, interface, usage, words, where, n_packages = told
    assert installed.startswith("devise ") and interface == "    lo" and usage.startswith("usage: devise")
    assert words.startswith("ship ")
    site = f"/opt/devise/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    assert where == f"{site}/faiss/__init__.py {site}/torch/__init__.py 2"
    with tarfile.open(archive) as tar:
        locked = tar.extractfile("devise/requirements.txt").read().decode()
    assert len(re.findall(r"==\S+ --hash=sha256:[0-9a-f]{64}$", locked, re.MULTILINE)) == locked.count("\n")
    assert int(n_packages) >= locked.count("\n")
    print("", f"{archive.name}: {archive.stat().st_size:,} bytes", *told, sep="\n")


def test_the_explorer_s_image_is_made_of_what_the_wheel_is_made_of_and_does_not_run_as_root():
    stages = re.split(r"^FROM ", (ROOT / "deploy/Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    built, explorer, spark = ({stage.partition("\n")[0].split()[-1]: stage} for stage in stages)
    copied = {
        word.rstrip("/")
        for line in re.findall(r"^COPY (.*) \S+$", built["built"], re.MULTILINE)
        for word in line.split()
    }
    assert copied == set(dist.SOURCES)
    (extras,) = re.findall(r"'\.\[(.*)\]'", built["built"])
    assert set(extras.split(",")) <= set(
        re.findall(r'^        "(\w+)": \[', (ROOT / "setup.py").read_text(), re.MULTILINE)
    )
    for name, stage in (*explorer.items(), *spark.items()):
        assert name in ("explorer", "spark") and re.findall(r"^USER (\S+)", stage, re.MULTILINE)[-1] not in (
            "0",
            "root",
        )


def test_the_images_are_built_where_nothing_but_their_bases_and_packages_can_be_fetched():
    """A frontend, named by the first line, is an image of a registry; it was refused where there was none."""
    assert not re.search(r"^# *syntax *=", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE | re.IGNORECASE)
