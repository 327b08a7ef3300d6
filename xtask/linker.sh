#!/bin/sh
# Installs a C compiler, whose linker Rust uses: the one thing that cannot be left to a program written in Rust.
set -eu
packages="gcc libc6-dev"
command -v apt-get >/dev/null || { echo "error: there is no C compiler (cc), and no apt-get to install one" >&2; exit 1; }
sudo=
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { printf 'error: run this as root, then try again:\n  apt-get update && apt-get install -y --no-install-recommends %s\n' "$packages" >&2; exit 1; }
  sudo=sudo
fi
echo "install   $packages: the linker"
$sudo apt-get -o DPkg::Lock::Timeout=300 -qq update
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends $packages >/dev/null
