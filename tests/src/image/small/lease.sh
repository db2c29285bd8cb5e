#!/bin/busybox sh
# What udhcpc calls with a lease. Option 121 (RFC 3442) replaces the router: "DEST/LEN GATEWAY DEST/LEN GATEWAY …".
PATH=/bin
case "$1" in
bound | renew)
	ip address replace "$ip/$mask" dev "$interface"
	set -- $staticroutes
	if [ $# -eq 0 ] && [ -n "$router" ]; then
		ip route replace default via "${router%% *}" dev "$interface"
	fi
	while [ $# -ge 2 ]; do
		if [ "$2" = 0.0.0.0 ]; then
			ip route replace "$1" dev "$interface"
		else
			ip route replace "$1" via "$2" dev "$interface"
		fi
		shift 2
	done
	echo "$ip" > "/run/$interface.lease.new"
	mv "/run/$interface.lease.new" "/run/$interface.lease"
	;;
esac
