#!/bin/busybox sh
# Process 1 of a host until its disks are there: the system, the kernel's modules, and what a test brings.
/bin/busybox mount -t devtmpfs dev /dev
for module in /lib/modules/*.ko; do
	if [ -e "$module" ]; then /bin/busybox insmod "$module"; fi
done
tries=0
until [ -b /dev/vdc ] || [ "$tries" -ge 400 ]; do
	tries=$((tries + 1))
	/bin/busybox usleep 50000
done
/bin/busybox mount -t ext4 -o noatime /dev/vda /mnt || exec /bin/busybox sh
/bin/busybox mkdir -p /mnt/usr/lib/modules /mnt/payload
/bin/busybox mount -t ext4 -o ro /dev/vdb /mnt/usr/lib/modules
/bin/busybox mount -t ext4 -o ro /dev/vdc /mnt/payload
/bin/busybox mount --move /dev /mnt/dev
exec /bin/busybox switch_root /mnt /sbin/init
