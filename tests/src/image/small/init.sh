#!/bin/busybox sh
# Process 1 of the small guest.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in /lib/modules/*.ko; do insmod "$module"; done
ip link set lo up
# A lease for every interface, those of later as well; `lease` writes what it got into /run.
(
	while true; do
		for interface in /sys/class/net/eth*; do
			name=${interface##*/}
			if [ ! -e "$interface" ] || [ -e "/run/$name.asked" ]; then continue; fi
			: > "/run/$name.asked"
			ip link set "$name" up
			udhcpc -q -i "$name" -s /bin/lease -O 121 -t 20 -T 1 -A 1 > "/run/$name.log" 2>&1 || rm "/run/$name.asked"
		done
		usleep 200000
	done
) &
stty -F /dev/ttyS1 raw -echo
echo "small guest: up" > /dev/ttyS0
while true; do small-guest serve < /dev/ttyS1 > /dev/ttyS1; usleep 100000; done
