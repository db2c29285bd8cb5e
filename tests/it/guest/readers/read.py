"""Reads one layout with cloud-init's own code, and prints what it made of it as JSON.

Usage: read.py DIRECTORY LAYOUT MAC=NAME…; DIRECTORY holds Debian's Python packages, the rest is the guest's NICs.
"""

import json
import sys

sys.path.insert(0, sys.argv[1])
layout, nics = sys.argv[2], dict(pair.split("=") for pair in sys.argv[3:])

from cloudinit import net
from cloudinit.net import network_state

HOST = "http://169.254.169.254"

# No machine is behind this namespace: its NICs are the ones that were named.
net.get_interfaces_by_mac = lambda *_args, **_words: dict(nics)


def network(config):
    """What cloud-init's renderers get to see."""
    state = network_state.parse_net_config_data(config, skip_broken=False)
    return {"config": config, "interfaces": sorted(i["name"] for i in state.iter_interfaces())}


def openstack():
    from cloudinit.sources import DataSourceOpenStack, convert_vendordata
    from cloudinit.sources.helpers import openstack as helper

    found = DataSourceOpenStack.read_metadata_service(HOST, timeout=10, retries=1)
    metadata = found["metadata"]
    return {
        "seed": len(metadata.pop("random_seed")),
        "metadata": metadata,
        "userdata": found["userdata"].decode(),
        "vendordata": convert_vendordata(found["vendordata"]),
        "vendordata2": convert_vendordata(found["vendordata2"]),
        "files": {path: octets.decode() for path, octets in found["files"].items()},
        "ec2": found["ec2-metadata"],
        "network": network(helper.convert_net_json(found["networkdata"], known_macs=nics)),
    }


def gce():
    from cloudinit.sources import DataSourceGCE

    class Patience:
        num_retries = 1
        sec_between_retries = 1

    url = HOST + "/computeMetadata/v1/"
    found = DataSourceGCE.read_md(address=url, url_params=Patience, platform_check=False)
    data = found["meta-data"]
    keys = DataSourceGCE._parse_public_keys(data["public-keys-data"], "debian")
    return {
        "success": found["success"],
        "instance-id": data["instance-id"],
        "hostname": data["local-hostname"],
        "zone": data["availability-zone"],
        "keys": keys,
        "userdata": found["user-data"].decode(),
    }


def digitalocean():
    from cloudinit.sources.helpers import digitalocean as helper

    found = helper.read_metadata(HOST + "/metadata/v1.json", retries=1)
    servers = found["dns"]["nameservers"]
    config = helper.convert_network_configuration(found["interfaces"], servers)
    return {"metadata": found, "network": network(config)}


def hetzner():
    from cloudinit.sources.helpers import hetzner as helper

    found = helper.read_metadata(HOST + "/hetzner/v1/metadata", retries=1)
    userdata = helper.read_userdata(HOST + "/hetzner/v1/userdata", retries=1)
    config = network(found["network-config"])
    return {"metadata": found, "userdata": userdata.decode(), "network": config}


def vultr():
    from cloudinit.sources.helpers import vultr as helper

    found = json.loads(helper.read_metadata(HOST, 10, 1, 1, "reader"))
    region = found["region"]["regioncode"]
    config = network(helper.generate_network_config(found["interfaces"]))
    return {"metadata": found, "region": region, "network": config}


print(json.dumps(globals()[layout]()))
