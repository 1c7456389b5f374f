#!/bin/sh
# Starts the QEMU that is unpacked beside this script, with the libraries it came with.
root=$(dirname "$0")
for directory in "$root"/lib/*-linux-gnu "$root"/usr/lib/*-linux-gnu; do
    LD_LIBRARY_PATH=$directory${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
# Debian 12 has a script of its own in usr/bin.
for qemu in "$root"/usr/libexec/qemu-system-i386 "$root"/usr/bin/qemu-system-i386; do
    [ -x "$qemu" ] && exec "$qemu" "$@"
done
exit 127
