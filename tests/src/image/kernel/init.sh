#!/bin/busybox sh
# Process 1 of a Debian guest until its disk is there.
/bin/busybox mount -t devtmpfs dev /dev
for module in /lib/modules/*.ko; do /bin/busybox insmod "$module"; done
tries=0
until [ -b /dev/vda ] || [ "$tries" -ge 200 ]; do
	tries=$((tries + 1))
	/bin/busybox usleep 50000
done
/bin/busybox mount -t ext4 -o noatime /dev/vda /mnt || exec /bin/busybox sh
/bin/busybox mount --move /dev /mnt/dev
exec /bin/busybox switch_root /mnt /sbin/init
