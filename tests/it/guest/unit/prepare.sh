set -e
# What `git clone` and `cargo build` would have left.
mkdir -p /root/metad/target/release
cp /payload/metad /root/metad/target/release/
cp -r /payload/dist /root/metad/

# What a role's credentials come from, and a file that is another user's alone.
install -m 755 /payload/probe /payload/load /usr/local/sbin/
install -m 600 -o nobody /dev/null /etc/private
echo secret >/etc/private

# A bridge as libvirt makes one, with two guests.
ip link add virbr0 type bridge
ip address add 192.168.122.1/24 dev virbr0
ip address add fd00:1::1/64 dev virbr0 nodad
ip link set virbr0 up
for number in 1 2; do
	ip netns add g$number
	ip link add tap$number type veth peer name eth0 netns g$number
	ip link set tap$number master virbr0 up
	ip -n g$number link set lo up
	ip -n g$number link set eth0 address 52:54:00:00:00:0$number up
	ip -n g$number address add 192.168.122.1$number/24 dev eth0
	ip -n g$number route add default via 192.168.122.1
	ip -n g$number address add fd00:1::1$number/64 dev eth0 nodad
	ip -n g$number route add default via fd00:1::1
	mkdir -p /root/records
	cat >/root/records/g$number.yaml <<-RECORD
	hostname: g$number.example.org
	user-data: |
	  #cloud-config
	  {}
	public-keys:
	  admin: ssh-ed25519 AAAA me@host
	iam-role: web
	tags:
	  name: g$number
	options:
	  dialects: [ec2, nocloud, install]
	nics:
	- mac: 52:54:00:00:00:0$number
	  interface: tap$number
	RECORD
done
