#!/usr/bin/env bash
# enter_root.sh ROOT FOLDER COMMAND...: run a command inside ROOT, with FOLDER and the X server at hand.
# The mounts belong to a mount namespace of their own: they end with the command, whatever ends it.
set -euo pipefail
root=$(realpath "$1"); folder=$(realpath "$2"); shift 2
export root folder
exec unshare --mount --propagation private --fork --kill-child bash -euo pipefail -c '
  mount -t proc proc "$root/proc"
  mkdir -p "$root/tmp/.X11-unix" "$root/dev/shm" "$root$folder"
  mount --bind /tmp/.X11-unix "$root/tmp/.X11-unix"
  mount -t tmpfs tmpfs "$root/dev/shm"
  mount --bind "$folder" "$root$folder"
  exec chroot "$root" "$@"
' enter_root "$@"
