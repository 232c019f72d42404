#!/usr/bin/env bash
# EMR bootstrap action: on a node with a card, a systemd unit that mounts version 1 of the devices controller for YARN.
#
#   gpu-cgroup.sh FOLDER
#
# YARN fences cards off with the devices controller of cgroup v1 alone; Amazon Linux 2023 has v2, where it is not mounted.
# The mount and its rights are wanted each time that the NodeManager starts, not once: after a restart, or where its
# folder was made anew, the NodeManager would refuse to start. Nodes without a card are left as they are.
set -euo pipefail
folder=${1:?"wanted: where to mount it"}
root=${DEVISE_ROOT:-} # a test's, instead of /
grep -qsx 0x10de "$root"/sys/bus/pci/devices/*/vendor || exit 0 # NVIDIA's number; drivers come after bootstrap
sudo mkdir -p "$root/usr/local/sbin" "$root/etc/systemd/system"
sudo tee "$root/usr/local/sbin/devise-gpu-cgroup" >/dev/null <<SCRIPT
#!/usr/bin/env bash
set -euo pipefail
mkdir -p $folder/devices
mountpoint -q $folder/devices || mount -t cgroup -o devices cgroupv1-devices $folder/devices
mkdir -p $folder/devices/yarn
chmod -R a+rwX $folder # who runs containers is YARN's affair: NVIDIA's recipe for EMR 7 has it so
SCRIPT
sudo chmod 755 "$root/usr/local/sbin/devise-gpu-cgroup"
sudo tee "$root/etc/systemd/system/devise-gpu-cgroup.service" >/dev/null <<'UNIT'
[Unit]
Description=The devices controller of cgroup v1, for YARN's cards
Before=hadoop-yarn-nodemanager.service

# Without RemainAfterExit it is at rest once it has run, and so is run again whenever the NodeManager is started.
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/devise-gpu-cgroup

[Install]
WantedBy=hadoop-yarn-nodemanager.service
UNIT
[ -z "$root" ] || exit 0
# The NodeManager is not installed yet; from then on it brings the unit with it, each time that it starts.
sudo systemctl daemon-reload
sudo systemctl enable --now devise-gpu-cgroup.service
