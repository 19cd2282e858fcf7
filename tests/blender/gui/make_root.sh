#!/usr/bin/env bash
# Debian trixie with its Blender 4.3 in a folder of its own (1.2 GB), made once: make_root.sh build/gui-root
set -euo pipefail
root=$1

fail() { echo "make test-gui: $1" >&2; exit 2; }
[[ $(id -u) -eq 0 ]] || fail 'this needs root (it makes a Debian system in a folder and enters it)'
missing=()
for program in mmdebstrap unshare Xvfb xdotool import; do
  command -v "$program" >/dev/null || missing+=("$program")
done
((${#missing[@]} == 0)) || fail "missing: ${missing[*]} (on Debian: apt-get install mmdebstrap util-linux xvfb xdotool imagemagick)"

unshare --mount true 2>/dev/null || fail 'this needs leave to mount (a container gets it with CAP_SYS_ADMIN)'

[[ -e $root/.complete ]] && exit 0

# The mirror this machine already uses, where it is a Debian; else mmdebstrap's own.
mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' \
  | awk '$1 == "Debian" && $2 !~ /security/ && !seen++ { print $2 }')
partial=$root.partial
rm -rf "$partial" "$root"
mkdir -p "$(dirname "$root")"
mmdebstrap --quiet --variant=apt \
  --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --include=blender,libgl1,libglx-mesa0,libegl1,libgl1-mesa-dri,python3-numpy,python3-requests \
  trixie "$partial" ${mirror:+"$mirror"}
touch "$partial/.complete"
mv "$partial" "$root"
