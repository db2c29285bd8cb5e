#!/bin/busybox sh
# Process 1 of a machine with another kernel, until the files of the machine that runs it are there. They stay as they
# are: what is written lies over them, in memory.
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in /lib/modules/*.ko; do $b insmod "$module"; done
$b mkdir -p /lower /upper
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,ro,cache=loose machine /lower || exec $b sh
$b mount -t tmpfs memory /upper || exec $b sh
$b mkdir /upper/upper /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work files /mnt || exec $b sh
$b mount --move /dev /mnt/dev
# The kernel passes what it does not know on the command line as the environment.
exec $b switch_root /mnt /bin/sh "$payload"
