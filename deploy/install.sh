#!/usr/bin/env bash
# Installs the archive that it lies in, without a network: a virtual environment of these wheels and no others.
#
#   install.sh FOLDER [PYTHON]
#
# FOLDER is made, or made anew; it works where it was made and nowhere else. PYTHON is one of the wheels' version. Every
# wheel must have the sha256 that requirements.txt tells, and everything that a wheel asks for must be among them.
set -euo pipefail
folder=${1:?"wanted: the folder to install into"}
python=${2:-python3.11}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$python" -m venv --clear "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-index --require-hashes \
    --find-links "$here/wheels" --requirement "$here/requirements.txt"
"$folder/bin/python" -c 'import devise, faiss, torch; print("devise", devise.__version__, "torch", torch.__version__)'
