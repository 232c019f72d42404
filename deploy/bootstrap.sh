#!/usr/bin/env bash
# EMR bootstrap action: puts this project with a Python 3.11 of its own at /opt/devise on a node, from an archive in S3.
#
#   bootstrap.sh s3://BUCKET/devise/ARCHIVE.tar
#
# `make dist` makes the archive, and ARCHIVE.tar.sha256 beside it. Nothing is fetched from a package index at start-up: a
# night must not depend on one, and 3 GB of torch a node is quicker from S3.
set -euo pipefail
archive=${1:?"wanted: s3 URI of the archive"}
name=${archive##*/}
sudo mkdir -p /mnt/tmp
sudo chmod 1777 /mnt/tmp
work=$(mktemp -d -p /mnt/tmp)
trap 'rm -rf "$work"' EXIT
for file in "$archive" "$archive.sha256"; do
    aws s3 cp --only-show-errors "$file" "$work/${file##*/}"
done
(cd "$work" && sha256sum --check --quiet "$name.sha256")
tar -xf "$work/$name" -C "$work"
rm "$work/$name" # the disk holds it twice otherwise, beside what is installed
command -v python3.11 >/dev/null || sudo dnf install -y -q python3.11 python3.11-pip
sudo "$work/devise/install.sh" /opt/devise
