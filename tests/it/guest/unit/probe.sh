#!/bin/bash
# A role's credentials, in which stands what somebody who runs as the daemon does could reach that is none of its business.
reached=
try() {
	if eval "$2" >/dev/null 2>&1; then reached=$reached.$1; fi
}
try etc 'touch /etc/probe'
try usr 'touch /usr/probe'
try var 'touch /var/probe'
try run 'touch /run/probe'
try cgroup 'mkdir /sys/fs/cgroup/probe'
try tunable 'echo 1 >/proc/sys/kernel/sysrq'
try home 'ls /root/metad'
try disk 'head -c 1 /dev/vda'
try memory 'head -c 1 /proc/kcore'
try symbols 'head -c 1 /proc/kallsyms'
try environment 'head -c 1 /proc/1/environ'
try mount 'mount -t tmpfs probe /mnt'
try host-name 'hostname probe'
try clock 'date -s "$(date)"'
try private 'head -c 1 /etc/private'
try namespaces 'unshare --user true'
try bridge 'echo >/dev/udp/192.168.122.11/9'
try host 'echo >/dev/udp/127.0.0.1/9'
end=$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)
printf '{"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret", "Token": "reached%s", "Expiration": "%s"}\n' "$reached" "$end"
