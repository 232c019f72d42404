#!/usr/bin/env bash
# EMR bootstrap action: puts Python 3.11 with this project at /opt/devise on every node, from a wheelhouse in S3.
#
#   bootstrap.sh s3://BUCKET/devise/wheelhouse.tar.gz
#
# deploy/README.md says how the wheelhouse is made. Nothing is fetched from a package index at start-up: a night must
# not depend on one, and 3 GB of torch a node is quicker from S3.
set -euo pipefail
wheelhouse=${1:?"wanted: s3 URI of the wheelhouse"}
work=$(mktemp -d -p /mnt)
trap 'rm -rf "$work"' EXIT
aws s3 cp --only-show-errors "$wheelhouse" "$work/wheelhouse.tar.gz"
tar -xzf "$work/wheelhouse.tar.gz" -C "$work"
command -v python3.11 >/dev/null || sudo dnf install -y -q python3.11 python3.11-pip
sudo python3.11 -m venv /opt/devise
sudo /opt/devise/bin/pip install --quiet --no-index --find-links "$work/wheelhouse" \
    --constraint "$work/wheelhouse/constraints.txt" devise
/opt/devise/bin/python -c 'import devise, torch, faiss; print("devise", devise.__version__, "torch", torch.__version__)'
mkdir -p /mnt/tmp
chmod 1777 /mnt/tmp
