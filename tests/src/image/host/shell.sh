#!/bin/bash
# One line in: a number and a script in base64. One line out: the number, the exit status, and what it printed in base64.
stty raw -echo
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
cd /root || exit
said=$(mktemp -d)
echo 'lab: listening'
while read -r number script; do
	printf %s "$script" | base64 -d >"$said/script" 2>/dev/null || continue
	bash "$said/script" </dev/null >"$said/output" 2>&1
	status=$?
	printf 'lab: %s %s %s\n' "$number" "$status" "$(base64 -w0 <"$said/output")"
done
